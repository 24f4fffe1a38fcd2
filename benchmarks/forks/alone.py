"""How long one visitor waits for the name: forked, warm and cold kernels, Voila, and frameworks in one process."""

from __future__ import annotations

from contextlib import ExitStack

from ..report import Row, at_most, note
from ..stats import Spread, spread
from .pages import HEADS
from .servers import Running, all_contenders, running

TITLE = "Dashboards: one visitor"
NOTE = (
    "Method: all servers run at once, and are asked in turns, when all are at rest. Each visitor is a new one, and "
    "leaves after the visit. The page loads what it needs, has a slider with a callback, and prints the visitor's "
    "name, which each server's page finds in its own way. Ours and Voila's have it in their HTML. The others bring it "
    "over a WebSocket, so their time is until that has it: GET, handshake, and what the page's script sends. Scripts "
    "and styles are not fetched. The first visitor of each server is not counted."
)
GOAL = 8
"""Milliseconds until the name is among the bytes."""


def measure(quick: bool = False, heads: tuple[str, ...] = tuple(HEADS)) -> list[Row]:
    """Return what each contender takes."""
    return [row for head in heads for row in _rows(head, 3 if quick else 12)]


def _rows(head: str, rounds: int) -> list[Row]:
    with ExitStack() as stack:
        servers = []
        for contender in all_contenders():
            note(f"forks.alone: {head}, {contender.name} starts")
            servers.append(stack.enter_context(running(contender, head)))
            _visited(servers[-1])
        times: dict[str, list[float]] = {server.name: [] for server in servers}
        for number in range(rounds):
            note(f"forks.alone: {head}, round {number + 1} of {rounds}")
            for server in servers:
                if number < 2 or not server.contender.is_slow:
                    times[server.name].append(_visited(server))
    found = {name: spread(taken).scaled(0.001) for name, taken in times.items()}
    own = found.pop("forked")
    what = f"{head}: forked, to the name among the bytes, {rounds} visits"
    return [at_most(what, own.text(1, " ms"), own, GOAL, " ms"), Row(f"{head}: the others", _text(found))]


def _visited(server: Running) -> float:
    """Return the seconds of one visit."""
    visitor = server.visitor()
    taken = visitor.opened()
    visitor.close()
    server.settle()
    return taken


def _text(found: dict[str, Spread]) -> str:
    return "; ".join(f"{name} {one.text(0, ' ms')}" for name, one in found.items())
