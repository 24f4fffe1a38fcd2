"""What a grant adds to a stamp: the same connection's messages with it and without it, on a stream that drops."""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any

from jupyter_app_meta.model import Mode, SessionInfo
from jupyter_app_meta.policy import RawRequest

from ..ends import make_ends, message
from ..hot_loop import LAB
from ..report import Row, at_most, note
from ..stats import Pair, difference

SIZE = 1500
"""Bytes of a typical stamp."""

GRANT = "g" * 290
"""As long as grants are."""


class Granted:
    """Gives each kernel a grant."""

    turn = 0

    def token(self, kernel_id: str, raw: RawRequest | None, identity: str, session: SessionInfo, mode: Mode) -> str:
        """Return the grant."""
        return GRANT


def rows(quick: bool) -> list[Row]:
    """Return the difference for a message."""
    note("state: stamps with a grant")
    without, granted = make_ends(SIZE), make_ends(SIZE + len(GRANT), Granted())
    messages = [message("execute_request", {"code": "pass"}, LAB) for _ in range(200)]
    pairs: list[Pair] = []
    for number in range(20 if quick else 300):
        taken = [0.0, 0.0]
        for side in (0, 1) if number % 2 else (1, 0):
            taken[side] = _loop((without, granted)[side], messages)
        pairs.append((taken[0], taken[1]))
    found = difference([[pair] for pair in pairs[2:]]).scaled(1000)
    what = "a stamp with a grant against one without, per message (`send`)"
    return [at_most(what, found.text(2, " µs", "+"), found, 2, " µs")]


def _loop(ends: Any, messages: list[Any]) -> float:
    start = perf_counter_ns()
    for msg in messages:
        ends.stamped.send(ends.stream, msg)
    return (perf_counter_ns() - start) / len(messages)
