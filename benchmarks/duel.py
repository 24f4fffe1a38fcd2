"""Two kinds of socket in one server on one kernel, in turns: blocks of rounds, one of each in a round.

Two servers, and two kernels, differ by more than what is measured. So does the order in which two
sockets of one kernel were opened (the kernel serves the older one first): it changes from block
to block, and the order within a round is drawn by lot. There is no pause in between: waking up a
processor that went to sleep would add a millisecond of noise.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harness import Format, Visitor

from .client import Wire
from .report import note
from .stats import Pair, Spread, spread

WARM_UP = 10

Blocks = list[list[Pair]]
Act = Callable[[Wire], tuple[str, int]]  # does something; returns its message's id and its nanoseconds


@dataclass(frozen=True, slots=True)
class Duel:
    """Two kinds of socket, and whether the client acknowledges at once."""

    first: str
    second: str
    quickack: bool
    blocks: int
    rounds: int
    frames: Format = "v1"

    @property
    def name(self) -> str:
        """What is compared with what."""
        return f"{self.second} against {self.first}, {'TCP_QUICKACK' if self.quickack else 'ordinary'} client"


def run(
    person: Visitor,
    kernel_id: str,
    duels: tuple[Duel, ...],
    act: Act = Wire.execute,
    between: Callable[[], None] = lambda: None,
) -> dict[Duel, Blocks]:
    """Run the blocks of all duels in turns; each gives blocks of pairs of nanoseconds."""
    results: dict[Duel, Blocks] = {duel: [] for duel in duels}
    for block in range(max(duel.blocks for duel in duels)):
        for duel in duels:
            note(f"block {block + 1} of {duel.blocks}: {duel.name}")
            with _sockets(person, kernel_id, duel, swapped=bool(block % 2)) as wires:
                results[duel].append(_rounds(wires, duel.rounds, act, random.Random(block)))
        between()
    return results


@contextmanager
def _sockets(person: Visitor, kernel_id: str, duel: Duel, *, swapped: bool) -> Iterator[tuple[Wire, Wire]]:
    kinds = [duel.first, duel.second][:: -1 if swapped else 1]
    wires = [Wire.connect(person, kernel_id, kind, quickack=duel.quickack, frames=duel.frames) for kind in kinds]
    for wire in wires:
        wire.settle()
    try:
        yield (wires[1], wires[0]) if swapped else (wires[0], wires[1])
    finally:
        for wire in wires:
            wire.close()


def _rounds(wires: tuple[Wire, Wire], rounds: int, act: Act, chance: random.Random) -> list[Pair]:
    """Act on both sockets in each round; return the nanoseconds of (first, second)."""
    pairs: list[Pair] = []
    with collected():
        for _ in range(WARM_UP + rounds):
            taken = {}
            for place in chance.sample((0, 1), 2):
                msg_id, taken[place] = act(wires[place])
                wires[1 - place].await_end(msg_id)
            pairs.append((taken[0], taken[1]))
    return pairs[WARM_UP:]


@contextmanager
def collected() -> Iterator[None]:
    """Keep this process's garbage collector out of a measurement."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def count(blocks: Blocks) -> int:
    """Return the number of rounds."""
    return sum(len(block) for block in blocks)


def text(found: Spread, blocks: Blocks) -> str:
    """Return a ratio, the medians that it is made of, and the number of rounds."""
    first, second = (spread(pair[side] / 1e6 for block in blocks for pair in block) for side in (0, 1))
    medians = f"p50 {second.text(2, ' ms')} against {first.text(2, ' ms')}"
    return f"ratio {found.text(3)}; {medians}; {count(blocks)} rounds"
