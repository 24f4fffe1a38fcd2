"""``audit``: one event for each cell and each callback, of the right person, and nothing else anywhere."""

from __future__ import annotations

import json
import os
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from harness import FORMATS, Format, Json, Server, Socket, Visitor, _binary, pack, serving
from jupyter_events.schema import EventSchema
from jupyter_server.services.kernels.connection.base import serialize_msg_to_ws_v1
from websocket import WebSocketException

import jupyter_app_meta

SCHEMA_ID = "https://events.jupyter.org/jupyter_app_meta/execution/v1"
SCHEMA = Path(jupyter_app_meta.__file__).parent / "server" / "event_schemas" / "execution" / "v1.yaml"
CANARY = f"CANARY{uuid.uuid4().hex[:12]}"

HANDLERS = """
import logging, pathlib

class Full(logging.FileHandler):
    '''A handler whose disk is full while there is a file of that name.'''
    def emit(self, record):
        if pathlib.Path("full").exists() and "jupyter_app_meta" in str(record.msg):
            raise OSError(28, "no space left, says CANARY")
        super().emit(record)

c.EventLogger.handlers = [Full("events.jsonl")]
"""

AUDIT = f"{HANDLERS}\nc.AppMetaExtension.audit = True\n"
PEOPLE = "c.ServerApp.identity_provider_class = 'providers.Odd'\n"


class Book:
    """The events that a server has written."""

    def __init__(self, server: Server) -> None:
        self.file = server.home / "root" / "events.jsonl"

    @property
    def lines(self) -> list[Json]:
        """Every line that was written to its end; one that is no JSON is an error."""
        text = self.file.read_text() if self.file.exists() else ""
        return [json.loads(line) for line in text.split("\n")[:-1]]

    @property
    def events(self) -> list[Json]:
        """The events of who ran what."""
        return [line for line in self.lines if line["__schema__"] == SCHEMA_ID]

    def of(self, kernel: str) -> list[Json]:
        """Return the events of one kernel, in the order in which they were written."""
        return [event for event in self.events if event["kernel_id"] == kernel]

    def until(self, kernel: str, count: int) -> list[Json]:
        """Return the events of one kernel as soon as there are so many."""
        deadline = time.monotonic() + 60
        while len(events := self.of(kernel)) < count:
            assert time.monotonic() < deadline, f"{len(events)} of {count}"
            time.sleep(0.05)
        return events


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of several people that writes events into a file, which may be full."""
    env = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}  # with the debugger, to which a message is sent
    with serving(tmp_path_factory.mktemp("audit"), config=PEOPLE + AUDIT, token="", env=env) as server:
        yield server


@pytest.fixture(scope="module")
def book(server: Server) -> Book:
    """What that server writes."""
    return Book(server)


@pytest.fixture(scope="module")
def kernel(server: Server) -> str:
    """A kernel that everybody uses."""
    return person(server, "alice").start_kernel()


def person(server: Server, name: str, **cookies: str) -> Visitor:
    """Return a person's browser."""
    return server.visitor(cookies={"person": name, **cookies})


COMM = """
import comm
heard = []
the_comm = comm.create_comm(target_name="test", comm_id={name!r})
comm.get_comm_manager().register_comm(the_comm)
the_comm.on_msg(lambda message: heard.append(message["content"]["data"]))
comm.get_comm_manager().register_target("test", lambda comm, message: None)
"""

CELL = {"silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}


def done(socket: Socket, *msg_ids: str) -> None:
    """Wait until the kernel is done with these messages: then they were written, too."""
    missing = set(msg_ids)

    def last(message: Json) -> bool:
        if message["content"].get("execution_state") == "idle":
            missing.discard(message["parent_header"].get("msg_id"))
        return not missing

    socket.until(last)


def marked(events: list[Json], mark: str) -> list[str]:
    """Return the ids of the messages that have a mark in them."""
    return [event["msg_id"] for event in events if mark in event["msg_id"]]


# --- what is written -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
def test_cells_and_callbacks_are_written_and_nothing_else(
    server: Server, book: Book, kernel: str, format: Format
) -> None:
    """In each frame format, on shell and control: one event for each message that runs code, none for others."""
    socket, comm_id, mark = person(server, "alice").connect(kernel, format=format), uuid.uuid4().hex, uuid.uuid4().hex
    socket.run(COMM.format(name=comm_id))
    comm = {"comm_id": comm_id, "data": {}}
    runs: list[tuple[str, str, Json]] = [
        ("shell", "execute_request", {**CELL, "code": "1"}),
        ("control", "execute_request", {**CELL, "code": "2"}),
        ("shell", "execute_request", {**CELL, "code": "3", "silent": True}),
        ("shell", "comm_msg", comm),
        ("shell", "comm_open", {**comm, "comm_id": f"{comm_id}-2", "target_name": "test"}),
        ("shell", "comm_close", {**comm, "comm_id": f"{comm_id}-2"}),
    ]
    others: list[tuple[str, str, Json]] = [
        ("shell", "kernel_info_request", {}),
        ("control", "kernel_info_request", {}),
        ("shell", "complete_request", {"code": "pri", "cursor_pos": 3}),
        ("shell", "inspect_request", {"code": "print", "cursor_pos": 3, "detail_level": 0}),
        ("shell", "is_complete_request", {"code": "1"}),
        ("shell", "history_request", {"hist_access_type": "tail", "n": 1, "output": False, "raw": True}),
        ("shell", "comm_info_request", {}),
        ("control", "debug_request", {"type": "request", "seq": 1, "command": "debugInfo", "arguments": {}}),
        ("stdin", "input_reply", {"value": "x", "status": "ok"}),
        ("shell", "no_such_request", {}),
    ]
    before = datetime.now(UTC)
    for number, (channel, msg_type, content) in enumerate([*runs, *others]):
        message = socket.message(msg_type, content, {"app_meta": {"forged": 1}}, msg_id=f"{mark}-{number}")
        sent = socket.send(message, channel)
        if (
            channel,
            msg_type,
            content,
        ) in runs or channel == "control":  # ipykernel mixes up what two channels run at once
            done(socket, sent)
    socket.run("last = 1")
    events = [event for event in book.of(kernel) if event["msg_id"].startswith(mark)]
    assert {(event["msg_id"], event["msg_type"], event["action"]) for event in events} == {
        (f"{mark}-{number}", msg_type, "cell" if msg_type == "execute_request" else "callback")
        for number, (_, msg_type, _) in enumerate(runs)
    }
    assert len(events) == len(runs)
    assert {(event["username"], event["kind"], event["assurance"]) for event in events} == {
        ("alice", "user", "provider")
    }
    assert all(before <= datetime.fromisoformat(event["time"]) <= datetime.now(UTC) for event in events)


ODD_METADATA = ("[]", "null", "7", '"app_meta"', '[{"app_meta": 1}]')


@pytest.mark.parametrize("format", FORMATS)
def test_cell_that_travels_unstamped_is_written(server: Server, book: Book, kernel: str, format: Format) -> None:
    """A message whose metadata is not an object is passed on unstamped, and written."""
    socket, mark = person(server, "alice").connect(kernel, format=format), uuid.uuid4().hex
    for number, metadata in enumerate(ODD_METADATA):
        message = socket.message("execute_request", {**CELL, "code": "1"}, msg_id=f"{mark}-{number}")
        socket.send(message, raw_metadata=metadata)
    socket.run("1")
    assert marked(book.of(kernel), mark) == [f"{mark}-{number}" for number in range(len(ODD_METADATA))]


def test_each_event_fits_the_schema(server: Server, book: Book, kernel: str) -> None:
    """What was written is what the schema says, and names its version."""
    person(server, "alice").connect(kernel).run("1")
    schema = EventSchema(SCHEMA)
    assert schema.id == SCHEMA_ID and str(schema.version) == "1"
    assert book.events
    for event in book.events:
        schema.validate({name: value for name, value in event.items() if not name.startswith("__")})
        assert event["__schema_version__"] == "1"


def test_each_cell_is_its_own_persons(server: Server, book: Book, kernel: str) -> None:
    """Three people on one kernel, in turn and all at once: each event has the one who sent it."""
    people = ("alice", "bob", "carol")
    sockets = {name: person(server, name).connect(kernel) for name in people}
    mark = uuid.uuid4().hex

    def send(name: str) -> None:
        socket = sockets[name]
        socket.username = "root"  # a claim of the client's own
        ids = [f"{mark}-{name}-{number}" for number in range(30)]
        for msg_id in ids:
            socket.send(socket.message("execute_request", {**CELL, "code": "1"}, msg_id=msg_id))
        done(socket, *ids)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(send, people))
    written = [(event["username"], event["msg_id"]) for event in book.of(kernel) if mark in event["msg_id"]]
    assert Counter(name for name, _ in written) == dict.fromkeys(people, 30)
    assert all(f"-{name}-" in msg_id for name, msg_id in written)


def test_identity_of_unknown_form_is_null(server: Server, book: Book, kernel: str) -> None:
    """An unknown answer of a provider makes a visitor without a name, whose cells are written."""
    mark = uuid.uuid4().hex
    socket = person(server, "alice", form="int").connect(kernel)
    socket.run("1", msg_id=mark)
    (event,) = (event for event in book.of(kernel) if event["msg_id"] == mark)
    assert (event["username"], event["kind"], event["assurance"]) == (None, None, None)


def test_path_is_that_of_the_session(server: Server, book: Book) -> None:
    """The path is that of the kernel's notebook, after it was renamed too; a bare kernel has none."""
    visitor = person(server, "alice")
    body = {"path": "reports/a.ipynb", "type": "notebook", "name": "", "kernel": {"name": "app-meta-test"}}
    model = visitor.call("POST", "/api/sessions", body).json()
    kernel = model["kernel"]["id"]
    socket = visitor.connect(kernel)
    socket.run("1")
    visitor.call("PATCH", f"/api/sessions/{model['id']}", {"path": "reports/b.ipynb"}).raise_for_status()
    socket.run("2")
    person(server, "bob").connect(kernel).run("3")
    assert [(event["username"], event["path"]) for event in book.of(kernel)] == [
        ("alice", "reports/a.ipynb"),
        ("alice", "reports/b.ipynb"),
        ("bob", "reports/b.ipynb"),
    ]


def test_reconnect_and_restart_lose_nothing(server: Server, book: Book) -> None:
    """A tab that connects again, and a kernel that is started again, are written as before."""
    visitor = person(server, "alice")
    kernel = visitor.start_kernel()
    socket = visitor.connect(kernel)
    socket.run("1", msg_id="first")
    socket.close()
    again = visitor.connect(kernel, socket.session_id)
    again.run("2", msg_id="again")
    visitor.call("POST", f"/api/kernels/{kernel}/restart").raise_for_status()
    again.send(again.message("execute_request", {**CELL, "code": "3"}, msg_id="restarted"))
    assert [(event["username"], event["msg_id"]) for event in book.until(kernel, 3)] == [
        ("alice", "first"),
        ("alice", "again"),
        ("alice", "restarted"),
    ]


# --- what is not written ---------------------------------------------------------------------------------------------


def test_no_content_and_no_secret_is_written(server: Server, book: Book) -> None:
    """Code, outputs, widget values, names of variables, headers, cookies and tokens are nowhere in the file."""
    visitor = server.visitor(
        cookies={"person": "alice", "sid": CANARY, "theme": CANARY},
        headers={"Authorization": f"Bearer {CANARY}", "X-Note": CANARY},
    )
    kernel, comm_id = visitor.start_kernel(), uuid.uuid4().hex
    for format in FORMATS:
        socket = visitor.connect(kernel, session_id=CANARY, format=format, query=f"&token={CANARY}&q={CANARY}")
        socket.username = CANARY
        metadata = {"cellId": CANARY, "app_meta": CANARY}
        assert CANARY in socket.run(f"{CANARY} = {CANARY!r}; print({CANARY})", metadata).text
        assert CANARY in socket.run(f"raise ValueError({CANARY!r})", metadata).text
        socket.run(COMM.format(name=comm_id))
        message = socket.message("comm_msg", {"comm_id": comm_id, "data": {"value": CANARY}}, metadata)
        message["buffers"] = [CANARY.encode()] if format != "text" else []
        done(socket, socket.send(message))
        assert CANARY in socket.run("print(heard)").text
    assert len(book.of(kernel)) == 5 * len(FORMATS)
    assert CANARY not in book.file.read_text()


def incomplete(mark: str, left_out: str, format: Format, socket: Socket) -> str | bytes:
    """Return the frame of a cell that lacks a part."""
    message = socket.message("execute_request", {**CELL, "code": "ran.append(1)"}, msg_id=f"{mark}-{left_out}")
    plain = {name: value for name, value in message.items() if name not in (left_out, "buffers")}
    text = json.dumps({**plain, "channel": "shell"})
    return text if format == "text" else _binary(text.encode(), [])


def test_message_that_the_server_refuses_is_not_written(server: Server, book: Book) -> None:
    """A message on an unknown channel, or that lacks a part, reaches no kernel, and there is no event of it."""
    visitor, mark = person(server, "alice"), uuid.uuid4().hex
    kernel = visitor.start_kernel()
    for format in FORMATS:
        socket = visitor.connect(kernel, format=format)
        message = socket.message("execute_request", {**CELL, "code": "ran.append(1)"}, msg_id=mark)
        socket.send(message, "nowhere")
        assert "NameError" in socket.run("ran").text
        for left_out in ("header", "parent_header", "metadata") if format != "v1" else ():
            broken = visitor.connect(kernel, format=format)
            broken.send_frame(incomplete(mark, left_out, format, broken))
            with pytest.raises((OSError, WebSocketException)):
                broken.until(lambda message: False)
    assert marked(book.of(kernel), mark) == []


@pytest.mark.parametrize("channel", ["iopub", "stdin"])
def test_message_that_no_kernel_reads_is_not_written(server: Server, book: Book, kernel: str, channel: str) -> None:
    """Kernels take cells and callbacks on shell and control: what is sent on another channel is never run."""
    mark = uuid.uuid4().hex
    for format in FORMATS:
        socket = person(server, "alice").connect(kernel, format=format)
        for msg_type in ("execute_request", "comm_msg"):
            content = {**CELL, "code": "ran = 1", "comm_id": mark, "data": {}}
            socket.send(socket.message(msg_type, content, msg_id=mark), channel)
        assert "NameError" in socket.run("ran").text
    assert marked(book.of(kernel), mark) == []


def test_nobody_writes_an_event_by_hand(server: Server, book: Book, kernel: str) -> None:
    """The server's events API lets every logged-in user emit events, but not those of who ran what."""
    visitor = person(server, "alice")
    visitor.connect(kernel).run("1", msg_id="genuine")
    (genuine,) = (event for event in book.of(kernel) if event["msg_id"] == "genuine")
    plain = {name: value for name, value in genuine.items() if not name.startswith("__")}
    forged = {**plain, "username": "bob", "msg_id": "forged"}
    answer = visitor.call("POST", "/api/events", {"schema_id": SCHEMA_ID, "version": "1", "data": forged})
    assert answer.status_code >= 400
    visitor.connect(kernel).run("1", msg_id="genuine too")
    assert not marked(book.of(kernel), "forged") and marked(book.of(kernel), "genuine too")


def test_message_that_nobody_can_read_is_neither_passed_on_nor_written(server: Server, book: Book) -> None:
    """A kernel might read what we cannot: such a message is dropped with a warning, and the connection goes on."""
    visitor = person(server, "alice")
    kernel = visitor.start_kernel()
    socket, before = visitor.connect(kernel), len(server.log)
    for header in (b"[]", b"{", b'{"msg_type": "execute_request", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}"):
        content = json.dumps({**CELL, "code": "ran = 1"}).encode()
        socket.send_frame(serialize_msg_to_ws_v1([header, b"{}", b"{}", content], "shell"))
    assert "NameError" in socket.run("ran", msg_id="after").text
    assert [event["msg_id"] for event in book.of(kernel)] == ["after"]
    assert server.log[before:].count("Ignoring a message whose header cannot be read") == 3


# --- odd ids ---------------------------------------------------------------------------------------------------------


def test_id_of_any_form_disturbs_nothing(server: Server, book: Book) -> None:
    """A long id, with line breaks, or that is not a text: one event each, cut to 128 characters."""
    visitor = person(server, "alice")
    kernel = visitor.start_kernel()
    ids: list[Any] = ["x" * 10_240, "a\nb\r\n\x00", "\u2028é", "", 7, None, ["a", {"b": 1}], {"a": "\n"}]
    for format in FORMATS:
        for msg_id in ids:  # each on a connection of its own: the answers to some of them break it
            socket = visitor.connect(kernel, format=format)
            socket.send(socket.message("execute_request", {**CELL, "code": "1", "silent": True}, msg_id=msg_id))
    told = Counter(event["msg_id"] for event in book.until(kernel, len(FORMATS) * len(ids)))
    assert told.total() == len(FORMATS) * len(ids)
    assert all(len(msg_id) <= 128 for msg_id in told)
    assert all(told[msg_id[:128]] == len(FORMATS) for msg_id in ids if isinstance(msg_id, str))


# --- other events, and a disk that is full ---------------------------------------------------------------------------


def test_other_events_are_as_they_were(server: Server, book: Book) -> None:
    """Events of other schemas stand in the same file, whole: a kernel's start and its end."""
    visitor = person(server, "alice")
    kernel = visitor.start_kernel()
    visitor.connect(kernel).run("1")
    assert visitor.call("DELETE", f"/api/kernels/{kernel}").status_code == 204
    kinds = [
        (line["__schema__"].split("/")[-2], line["action"]) for line in book.lines if line.get("kernel_id") == kernel
    ]
    assert kinds == [("kernel_actions", "start"), ("execution", "cell"), ("kernel_actions", "shutdown")]


def test_full_disk_disturbs_no_cell(server: Server, book: Book, kernel: str) -> None:
    """While a handler raises cells run and know their visitor, one warning says so, and later events are written."""
    full, mark = server.home / "root" / "full", uuid.uuid4().hex
    full.touch()
    try:
        for number, format in enumerate(FORMATS):
            socket = person(server, "alice").connect(kernel, format=format)
            assert socket.who(msg_id=f"{mark}-{number}")["user"]["username"] == "alice"
            assert socket.run("print(6 * 7)", msg_id=f"{mark}-{number}").text == "42\n"
    finally:
        full.unlink()
    person(server, "alice").connect(kernel).run("1", msg_id=f"{mark}-after")
    assert marked(book.of(kernel), mark) == [f"{mark}-after"]
    assert re.findall(r"jupyter-app-meta: (.*)", server.log.partition("forwards")[2]) == [
        "events are not written (OSError)."
    ]
    assert "CANARY" not in server.log


# --- many at once ----------------------------------------------------------------------------------------------------


def test_two_thousand_cells_at_once_lose_none(server: Server, book: Book) -> None:
    """Three people, one of them twice, send 2000 cells at once: all are written, each sender's in their order."""
    starter, ready = person(server, "alice"), threading.Barrier(4)
    kernel = starter.start_kernel()

    def send(number: int, name: str) -> Socket:
        socket = person(server, name).connect(kernel, format=FORMATS[number % 3])
        content = {**CELL, "code": "", "silent": True}
        messages = [
            socket.message("execute_request", content, msg_id=f"{name}-{number}-{count}") for count in range(500)
        ]
        frames = [pack(message, "shell", socket.format) for message in messages]
        ready.wait(30)
        for frame in frames:
            socket.send_frame(frame)
        return socket

    with ThreadPoolExecutor(4) as pool:
        sockets = list(pool.map(send, range(4), ("alice", "bob", "carol", "alice")))
    written: dict[tuple[str, ...], list[int]] = {}
    for event in book.until(kernel, 2000):
        name, number, count = event["msg_id"].split("-")
        written.setdefault((event["username"], name, number), []).append(int(count))
    senders = [("alice", "0"), ("bob", "1"), ("carol", "2"), ("alice", "3")]
    assert written == {(name, name, number): [*range(500)] for name, number in senders}
    for socket in sockets:
        socket.connection.shutdown()
    starter.call("DELETE", f"/api/kernels/{kernel}")  # it need not run them all


# --- other servers ---------------------------------------------------------------------------------------------------


def test_audit_is_off_by_default(tmp_path: Path) -> None:
    """Without the option nothing is written among other events, and no client can write such an event by hand."""
    with serving(tmp_path, config=PEOPLE + HANDLERS, token="") as server:
        visitor = person(server, "alice")
        kernel = visitor.start_kernel()
        visitor.connect(kernel).run("1")
        body = {"schema_id": SCHEMA_ID, "version": "1", "data": {}}
        assert visitor.call("POST", "/api/events", body).status_code == 400
        assert [line["__schema__"].split("/")[-2] for line in Book(server).lines] == ["kernel_actions"]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a token whose kernels run behind a kernel gateway."""
    behind = "c.KernelGatewayApp.auth_token = 'the-gateway-token'\n"
    home, command = tmp_path_factory.mktemp("behind"), ("-m", "kernel_gateway")
    with serving(home, config=behind, command=command, token="", enabled=False) as gateway:
        front = f"{AUDIT}c.GatewayClient.url = {gateway.url.rstrip('/')!r}\n"
        front += "c.GatewayClient.auth_token = 'the-gateway-token'\nc.GatewayClient.auth_scheme = 'token'\n"
        with serving(tmp_path_factory.mktemp("front"), config=front) as server:
            yield server


def test_cells_behind_a_gateway_are_written_once(gateway: Server) -> None:
    """Trap: what is sent before the gateway answers is kept and sent again. It is written once, as its token's."""
    visitor = gateway.visitor()
    kernel = visitor.start_kernel()
    for number in range(3):
        socket = visitor.connect(kernel, format="text")
        for cell in range(3):
            content = {**CELL, "code": "1"}
            socket.send(socket.message("execute_request", content, msg_id=f"{number}-{cell}"))
        done_at_gateway(socket, f"{number}-2")
    events = Book(gateway).of(kernel)
    assert [event["msg_id"] for event in events] == [f"{number}-{cell}" for number in range(3) for cell in range(3)]
    assert {(event["kind"], event["assurance"]) for event in events} == {("user", "shared-secret")}


def done_at_gateway(socket: Socket, msg_id: str) -> None:
    """Wait for the reply to a message: what is published may begin later behind a gateway."""
    socket.until(
        lambda message: (
            message["header"]["msg_type"] == "execute_reply" and message["parent_header"].get("msg_id") == msg_id
        )
    )
