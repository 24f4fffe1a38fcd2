"""How a visitor's browser talks to each server: until it has the visitor's name, and when a slider is moved.

A page of ours or of Voila has the name in its HTML; its socket is opened later. The other frameworks send a page
without content first, and bring the name over a WebSocket: their time is until that has arrived. Scripts and styles are
not fetched.
"""

from __future__ import annotations

import json
import uuid
from struct import pack
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from .wires import Browser, Socket, found

KERNEL_ID = r'"kernelId": "([0-9a-f-]{36})"'


class Visit:
    """One visitor's page. It is opened, connected, its slider is moved, and it is closed."""

    socket: Socket

    def __init__(self, url: str, person: str) -> None:
        self.browser, self.person = Browser(url), person
        self.path = f"{urlsplit(url).path}?user={person}"
        self.greeting = f"visitor {person} is here"

    def opened(self) -> float:
        """Open the page; return the seconds until the name is there."""
        start = perf_counter()
        self.open()
        return perf_counter() - start

    def open(self) -> None:
        """Open the page, and return as soon as the name is there."""
        raise NotImplementedError

    def connect(self) -> None:
        """Open the page's socket. Where the page could not be shown without it, it is open already."""

    def move(self, value: int) -> None:
        """Move the slider, and wait for what its callback writes."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the page."""
        self.socket.close()

    def moved(self, value: int) -> str:
        """Return what the callback writes."""
        return f"{self.person} moved to {value}"


class Notebook(Visit):
    """A page of ours or of Voila: its kernel speaks Jupyter's protocol."""

    def open(self) -> None:
        """Fetch the page."""
        self.is_connected = False
        self.html = self.browser.get(self.path, self.greeting)
        self.kernel_id = found(KERNEL_ID, self.html)

    def connect(self) -> None:
        """Ask for the kernel, connect to it, and ask for the state of its widgets."""
        self.browser.get(f"/api/kernels/{self.kernel_id}")
        self.socket = self.browser.socket(f"/api/kernels/{self.kernel_id}/channels?session_id={uuid.uuid4().hex}")
        self.is_connected = True
        self._send("kernel_info_request", {})
        self.socket.until('"kernel_info_reply"')
        control = uuid.uuid4().hex
        opening = {"comm_id": control, "target_name": "jupyter.widget.control", "data": {}}
        self._send("comm_open", opening, {"version": "1.0.0"})
        self._send("comm_msg", {"comm_id": control, "data": {"method": "request_states"}})
        self.socket.until('"update_states"')

    def move(self, value: int) -> None:
        """Change the slider's value."""
        data = {"method": "update", "state": {"value": value}, "buffer_paths": []}
        self._send("comm_msg", {"comm_id": found(r"slider ([0-9a-f]{32}) label", self.html), "data": data})
        self.socket.until(self.moved(value))

    def close(self) -> None:
        """Close the socket, and post what the page's script posts."""
        if self.is_connected:
            self.socket.close()
        self.browser.post(f"/voila/api/shutdown/{self.kernel_id}")

    def _send(self, kind: str, content: dict[str, Any], metadata: dict[str, str] | None = None) -> None:
        self.socket.send(json.dumps({**message(kind, content), "metadata": metadata or {}}))


class Panel(Visit):
    """Bokeh's protocol: a message is three frames, and changes name the models of a document."""

    def open(self) -> None:
        """Fetch the page, and pull its document."""
        token = found(r'"token":"([^"]+)"', self.browser.get(self.path))
        path = urlsplit(self.path)
        self.socket = self.browser.socket(f"{path.path}/ws?{path.query}", ["bokeh", token])
        self.socket.until('"ACK"')
        self._send("PULL-DOC-REQ", {})
        self.document = self.socket.until(self.greeting)

    def move(self, value: int) -> None:
        """Change the slider's value in the document."""
        model = {"id": found(r'"name":"Slider","id":"(p\d+)"', self.document)}
        for name in ("value", "value_throttled"):
            self._send("PATCH-DOC", {"events": [{"kind": "ModelChanged", "model": model, "attr": name, "new": value}]})
        self.socket.until(self.moved(value))

    def _send(self, kind: str, content: dict[str, Any]) -> None:
        self.socket.send(json.dumps({"msgid": uuid.uuid4().hex, "msgtype": kind}), "{}", json.dumps(content))


class Streamlit(Visit):
    """Streamlit's protocol: each message asks for a run of the script, with the state of all widgets (protobuf)."""

    def open(self) -> None:
        """Fetch the page, and ask for the first run."""
        self.browser.get(self.path)
        self.socket = self.browser.socket("/_stcore/stream", ["streamlit"])
        self.query = field(1, self.path.partition("?")[2].encode())
        self.socket.send(field(11, self.query))
        self.script = self.socket.until(self.greeting, self.moved(0))

    def move(self, value: int) -> None:
        """Ask for a run with the slider at this value."""
        slider = found(r"(\$\$ID-[0-9a-f]+-moved)", self.script).encode()
        state = field(1, slider) + field(7, field(1, pack("<d", value)))
        self.socket.send(field(11, self.query + field(2, field(1, state))))
        self.socket.until(self.moved(value))


class Solara(Visit):
    """Solara's protocol: that of Jupyter's kernels, and a comm that runs the page."""

    def open(self) -> None:
        """Fetch the page, and let it run."""
        self.browser.get(self.path)
        page = uuid.uuid4()
        self.socket = self.browser.socket(f"/jupyter/api/kernels/{uuid.uuid4()}/channels?session_id={page}")
        control = uuid.uuid4().hex
        self._send("comm_open", {"comm_id": control, "target_name": "solara.control", "data": {}})
        arguments = {"path": self.path, "dark": False, "themes": {}}
        self._send("comm_msg", {"comm_id": control, "data": {"method": "run", "args": arguments}})
        self.widgets = self.socket.until(self.greeting, '"finished"')

    def move(self, value: int) -> None:
        """Change the slider's value."""
        slider = found(r'"_model_name": "SliderModel".*?"comm_id": "([0-9a-f]+)"', self.widgets)
        data = {"method": "update", "state": {"v_model": value}, "buffer_paths": []}
        self._send("comm_msg", {"comm_id": slider, "data": data})
        self.socket.until(self.moved(value))

    def _send(self, kind: str, content: dict[str, Any]) -> None:
        self.socket.send(json.dumps(message(kind, content)))


class Marimo(Visit):
    """marimo's protocol: the socket brings the outputs, and changes are posted."""

    def open(self) -> None:
        """Fetch the page, and take its outputs."""
        self.token = found(r'data-token="([^"]*)"', self.browser.get(self.path))
        self.session = f"s_{uuid.uuid4().hex[:6]}"
        self.socket = self.browser.socket(f"/ws?{self.path.partition('?')[2]}&session_id={self.session}")
        self.outputs = self.socket.until(self.greeting)

    def connect(self) -> None:
        """Take the other outputs."""
        self.socket.until('"completed-run"')

    def move(self, value: int) -> None:
        """Post the slider's value."""
        headers = {"Marimo-Session-Id": self.session, "Marimo-Server-Token": self.token}
        change = {"objectIds": [found(r"object-id='([^']+)'", self.outputs)], "values": [value]}
        self.browser.post("/api/kernel/set_ui_element_value", change, headers)
        self.socket.until(self.moved(value))


def message(kind: str, content: dict[str, Any]) -> dict[str, Any]:
    """Return a message of the shell channel, as a browser writes it."""
    header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "session": uuid.uuid4().hex, "username": ""}
    header |= {"date": "2026-01-01T00:00:00.000Z", "version": "5.3"}
    return {
        "header": header,
        "parent_header": {},
        "metadata": {},
        "content": content,
        "channel": "shell",
        "buffers": [],
    }


def field(number: int, value: bytes) -> bytes:
    """Return a field of a protobuf message: bytes, a text or another message."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it."""
    found = b""
    while number > 0x7F:
        found += bytes([number & 0x7F | 0x80])
        number >>= 7
    return found + bytes([number])
