"""How much one scope may hold. What a scope holds is remembered for a while, so that a write need not read it all."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from threading import Lock
from typing import NamedTuple

from ..errors import TooLarge
from .keys import Scope
from .stores.base import Store
from .values import Limits

REMEMBERED = 30.0
"""Seconds for which a scope's sizes are remembered. For so long, what other servers write is not counted."""

SCOPES = 10_000
"""How many scopes are remembered."""


class _Held(NamedTuple):
    sizes: dict[str, int]  # the bytes of each key's value
    read: float  # when they were read from the store


class Quota:
    """Checks writes against the limits of their scope. It is safe to use from any thread."""

    __slots__ = ("_clock", "_held", "_limits", "_lock", "_store")

    def __init__(self, store: Store, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._limits, self._clock = store, limits, clock
        self._held: dict[str, _Held] = {}
        self._lock = Lock()

    def check(self, scope: Scope, puts: Mapping[str, int], drops: Collection[str] = ()) -> None:
        """Raise TooLarge if the scope would exceed a limit after this write. ``puts`` has the bytes of each value."""
        try:
            self._compare(self._sizes(scope), puts, drops)
        except TooLarge:  # what is remembered may be gone since: another server deleted it, or its time is over
            self.forget(scope)
            self._compare(self._sizes(scope), puts, drops)

    def wrote(self, scope: Scope, puts: Mapping[str, int], drops: Collection[str] = ()) -> None:
        """Count a write that was done."""
        with self._lock:
            held = self._held.get(scope.id)
            if held is not None:
                held.sizes.update(puts)
                for key in drops:
                    held.sizes.pop(key, None)

    def forget(self, scope: Scope) -> None:
        """Read the scope again before the next write."""
        with self._lock:
            self._held.pop(scope.id, None)

    def _compare(self, sizes: dict[str, int], puts: Mapping[str, int], drops: Collection[str]) -> None:
        after = {key: size for key, size in {**sizes, **puts}.items() if key not in drops}
        grows = any(size > sizes.get(key, -1) for key, size in puts.items())
        if grows:  # a scope that is over a lowered limit can still be made smaller
            self._limits.check_scope(len(after), sum(after.values()))

    def _sizes(self, scope: Scope) -> dict[str, int]:
        now = self._clock()
        with self._lock:
            held = self._held.get(scope.id)
            if held is not None and now - held.read < REMEMBERED:
                return dict(held.sizes)
        sizes = {key: len(entry.text) for key, entry in self._store.read(scope.id, None).items()}
        with self._lock:
            while len(self._held) >= SCOPES:
                del self._held[next(iter(self._held))]
            self._held[scope.id] = _Held(dict(sizes), now)
        return sizes
