"""A refused message closes its visitor's socket, fills nothing, and its text is not in the log."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import websocket
from harness import FORMATS, Format, Json, Server, Socket, pack
from stage import SLIDER, Opened, eventually, kernel_process, kernels, move, staging, visit, write

from jupyter_app_meta.server.messages.gate import UNREAD

MB = 1_000_000
CONTROLS = """
import ipywidgets, pathlib, time
busy, stream = ipywidgets.Button(), ipywidgets.Button()
def working(_):
    while not pathlib.Path("go-on").exists():
        time.sleep(0.01)
busy.on_click(working)
def streaming(_):
    for number in range(600):
        print("y" * 1_000_000, flush=True)
stream.on_click(streaming)
import comm
def opened(made, message):
    made.on_msg(lambda message: print("got", message["content"]["comm_id"], message["content"]["data"]))
    if message["content"]["data"]:
        made.close()
comm.get_comm_manager().register_target("Größe 1", opened)
print("busy", busy.comm.comm_id, "stream", stream.comm.comm_id)
"""
APP = """
app = create_app(identity_provider=People, config={
    "ZMQChannelsWebsocketConnection": {"iopub_data_rate_limit": 0},
}).with_app(path="/page", root="page.ipynb")
"""
CANARY = "CANARY\x1b[31m\nERROR forged"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a page with a slider, and buttons that keep its kernel busy or make it write."""
    home = tmp_path_factory.mktemp("gate")
    write(home / "root" / "page.ipynb", SLIDER, CONTROLS)
    with staging(home, APP) as server:
        yield server


@pytest.fixture(scope="module")
def page(server: Server) -> Opened:
    """Mallory's page."""
    return visit(server, "mallory", "/page")


def click(opened: Opened, socket: Socket, button: str) -> str:
    """Click a button of the page; return the message's id."""
    found = re.search(rf"{button} ([0-9a-f]{{32}})", opened.html)
    assert found
    data = {"method": "custom", "content": {"event": "click"}}
    return socket.send(socket.message("comm_msg", {"comm_id": found[1], "data": data}))


@contextmanager
def busy(server: Server, opened: Opened, socket: Socket) -> Iterator[None]:
    """Keep a page's kernel busy for as long as this takes."""
    go_on = server.home / "root" / "go-on"
    go_on.unlink(missing_ok=True)
    click(opened, socket, "busy")
    yield
    go_on.touch()


def ended(socket: Socket) -> int:
    """Return the code with which the server closes a socket."""
    connection, opcode = socket.connection, -1
    connection.settimeout(60)
    while opcode != websocket.ABNF.OPCODE_CLOSE:
        opcode, frame = connection.recv_data_frame(control_frame=True)
    connection.shutdown()
    return int.from_bytes(frame.data[:2], "big")


def refused_within(socket: Socket, messages: Iterator[Json]) -> int:
    """Send messages until the server closes the socket; return the code."""
    for message in messages:
        socket.send(message)
        socket.connection.settimeout(0.01)
        with suppress(websocket.WebSocketTimeoutException):
            while True:
                opcode, frame = socket.connection.recv_data_frame(control_frame=True)
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    return int.from_bytes(frame.data[:2], "big")
        socket.connection.settimeout(30)
    return ended(socket)


def is_idle_after(msg_id: str) -> Callable[[Json], bool]:
    """Return what tells the status by which the kernel is done with a message."""
    idle = {"execution_state": "idle"}
    return lambda message: message["parent_header"].get("msg_id") == msg_id and message["content"] == idle


def comm_msg(socket: Socket, **header: Any) -> Json:
    """Return a message to a comm that does not exist, with some fields of its header replaced."""
    message = socket.message("comm_msg", {"comm_id": "none", "data": {}})
    message["header"] |= header
    return message


def comm_open(socket: Socket, comm_id: str, target: str = "nosuch") -> Json:
    """Return a message that opens a comm."""
    return socket.message("comm_open", {"comm_id": comm_id, "target_name": target, "data": {}})


def without(name: str) -> Callable[[Socket], tuple[Json, str]]:
    """Return what makes a message that lacks a part."""
    return lambda socket: ({**comm_msg(socket), name: []}, "shell")


BIG = "x" * 9 * MB
REFUSED: dict[str, tuple[int, Callable[[Socket], tuple[Json, str]]]] = {
    "9 MB to iopub": (1008, lambda s: ({**comm_msg(s), "content": {"comm_id": "x", "data": BIG}}, "iopub")),
    "stdin": (1008, lambda s: (s.message("input_reply", {"value": CANARY}), "stdin")),
    "a comm on control": (1008, lambda s: (comm_msg(s), "control")),
    "a channel of 9 MB": (1008, lambda s: (comm_msg(s), BIG)),
    "an odd channel": (1008, lambda s: (comm_msg(s), CANARY)),
    "a type of 9 MB": (1008, lambda s: (comm_msg(s, msg_type=BIG), "shell")),
    "an odd type": (1008, lambda s: (comm_msg(s, msg_type=CANARY), "shell")),
    "code": (1008, lambda s: (s.message("execute_request", {"code": CANARY}), "shell")),
    "a user of 9 MB": (1008, lambda s: (comm_msg(s, username=BIG), "shell")),
    "an id that is a number": (1007, lambda s: (comm_msg(s, msg_id=7), "shell")),
    "an id that is a date": (1007, lambda s: (comm_msg(s, msg_id="2026-01-01T00:00:00Z"), "shell")),
    "an odd id": (1007, lambda s: (comm_msg(s, msg_id=CANARY), "shell")),
    "a type that is a number": (1008, lambda s: (comm_msg(s, msg_type=7), "shell")),
    "a version that is a number": (1007, lambda s: (comm_msg(s, version=7), "shell")),
    "a subshell": (1007, lambda s: (comm_msg(s, subshell_id=CANARY), "shell")),
    "metadata that is not an object": (1007, without("metadata")),
    "content that is not an object": (1007, without("content")),
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("case", REFUSED)
def test_refused_message_closes_its_socket_and_leaves_no_text(
    server: Server, page: Opened, case: str, format: Format
) -> None:
    """The socket is closed with a code that says why; the log has one short line of it, and none of its text."""
    code, make = REFUSED[case]
    socket, before = page.connect(format=format), len(server.log)
    message, channel = make(socket)
    socket.send(message, channel)
    assert ended(socket) == code
    logged = server.log[before:]
    assert len(logged) < 4000 and "xxxx" not in logged and "CANARY" not in logged and "forged" not in logged


LOST: dict[str, Callable[[Socket], Json]] = {
    "an id with control characters": lambda s: comm_open(s, CANARY),
    "an id that is a number": lambda s: s.message("comm_msg", {"comm_id": 7, "data": {}}),
    "an id that is missing": lambda s: s.message("comm_close", {"data": {}}),
    "a target with control characters": lambda s: comm_open(s, "x", CANARY),
    "a target with a line separator": lambda s: comm_open(s, "x", "CANARY\u2028"),
    "half a surrogate pair": lambda s: comm_open(s, "x\ud800"),
    "a target of 9 MB": lambda s: comm_open(s, "x", BIG),
    "an id of a script other than Latin": lambda s: comm_open(s, "размер"),
    "an id of 129 characters": lambda s: comm_open(s, "x" * 129),
}


@pytest.mark.parametrize("format", FORMATS)
def test_message_to_a_comm_of_odd_name_is_lost_and_its_socket_stays(
    server: Server, page: Opened, format: Format
) -> None:
    """Such messages cost one line of a socket in the log, without their text; the page goes on."""
    socket, before, value = page.connect(format=format), len(server.log), 30 + FORMATS.index(format)
    for make in LOST.values():
        socket.send(make(socket))
    assert move(socket, page, value).endswith(f"|{value}")
    socket.close()
    logged = server.log[before:]
    assert logged.count("was not passed on: its comm_id is not a printable ASCII text") == 1
    assert len(logged) < 4000 and "xxxx" not in logged and "CANARY" not in logged and "forged" not in logged


@pytest.mark.parametrize("format", FORMATS)
def test_comm_of_an_author_has_any_printable_name(page: Opened, format: Format) -> None:
    """Spaces, and letters of every script in a target, pass (ipykernel's ids are ASCII); a comm_msg has no target."""
    socket, comm_id = page.connect(format=format), f"size of {uuid.uuid4().hex}"
    socket.send(comm_open(socket, comm_id, "Größe 1"))
    socket.send(socket.message("comm_msg", {"comm_id": comm_id, "data": {"a": 1}, "target_name": "\n"}))
    heard = socket.until(lambda m: m["header"]["msg_type"] == "stream")[-1]
    assert heard["content"]["text"].startswith(f"got {comm_id}")
    socket.close()


def test_comm_that_the_kernel_closes_makes_room(server: Server) -> None:
    """Comms that the author's code closes again do not count towards the limit of a page."""
    opened = visit(server, "closer", "/page")
    socket = opened.connect()
    for number in range(1200):
        message = comm_open(socket, uuid.uuid4().hex, "Größe 1")
        message["content"]["data"] = {"close": True}
        last = socket.send(message)
        if number % 200 == 199:
            socket.until(is_idle_after(last))
    assert move(socket, opened, 34).endswith("|34")
    opened.close()


def test_visitor_cannot_make_their_callback_see_nobody(page: Opened) -> None:
    """Before and after messages that cannot be stamped, callbacks see their visitor."""
    odd: tuple[Any, ...] = ({"msg_id": 7}, {"msg_id": "2026-01-01T00:00:00Z"}, {"msg_id": "a\n"})
    for number, header in enumerate(odd, start=20):
        socket = page.connect()
        assert move(socket, page, number).startswith("mallory|")
        socket.send(comm_msg(socket, **header))
        assert ended(socket) == 1007


@pytest.mark.parametrize("case", ["many", "overlapping"])
def test_frame_whose_parts_cost_more_than_its_bytes_is_refused(page: Opened, case: str) -> None:
    """Empty parts without end, and parts that are the same bytes again and again, are not taken apart."""
    socket = page.connect()
    message = comm_msg(socket)
    if case == "many":
        socket.send({**message, "buffers": [b""] * 100_000})
    else:
        frame = pack({**message, "buffers": [b"z" * 3 * MB]}, "shell", "v1")
        assert isinstance(frame, bytes)
        count = int.from_bytes(frame[:8], "little")
        first, last = 8 * (count + 201), len(frame) + 1600
        old = [int.from_bytes(frame[8 * (i + 1) : 8 * (i + 2)], "little") + 1600 for i in range(count)]
        offsets = [*old, *([first, last] * 100)]
        head = b"".join(number.to_bytes(8, "little") for number in (len(offsets), *offsets))
        socket.send_frame(head + frame[8 * (count + 1) :])
    assert ended(socket) == 1007


def test_slider_of_a_busy_kernel_is_not_stopped(server: Server) -> None:
    """Hundreds of small messages wait for a kernel that is busy, and each is handled."""
    opened = visit(server, "worker", "/page")
    socket = opened.connect()
    found = re.search(r"slider ([0-9a-f]{32})", opened.html)
    assert found
    with busy(server, opened, socket):
        for value in range(600):
            data = {"method": "update", "state": {"value": value % 50}, "buffer_paths": []}
            last = socket.send(socket.message("comm_msg", {"comm_id": found[1], "data": data}))
    idle = socket.until(
        lambda m: m["parent_header"].get("msg_id") == last and m["content"] == {"execution_state": "idle"}
    )
    assert sum(message["content"] == {"execution_state": "idle"} for message in idle) >= 600
    assert move(socket, opened, 77).endswith("|77")
    opened.close()


def test_busy_kernel_gets_no_more_than_it_can_hold(server: Server) -> None:
    """What a visitor sends to a busy kernel ends at a limit, also over new sockets; what is done does not count."""
    opened = visit(server, "flood", "/page")
    eventually(lambda: opened.kernel_id in kernels(server))  # a fork may get its name after its page
    processes = kernel_process(server, opened.kernel_id), psutil.Process(server.process.pid)
    before = sum(process.memory_info().rss for process in processes)
    socket = opened.connect()

    def big() -> Iterator[Json]:
        for _ in range(12):
            yield {**comm_msg(socket), "buffers": [b"z" * 8 * MB]}

    with busy(server, opened, socket):
        for _ in range(3):
            assert refused_within(socket, big()) == 1008
            socket = opened.connect()
        assert sum(process.memory_info().rss for process in processes) - before < 300 * MB
    eventually(lambda: is_free(opened))
    opened.close()


def is_free(opened: Opened) -> bool:
    """Whether a page takes a big message again, after what a page asks when it connects."""
    socket = opened.connect()
    try:
        for _ in range(8):
            asked = socket.send(socket.message("kernel_info_request", {}))
        socket.until(is_idle_after(asked))
        msg_id = socket.send({**comm_msg(socket), "buffers": [b"z" * 8 * MB]})
        socket.until(is_idle_after(msg_id))
    except ConnectionError:
        return False
    socket.close()
    return True


def test_comms_have_an_end(server: Server) -> None:
    """A page opens so many comms and no more; one that is closed makes room."""
    opened = visit(server, "opener", "/page")
    socket = opened.connect()

    def closed_again() -> Iterator[Json]:
        for _ in range(600):
            comm_id = uuid.uuid4().hex
            yield comm_open(socket, comm_id, "Größe 1")
            yield socket.message("comm_close", {"comm_id": comm_id})

    for message in closed_again():
        last = socket.send(message)
    socket.until(is_idle_after(last))
    opened_ones = (comm_open(socket, uuid.uuid4().hex, "Größe 1") for _ in range(1001))
    assert refused_within(socket, opened_ones) == 1008
    opened.close()


def test_page_that_does_not_read_is_told_to_load_again(server: Server) -> None:
    """If a browser reads none of 600 MB, its socket is closed, and the server has kept little more than the limit."""
    opened = visit(server, "sloth", "/page")
    socket, before = opened.connect(), len(server.log)
    process = psutil.Process(server.process.pid)
    resident = process.memory_info().rss
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak begins anew
    click(opened, socket, "stream")
    eventually(lambda: "load it again (1013)" in server.log[before:], 60)
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    assert 1024 * int(peak) - resident < UNREAD + 120 * MB
    opened.close()


def test_page_that_is_away_keeps_no_more_than_a_limit(server: Server) -> None:
    """What a kernel publishes while its page is away is kept up to a limit; then the page is told to load again."""
    opened = visit(server, "away", "/page")
    socket, before = opened.connect(), len(server.log)
    click(opened, socket, "stream")
    socket.close()
    eventually(lambda: "Discarded a disconnected page's output" in server.log[before:], 60)
    again = opened.connect()
    assert ended(again) == 1013
    opened.close()


def test_socket_of_odd_session_id_is_refused(page: Opened) -> None:
    """A session_id that cannot be a ZeroMQ identity is the visitor's fault, not the server's."""
    with pytest.raises(websocket.WebSocketBadStatusException) as raised:
        page.connect(session_id="%C3%A9%E2%80%A8")
    assert raised.value.status_code == 400
