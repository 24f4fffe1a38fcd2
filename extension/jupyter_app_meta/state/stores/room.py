"""What a scope holds when it is written to, and whether that write fits: one rule for every store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..values import Limits


class Room(NamedTuple):
    """What a scope holds, and how much of it a write replaces or drops: keys, and bytes of values."""

    keys: int
    size: int
    old_keys: int
    old_size: int

    def check(self, limits: Limits, puts: Mapping[str, str]) -> None:
        """Raise TooLarge if these texts exceed a limit. A scope above a lowered limit can still be made smaller."""
        keys = self.keys - self.old_keys + len(puts)
        size = self.size - self.old_size + sum(map(len, puts.values()))
        limits.check_scope(keys if keys > self.keys else 0, size if size > self.size else 0)
