"""How long the last of ten and of fifty visitors waits who come at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from statistics import median
from threading import Barrier
from time import perf_counter

from ..report import Row, at_most, note
from ..stats import Spread
from .pages import HEADS
from .servers import Contender, Running, all_contenders, running

TITLE = "Dashboards: ten and fifty visitors at once"
NOTE = (
    "Method: the servers run one after the other, with the pages of `forks.alone`. Threads of one client, each a new "
    "visitor, are let go at one moment; the time is until the last of them has the name. The server is at rest before. "
    "The median of the crowds counts, and the fastest and the slowest stand in brackets. Cold kernels and Voila's meet "
    "no crowd of fifty."
)
SIZES = (10, 50)
GOALS = {("bare", 10): 120, ("pandas", 10): 200, ("bare", 50): 600, ("pandas", 50): 600}
"""Milliseconds until the last one has the name."""


def measure(quick: bool = False, heads: tuple[str, ...] = tuple(HEADS)) -> list[Row]:
    """Return what each contender takes."""
    return [row for head in heads for row in _rows(head, quick)]


def _rows(head: str, quick: bool) -> list[Row]:
    found = {contender.name: _crowds(contender, head, quick) for contender in all_contenders()}
    own = found.pop("forked")
    rows = []
    for size in SIZES:
        what = f"{head}: {size} at once, the last of them"
        others = (f"{name} {sizes[size].text(0, ' ms')}" for name, sizes in found.items() if size in sizes)
        rows += [at_most(f"{what}, forked", own[size].text(0, " ms"), own[size], GOALS[head, size], " ms")]
        rows += [Row(f"{what}, the others", "; ".join(others))]
    return rows


def _crowds(contender: Contender, head: str, quick: bool) -> dict[int, Spread]:
    """Return the milliseconds of crowds, by their size: the median, the fastest and the slowest."""
    found = {}
    with running(contender, head) as server:
        _crowd(server, 1)  # what is only done once is not what a crowd waits for
        for size in SIZES[:1] if contender.is_slow else SIZES:
            note(f"forks.crowds: {head}, {size} at once, {contender.name}")
            taken = [_crowd(server, size) for _ in range(_rounds(contender, quick))]
            found[size] = Spread(median(taken), min(taken), max(taken))
    return found


def _rounds(contender: Contender, quick: bool) -> int:
    if quick or contender.is_slow or contender.name == "warm":
        return 1
    return 7 if contender.name == "forked" else 3


def _crowd(server: Running, size: int) -> float:
    """Return the milliseconds until the last of these visitors has the name."""
    server.settle()
    visitors = [server.visitor() for _ in range(size)]
    gate = Barrier(size + 1)

    def visit(number: int) -> float:
        gate.wait()
        visitors[number].open()
        return perf_counter()

    with ThreadPoolExecutor(size) as threads:
        visits = [threads.submit(visit, number) for number in range(size)]
        gate.wait()
        start = perf_counter()
        last = max(visit.result() for visit in visits)
        list(threads.map(lambda visitor: visitor.close(), visitors))
    return 1000 * (last - start)
