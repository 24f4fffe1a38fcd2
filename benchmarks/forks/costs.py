"""What a visitor costs: processor time and memory, of a page that is only looked at, and of one that is used."""

from __future__ import annotations

from dataclasses import dataclass

from ..report import Row, expected, note
from .pages import HEADS
from .servers import Contender, Running, all_contenders, running

TITLE = "Dashboards: processor time and memory of a visitor"
NOTE = (
    "Method: the servers run one after the other, with the pages of `forks.alone`. Memory is what the proportional set "
    "size of the server and all its processes grows by, for each page that is open. Processor time is theirs, "
    "from the request until the page has ended and what was ahead of visitors is there again. Used: the page's socket "
    "is open, the state of its widgets was fetched, and its slider was moved three times. Frameworks that share "
    "a process need their socket for the page, so it is open in both cases."
)
GOALS = {("bare", False): (25, 6), ("pandas", False): (30, 7), ("bare", True): (None, 12), ("pandas", True): (None, 14)}
"""Milliseconds and MiB of a visitor, by whether the page is used."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a visitor costs: milliseconds of processor time, and MiB."""

    cpu: float
    memory: float

    def __str__(self) -> str:
        return f"{self.cpu:.0f} ms, {self.memory:.1f} MiB"


def measure(quick: bool = False, heads: tuple[str, ...] = tuple(HEADS)) -> list[Row]:
    """Return what each contender costs."""
    return [row for head in heads for row in _rows(head, quick)]


def _rows(head: str, quick: bool) -> list[Row]:
    found = {contender.name: _costs(contender, head, quick) for contender in all_contenders()}
    own = found.pop("forked")
    rows = []
    for is_used in (False, True):
        cpu, memory = GOALS[head, is_used]
        what = f"{head}: {'a page that is used' if is_used else 'a page'}"
        target = " and ".join([*([f"{cpu} ms"] if cpu else []), f"{memory} MiB"])
        met = own[is_used].memory <= memory and own[is_used].cpu <= (cpu or own[is_used].cpu)
        rows += [expected(f"{what}, forked", str(own[is_used]), f"at most {target}", met=met)]
        rows += [Row(f"{what}, the others", "; ".join(f"{name} {cost[is_used]}" for name, cost in found.items()))]
    return rows


def _costs(contender: Contender, head: str, quick: bool) -> dict[bool, Cost]:
    """Return the cost of a page, and of a page that is used."""
    note(f"forks.costs: {head}, {contender.name}")
    visitors = 2 if contender.is_slow or contender.name == "warm" else 3 if quick else 30
    with running(contender, head) as server:
        return {is_used: _cost(server, visitors, is_used=is_used) for is_used in (False, True)}


def _cost(server: Running, visitors: int, *, is_used: bool) -> Cost:
    first = server.visitor()
    first.opened()
    first.close()
    server.settle()
    cpu, memory = server.cpu(), server.memory()
    opened = []
    for _ in range(visitors):
        opened.append(visitor := server.visitor())
        visitor.open()
        if is_used:
            visitor.connect()
            for value in (10, 20, 30):
                visitor.move(value)
    server.settle()
    grown = server.memory() - memory
    for visitor in opened:
        visitor.close()
    server.settle()
    return Cost(1000 * (server.cpu() - cpu) / visitors, grown / visitors)
