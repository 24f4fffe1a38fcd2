"""Malformed input ends as it does on a plain server, and never worse."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

import pytest
import websocket
from harness import V1, Format, Server, Socket, pack, serving

from conftest import PEOPLE


def message(**parts: object) -> dict[str, object]:
    """Return a cell's message with some parts replaced."""
    header = {
        "msg_id": "m",
        "msg_type": "execute_request",
        "session": "s",
        "username": "u",
        "date": "",
        "version": "5.3",
    }
    content = {"code": "print('ran')", "silent": False, "store_history": False, "allow_stdin": False}
    plain = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "buffers": []}
    return {**plain, **parts}


def v1(*parts: bytes, channel: bytes = b"shell", count: int | None = None) -> bytes:
    """Return a v1 frame of these parts, with a count that may be wrong."""
    offsets = [8 * (len(parts) + 3)]
    for part in (channel, *parts):
        offsets.append(offsets[-1] + len(part))
    numbers = [len(offsets) if count is None else count, *offsets]
    return b"".join(number.to_bytes(8, "little") for number in numbers) + channel + b"".join(parts)


def truncated(frame: str | bytes) -> bytes:
    """Return a binary frame without its end."""
    assert isinstance(frame, bytes)
    return frame[:-40]


NO_OBJECTS: list[object] = [None, "x", 1, [], [{"app_meta": 1}]]
NO_HEADERS: list[object] = [[], None, "x", {}, {"msg_id": 1}]
TEXT = [
    "[]",
    "{}",
    "null",
    "1",
    '"text"',
    "not json",
    "",
    '{"channel": "shell"}',
    '{"channel": "nowhere", "header": {}}',
    json.dumps({**message(), "channel": "shell", "buffers": None}),
    *(json.dumps({**message(metadata=odd), "channel": "shell"}) for odd in NO_OBJECTS),
    *(json.dumps({**message(header=odd), "channel": "shell"}) for odd in NO_HEADERS),
    json.dumps({key: value for key, value in message().items() if key != "metadata"}),
    '{"channel": "shell", "metadata": ' + "[" * 5000 + "]" * 5000 + "}",
]
BINARY = [
    b"",
    b"\x00",
    struct.pack("!i", -1),
    struct.pack("!ii", 1, 8) + b"{}",
    struct.pack("!ii", 1, 8) + b"\xff\xfe",
    struct.pack("!iii", 2, 12, 4) + b"{}{}",
    truncated(pack({**message(), "buffers": [b"x"]}, "shell", "binary")),
]
FRAMES_V1 = [
    b"",
    b"\x00" * 7,
    b"\x00" * 8,
    b"\x01" + b"\x00" * 7,
    v1(),
    v1(b"{}"),
    v1(b"{}", b"{}", b"{}"),
    v1(b"[]", b"{}", b"[]", b"{}"),
    v1(b"{}", b"{}", b"\xff\xfe{}", b"{}"),
    v1(b"{}", b"{}", b"{" * 100, b"{}"),
    v1(
        *(json.dumps(message()[name]).encode() for name in ("header", "parent_header", "metadata", "content")),
        channel=b"nowhere",
    ),
    v1(
        *(json.dumps(message()[name]).encode() for name in ("header", "parent_header", "metadata", "content")),
        channel=b"\xff",
    ),
    v1(json.dumps(message()["header"]).encode(), b"{}", b"null", json.dumps(message()["content"]).encode()),
    v1(
        json.dumps(message()["header"]).encode(),
        b"{}",
        '{"a": 1}'.encode("utf-16"),
        json.dumps(message()["content"]).encode(),
    ),
    v1(*(json.dumps(message()[name]).encode() for name in ("header", "parent_header", "metadata", "content")))[:-30],
    v1(b"{}", b"{}", b"{}", b"{}", count=3),
]
CASES: list[tuple[Format, str | bytes]] = [
    *(("text", frame) for frame in TEXT),
    *(("binary", frame) for frame in BINARY),
    *(("v1", frame) for frame in FRAMES_V1),
    ("text", "x" * 11_000_000),
    ("v1", b"\x00" * 11_000_000),
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same server without us."""
    with serving(tmp_path_factory.mktemp("plain"), config=PEOPLE, token="", enabled=False) as server:
        yield server


def outcomes(server: Server) -> list[str]:
    """Send each malformed frame; return what became of its connection, which is replaced when it is broken."""
    visitor = server.visitor(cookies={"person": "alice"})
    kernel = visitor.start_kernel()
    other = visitor.connect(kernel)
    sockets: dict[Format, Socket] = {}
    results = []
    for format, frame in CASES:
        socket = sockets.pop(format, None) or visitor.connect(kernel, format=format)
        results.append(outcome(socket, frame))
        if results[-1].startswith("goes on"):
            sockets[format] = socket
        else:
            assert other.run("print(1)").text == "1\n", (format, frame[:80])
    return results


def outcome(socket: Socket, frame: str | bytes) -> str:
    """Return what happens to a connection that gets this frame and then an ordinary cell."""
    try:
        socket.send_frame(frame)
        content = {"code": "print(2)", "silent": False}
        return f"goes on: {socket.collect(socket.send(socket.message('execute_request', content)), 5).text}"
    except (ConnectionError, OSError, websocket.WebSocketException) as error:
        return f"closed: {type(error).__name__}" if not isinstance(error, TimeoutError) else "silent"


def test_malformed_frames_end_as_on_a_plain_server(people: Server, plain: Server) -> None:
    """Each malformed frame has the outcome that a plain server gives it, and disturbs no other client."""
    ours, theirs = outcomes(people), outcomes(plain)
    differences = {
        str(case)[:120]: (a, b) for case, a, b in zip(CASES, ours, theirs, strict=True) if _kind(a) != _kind(b)
    }
    assert differences == {}
    assert len({_kind(result) for result in ours}) >= 2


def _kind(result: str) -> str:
    # Which side notices a closed connection first is a matter of timing.
    return "closed" if result.startswith("closed") else result


def test_absurd_number_of_parts_is_refused_at_once(people: Server) -> None:
    """A frame that claims absurdly many parts is dropped; the connection goes on, and so does the server."""
    visitor = people.visitor(cookies={"person": "alice"})
    socket = visitor.connect(visitor.start_kernel(), format="v1")
    assert socket.connection.getsubprotocol() == V1
    legacy = visitor.connect(visitor.start_kernel(), format="binary")
    socket.send_frame((2**62).to_bytes(8, "little") + b"\x00" * 200)
    legacy.send_frame(struct.pack("!i", 2**31 - 1) + b"x" * 20)
    assert socket.who()["user"]["username"] == "alice"
    assert legacy.who()["user"]["username"] == "alice"
