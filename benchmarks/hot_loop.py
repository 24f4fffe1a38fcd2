"""What a stamp costs the server: Session.send and send_raw, with and without it, on a stream that drops.

The garbage collector is on: what a stamp leaves behind counts.
"""

from __future__ import annotations

import gc
import json
import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter_ns
from types import SimpleNamespace
from typing import Any

from jupyter_client.session import Session
from jupyter_server.services.kernels.connection.base import deserialize_binary_message, deserialize_msg_from_ws_v1
from tests.journey.harness import Format, Json, pack

from jupyter_app_meta import SessionInfo, User, wire
from jupyter_app_meta.policy import Policy, RawRequest
from jupyter_app_meta.server.origins import Origins
from jupyter_app_meta.server.stamping import _wrap_session
from jupyter_app_meta.server.stamps import Desk, Stamps

from .report import Row, at_most, expected, note
from .servers import COOKIES, HEADERS
from .stats import Pair, difference, spread

TITLE = "The server, per message"
KEY = b"the key of a kernel's Session"
METHODS = {"v1": "send_raw", "text": "send"}
SIZES = {"0.5 kB": 500, "1.5 kB": 1500, "16 kB": 16_000}
TYPICAL = "1.5 kB"
LAB = {"deletedCells": [], "recordTiming": False, "cellId": str(uuid.UUID(int=1)), "trusted": True}
METADATA: dict[str, Json] = {
    "{}": {},
    "JupyterLab's": LAB,
    "4 kB": {**LAB, "deletedCells": [str(uuid.UUID(int=number)) for number in range(97)]},
}
USUAL = ("{}", "JupyterLab's")
BUFFER_SIZE = 9_000_000
BUFFER_FORMATS: tuple[Format, ...] = ("v1", "binary")
FORMAT_NAMES = {"v1": "v1", "binary": "legacy binary", "text": "legacy text"}
CHANNELS = ("iopub", "shell", "control", "stdin")  # in the server's order


class Drop:
    """A stream that drops what it is given, but for a look at the last message."""

    last: tuple[Any, ...] = ()

    def send_multipart(self, parts: list[Any], flags: int = 0, copy: bool = True, track: bool = False) -> None:
        """Take a message."""
        self.last = tuple(parts)


@dataclass(frozen=True, slots=True)
class Ends:
    """A plain and a stamped Session, and the streams of a browser's channels."""

    plain: Any = field(default_factory=lambda: Session(key=KEY))
    stamped: Any = field(default_factory=lambda: Session(key=KEY))
    streams: dict[str, Drop] = field(default_factory=lambda: {name: Drop() for name in CHANNELS})

    @property
    def stream(self) -> Drop:
        """The stream of the shell channel."""
        return self.streams["shell"]


def measure(quick: bool = False) -> list[Row]:
    """Return the costs for each metadata, stamp size and frame format, and what becomes of big buffers."""
    rows = []
    for size, target in SIZES.items():
        ends = make_ends(target)
        for name, metadata in METADATA.items():
            note(f"hot loop: stamp of {size}, metadata {name}")
            for frames, method in METHODS.items():
                pairs = _alternate(ends, method, _messages(metadata, frames), 10 if quick else 100)
                rows.append(
                    _cost(f"{method}, metadata {name}, stamp {size}", pairs, typical=size == TYPICAL and name in USUAL)
                )
    return [*rows, *_buffer(8 if quick else 100)]


def make_ends(size: int) -> Ends:
    """Return a plain and a stamped Session; the stamp's payload has at least ``size`` bytes."""
    ends = Ends()
    # As the connection class does it to the Session of each browser.
    _wrap_session(SimpleNamespace(session=ends.stamped, channels=ends.streams), _stamps(size))
    return ends


def _stamps(size: int) -> Stamps:
    """Fill a request with headers until its payload is as large as wanted."""
    headers: list[tuple[str, str]] = []
    while True:
        stamps = _stamps_of(tuple(headers))
        signer = stamps.signer()
        assert signer is not None
        if len(signer.payload) >= size:
            return stamps
        known = list(HEADERS.items())
        headers.append(
            known[len(headers)] if len(headers) < len(known) else (f"X-Pad-{len(headers)}", "0123456789" * 3)
        )


def _stamps_of(headers: tuple[tuple[str, str], ...]) -> Stamps:
    policy = Policy.of(headers_allow=["x-pad-*"])
    log = logging.getLogger("benchmarks")
    desk = Desk(policy, Origins(lambda kernel_id: True), log, b"secret", wire.MAX_LIMIT)
    raw = RawRequest(
        "GET",
        "http://127.0.0.1:8888/api/kernels/channels?session_id=1",
        "http://127.0.0.1:8888/",
        headers=headers,
        cookies=tuple(COOKIES.items()) if headers else (),
        user=User(username="alice", name="Alice", display_name="Alice", initials="A", kind="user"),
    )
    return Stamps(desk, wire.derive_key(KEY), raw, "alice", SessionInfo(client_id=uuid.uuid4().hex, kernel_id="1"))


def _messages(metadata: Json, frames: str) -> list[Any]:
    """Return distinct messages as the server takes them from their frames."""
    messages = []
    for number in range(200):
        content = {"code": f"total({number})", "silent": False, "store_history": True, "stop_on_error": True}
        message = _message("execute_request", content, metadata)
        messages.append(_packed(message) if frames == "v1" else message)
    return messages


def _message(msg_type: str, content: Json, metadata: Json) -> Json:
    header = {"msg_id": str(uuid.uuid4()), "msg_type": msg_type, "session": str(uuid.uuid4()), "username": ""}
    header |= {"date": "2026-01-01T00:00:00.000Z", "version": "5.3"}
    return {"header": header, "parent_header": {}, "metadata": metadata, "content": content, "buffers": []}


def _packed(message: Json) -> list[bytes]:
    return [json.dumps(message[name]).encode() for name in ("header", "parent_header", "metadata", "content")]


_COMM = _message("comm_msg", {"comm_id": "1", "data": {"method": "update"}}, {})


def _alternate(ends: Ends, method: str, messages: list[Any], rounds: int) -> list[Pair]:
    """Return the nanoseconds per message of (plain, stamped), for each round."""
    senders = [getattr(session, method) for session in (ends.plain, ends.stamped)]
    pairs = []
    with _settled():
        for number in range(-2, rounds):
            taken = [0.0, 0.0]
            for side in (0, 1) if number % 2 else (1, 0):
                taken[side] = _loop(senders[side], ends.stream, messages)
            pairs.append((taken[0], taken[1]))
    return pairs[2:]


def _loop(send: Callable[..., Any], stream: Drop, messages: list[Any]) -> float:
    start = perf_counter_ns()
    for message in messages:
        send(stream, message)
    return (perf_counter_ns() - start) / len(messages)


@contextmanager
def _settled() -> Iterator[None]:
    """Leave what exists already out of garbage collections."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _cost(what: str, pairs: list[Pair], *, typical: bool = False) -> Row:
    cost, plain = difference([[pair] for pair in pairs]).scaled(1000), spread(pair[0] for pair in pairs).scaled(1000)
    text = f"+{cost.text(1, ' µs')} on {plain.value:.1f} µs"
    return at_most(what, text, cost, 15, " µs") if typical else Row(what, text)


def _buffer(rounds: int) -> Iterator[Row]:
    """From a frame with a 9 MB buffer to the stream, as the server does it, and where the bytes are."""
    ends = make_ends(SIZES[TYPICAL])
    for frames in BUFFER_FORMATS:
        note(f"hot loop: a buffer of 9 MB, {frames}")
        frame = pack({**_COMM, "buffers": [bytes(BUFFER_SIZE)]}, "shell", frames)
        pairs = [_frame_pair(ends, frames, frame, number) for number in range(-3, rounds)][3:]
        yield _cost(f"{FORMAT_NAMES[frames]} frame with a 9 MB buffer, from frame to stream", pairs)
    yield _identity(ends)


def _frame_pair(ends: Ends, frames: Format, frame: Any, number: int) -> Pair:
    taken = [0.0, 0.0]
    for side in (0, 1) if number % 2 else (1, 0):
        session = (ends.plain, ends.stamped)[side]
        start = perf_counter_ns()
        _incoming(session, ends.stream, frames, frame)
        taken[side] = perf_counter_ns() - start
    return taken[0], taken[1]


def _incoming(session: Session, stream: Any, frames: Format, frame: bytes) -> None:
    """Do what jupyter_server does with a frame."""
    if frames == "v1":
        session.send_raw(stream, deserialize_msg_from_ws_v1(frame)[1])
    else:
        session.send(stream, deserialize_binary_message(frame))


def _identity(ends: Ends) -> Row:
    buffer, stream = bytes(BUFFER_SIZE), ends.stream
    ends.stamped.send_raw(stream, [*_packed(_COMM), buffer])
    same = [stream.last[-1] is buffer]
    ends.stamped.send(stream, {**_COMM, "buffers": [buffer]})
    same.append(stream.last[-1] is buffer)
    found = zip(METHODS.values(), same, strict=True)
    text = ", ".join(f"{name}: {'the same object' if met else 'another object'}" for name, met in found)
    return expected("the buffer that reaches the stream", text, "the same object", met=all(same))
