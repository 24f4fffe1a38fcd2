"""What a stamp costs the server: Session.send and send_raw, with and without it, on a stream that drops.

Every case has its turn in every round, so that a slow spell of the machine meets all of them. The
garbage collector is on: what a stamp leaves behind counts.
"""

from __future__ import annotations

import gc
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any

from harness import Format, Json, pack
from jupyter_server.services.kernels.connection.base import deserialize_binary_message, deserialize_msg_from_ws_v1

from .ends import Drop, Ends, make_ends, message, packed
from .report import Row, at_most, expected, note
from .stats import Pair, difference, spread

TITLE = "The server, per message"
NOTE = (
    "A real jupyter_client Session on a stream that drops everything: what is added to the plain call. `send_raw` is "
    "the way of the v1 frame format that JupyterLab speaks, `send` that of the legacy ones."
)
METHODS = ("send_raw", "send")  # of the v1 frame format, and of the legacy ones
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
COMM = message("comm_msg", {"comm_id": "1", "data": {"method": "update"}}, {})
WARM_UP = 2


@dataclass(frozen=True, slots=True)
class Case:
    """A stamp's size, a message's metadata, and a method of Session; and the nanoseconds that they took."""

    size: str
    metadata: str
    method: str
    ends: Ends
    messages: list[Any]
    pairs: list[Pair] = field(default_factory=list)

    def turn(self, number: int) -> None:
        """Send the messages on both ends."""
        taken = [0.0, 0.0]
        for side in (0, 1) if number % 2 else (1, 0):
            session = (self.ends.plain, self.ends.stamped)[side]
            taken[side] = _loop(getattr(session, self.method), self.ends.stream, self.messages)
        self.pairs.append((taken[0], taken[1]))

    def row(self) -> Row:
        """Return what a stamp costs a message."""
        what = f"{self.method}, metadata {self.metadata}, stamp {self.size}"
        return _cost(what, self.pairs[WARM_UP:], typical=self.size == TYPICAL and self.metadata in USUAL)


def measure(quick: bool = False) -> list[Row]:
    """Return the costs for each metadata, stamp size and frame format, and what becomes of big buffers."""
    cases = list(_cases())
    with _settled():
        for number in range(WARM_UP + (10 if quick else 150)):
            if number % 25 == 0:
                note(f"hot loop: round {number}")
            for case in cases:
                case.turn(number)
    return [*(case.row() for case in cases), *_buffer(8 if quick else 150)]


def _cases() -> Iterator[Case]:
    for size, target in SIZES.items():
        connections = {method: make_ends(target) for method in METHODS}  # each speaks one frame format
        for name, metadata in METADATA.items():
            for method, ends in connections.items():
                yield Case(size, name, method, ends, _messages(metadata, method))


def _messages(metadata: Json, method: str) -> list[Any]:
    """Return distinct messages as the server takes them from their frames."""
    content = {"silent": False, "store_history": True, "user_expressions": {}, "stop_on_error": True}
    messages = [message("execute_request", {"code": f"total({n})", **content}, metadata) for n in range(100)]
    return [packed(msg) for msg in messages] if method == "send_raw" else messages


def _loop(send: Callable[..., Any], stream: Drop, messages: list[Any]) -> float:
    start = perf_counter_ns()
    for msg in messages:
        send(stream, msg)
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
    text = f"{cost.text(1, ' µs', '+')} on {plain.value:.1f} µs"
    return at_most(what, text, cost, 15, " µs") if typical else Row(what, text)


def _buffer(rounds: int) -> Iterator[Row]:
    """From a frame with a 9 MB buffer to the stream, as the server does it, and where the bytes are."""
    ends = make_ends(SIZES[TYPICAL])
    for frames in BUFFER_FORMATS:
        note(f"hot loop: a buffer of 9 MB, {frames}")
        frame = pack({**COMM, "buffers": [bytes(BUFFER_SIZE)]}, "shell", frames)
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


def _incoming(session: Any, stream: Drop, frames: Format, frame: bytes) -> None:
    """Do what jupyter_server does with a frame."""
    if frames == "v1":
        session.send_raw(stream, deserialize_msg_from_ws_v1(frame)[1])
    else:
        session.send(stream, deserialize_binary_message(frame))


def _identity(ends: Ends) -> Row:
    buffer, stream = bytes(BUFFER_SIZE), ends.stream
    ends.stamped.send_raw(stream, [*packed(COMM), buffer])
    same = [stream.last[-1] is buffer]
    ends.stamped.send(stream, {**COMM, "buffers": [buffer]})
    same.append(stream.last[-1] is buffer)
    found = zip(METHODS, same, strict=True)
    text = ", ".join(f"{name}: {'the same object' if met else 'another object'}" for name, met in found)
    return expected("the buffer that reaches the stream", text, "the same object", met=all(same))
