"""What every store of state does. The rules, which one contract test holds every store to:

1. Texts are opaque: what is read is what was put, to the letter. Only `add` looks inside, and takes a JSON number.
2. A version is at least 1, and no version of a scope comes twice: what was deleted and made again has a higher one.
   A key that is absent, or whose time is over, has version 0.
3. `apply` does all or nothing: if one of `expects` is not so, it raises `Conflict` and has changed nothing.
   The limits of a scope hold at that same moment, so that two writers cannot exceed them together.
4. Time is the store's: a store that several servers share decides by its own clock what is over.
5. A store that cannot be reached raises `StateUnavailable`. It never answers with less than it holds.
6. A feed tells what other store objects changed, in this process or elsewhere. After a gap it says that anything may
   have changed. A notice comes after its write can be read.

Methods may be called from any thread; they block until the store has answered.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from ...errors import Conflict, StateUnavailable
from ..keys import Scope
from ..values import Limits

__all__ = [
    "RESYNC",
    "Closeable",
    "Conflict",
    "Entry",
    "Keep",
    "Notice",
    "Row",
    "Store",
    "Where",
    "check_expected",
    "for_ever",
    "insist",
]

TRIES, PAUSE = 500, 0.002
"""How often `add` tries, and the longest pause between two tries, in seconds."""

CONTENDED = "Too many others add to the same number at the moment. Nothing was added."

# How many seconds a scope is kept after its last use; None: for ever.
Keep = Callable[[Scope], float | None]


@dataclass(frozen=True, slots=True)
class Entry:
    """A value's text, and the version that a later `apply` may expect."""

    text: str
    version: int


@dataclass(frozen=True, slots=True)
class Row:
    """An entry as it is exported. ``expires`` is in seconds since the epoch, by the store's clock."""

    scope: Scope
    key: str
    text: str
    version: int
    expires: float | None


@dataclass(frozen=True, slots=True)
class Where:
    """Which scopes are meant: those that equal all that is given. ``scope`` is a `Scope.id`."""

    audience: str | None = None
    space: str | None = None
    identity: str | None = None
    scope: str | None = None

    def given(self) -> dict[str, str]:
        """Return what is given, by name."""
        parts = {"audience": self.audience, "space": self.space, "identity": self.identity, "scope": self.scope}
        return {name: value for name, value in parts.items() if value is not None}

    def limited(self) -> Where:
        """Return it; raises ValueError if nothing is given, as everything would be erased."""
        if not self.given():
            raise ValueError("erase() needs a scope, an identity, a space or an audience: Where() means everything.")
        return self


@dataclass(frozen=True, slots=True)
class Notice:
    """Something changed. Without keys: any key of the scope. Without a scope: anything."""

    scope: str | None
    keys: frozenset[str] | None


RESYNC = Notice(None, None)


class Closeable(Protocol):
    """What is ended by ``close()``."""

    def close(self) -> None:
        """End it; does nothing the second time."""


class Store(Protocol):
    """Entries by scope and key. All methods raise `StateUnavailable` while the store cannot be reached."""

    def read(self, scope: str, keys: Collection[str] | None) -> dict[str, Entry]:
        """Return the entries of these keys that are there, all at one moment; ``None``: of every key."""

    def readable(self, scope: str, keys: Collection[str] | None) -> dict[str, Entry]:
        """Return what `read` does, without the entries that cannot be decrypted. The first of them is logged.

        For the lists that servers keep of themselves, which one entry of another server must not hide. Never for state.
        """

    def glance(self, scope: str, keys: Collection[str] | None) -> dict[str, Entry] | None:
        """Return what `read` does if that is little and needs no wait; None if it does. The event loop asks.

        Whatever fails, it returns None: `read` has the error.
        """

    def apply(
        self,
        scope: Scope,
        expects: Mapping[str, int],
        puts: Mapping[str, str],
        drops: Collection[str],
        ttl: float | None,
        *,
        whole: bool = False,
        limits: Limits | None = None,
    ) -> dict[str, int]:
        """Put and drop if every key has the version that is expected; return the versions of what was put.

        ``ttl``, in seconds, holds for what is put; without it, what is put stays. ``whole``: the scope must have no
        key that is not in ``expects``. Raises `Conflict`, and `TooLarge` if the scope would exceed its ``limits``.
        """

    def add(self, scope: Scope, key: str, amount: float, *, limits: Limits | None = None) -> Entry:
        """Add to a number; an absent one counts as 0. The time that the entry has left stays as it is.

        Raises TypeError where the value is not a number, OverflowError where the sum is not finite, and `TooLarge`.
        Some stores try several times, because others are faster; after too many tries they raise `StateUnavailable`.
        """

    def try_add(self, scope: Scope, key: str, amount: float, *, limits: Limits | None = None) -> Entry:
        """Do what `add` does, with one try only: raise `Conflict` if another was faster. Then nothing has happened."""

    def replace(self, scope: Scope, key: str, version: int, text: str, *, limits: Limits | None = None) -> int:
        """Put a text in place of the one that has this version, and return the new version.

        The time that the entry has left stays as it is; an entry that was absent (version 0) has no end. Raises
        `Conflict`, and `TooLarge`.
        """

    def erase(self, where: Where) -> int:
        """Remove the scopes, with all that is in them; return how many entries that were. Never everything."""

    def export(self, where: Where) -> Iterator[Row]:
        """Yield every entry of the scopes, those of one scope as they are at one moment."""

    def outline(self, where: Where) -> Iterator[Row]:
        """Yield what `export` does, with each text as it is stored, for names, times and sizes."""

    def sweep(self) -> int:
        """Remove what is over: entries past their ttl, scopes past their retention. Return how many entries."""

    def feed(self, heard: Callable[[Notice], None]) -> Closeable:
        """Call ``heard`` for each change that others make, on a thread of the store, until the answer is closed."""

    def check(self) -> tuple[str, ...]:
        """Return what the deployer should know; raises PolicyError where the store must not be used."""

    def close(self) -> None:
        """Close all connections and feeds."""


def check_expected(have: Mapping[str, Entry], expects: Mapping[str, int]) -> None:
    """Raise Conflict unless each key has the version that is expected; 0 for a key that must be absent.

    ``have`` has the entries of these keys, or of the whole scope if nothing else may be in it.
    """
    for key, version in expects.items():
        if version != (have[key].version if key in have else 0):
            raise Conflict(key)
    for key in have:
        if key not in expects:
            raise Conflict(key)


def insist(add: Callable[[], Entry]) -> Entry:
    """Try to add until no other is faster; raises StateUnavailable after too many tries."""
    for _ in range(TRIES):
        with suppress(Conflict):
            return add()
        time.sleep(random.uniform(0, PAUSE))  # noqa: S311  # the pause is not a secret
    raise StateUnavailable(CONTENDED)


def for_ever(scope: Scope) -> float | None:
    """Keep every scope."""
    return None
