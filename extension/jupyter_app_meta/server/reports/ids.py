"""Error ids: a visitor is shown ``E-7F3A``, and the author finds the error under that id in the log."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Hashable

REMEMBERED = 4096
"""How many of the most recent ids are sure to differ from one another."""


class Ids:
    """Gives out ids. The same key gets the same id, as long as the key is remembered."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, str] = OrderedDict()
        self._taken: set[str] = set()

    def __contains__(self, key: Hashable) -> bool:
        """Whether this key has an id."""
        return key in self._known

    def of(self, key: Hashable) -> str:
        """Return the id of a key; a new id for a new key."""
        if key not in self._known:
            self._known[key] = self._new()
        return self._known[key]

    def note(self, key: Hashable, known: str) -> None:
        """Give another key an id that was already given out."""
        self._known[key] = known
        self._forget()

    def _new(self) -> str:
        self._forget()
        found = _random()
        while found in self._taken:
            found = _random()
        self._taken.add(found)
        return found

    def _forget(self) -> None:
        while len(self._known) >= REMEMBERED:
            self._taken.discard(self._known.popitem(last=False)[1])


def _random() -> str:
    return f"E-{secrets.token_hex(2).upper()}"


_ids = Ids()


def new_id() -> str:
    """Return an id that differs from the most recent ones."""
    return _ids.of(object())
