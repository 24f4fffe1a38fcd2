"""How much of a store can be read with the keys that a server has: what `check` counts, up to a bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from .base import Row
from .sealed import OPTION, Flaw

MOST = 5_000
"""How many entries are looked at."""

REMEDIES = {
    Flaw.KEYLESS: f"encrypted: name the file with the keys in AppMetaExtension.{OPTION}",
    Flaw.FOREIGN: f"encrypted with another key: add that key to the file of AppMetaExtension.{OPTION}",
    Flaw.PLAIN: "not encrypted: `jupyter app-meta state copy` encrypts all of a store into an empty one",
    Flaw.DAMAGED: "damaged: restore a copy of the store, or erase what is of that dashboard or person "
    "(`jupyter app-meta state forget`)",
}


@dataclass(frozen=True, slots=True)
class Count:
    """How many entries were looked at, and why some of them cannot be read. ``first`` is the first of these."""

    looked: int = 0
    is_all: bool = True
    flaws: Counter[Flaw] = field(default_factory=Counter)
    first: Row | None = None

    @property
    def told(self) -> str:
        """The count as a sentence."""
        some = "" if self.is_all else "first "
        rest = "" if self.is_all else " There are more, which were not looked at."
        readable = self.looked - self.flaws.total()
        return f"{readable} of the {some}{self.looked} stored entries can be read with the keys of this server.{rest}"

    @property
    def remedies(self) -> str:
        """Why the others cannot be read, and what to do."""
        found = sorted(self.flaws.items(), key=_name)
        return "; ".join(f"{number} {'is' if number == 1 else 'are'} {REMEDIES[why]}" for why, number in found)


def count(rows: Iterator[Row], flaw: Callable[[str, str, str], Flaw | None], most: int = MOST) -> Count:
    """Look at some entries, with their texts as they are stored; ``flaw`` says why a text cannot be read."""
    looked, flaws, first = 0, Counter[Flaw](), None
    for row in islice(rows, most):
        looked += 1
        if found := flaw(row.scope.id, row.key, row.text):
            flaws[found] += 1
            first = first or row
    return Count(looked, next(rows, None) is None, flaws, first)


def _name(item: tuple[Flaw, int]) -> str:
    return item[0].name
