"""A store that was away when its server started, until it has been checked.

A server does not start with a store that must not be used, for example one that is encrypted with other keys. If the
store is away then, it is checked before its first use. Until it passes, nothing is read from it or written to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from ...errors import PolicyError, StateUnavailable
from ...state.keys import Scope
from ...state.stores.base import Closeable, Entry, Notice, Row, Store, Where
from ...state.values import Limits


class Unchecked:
    """A store that ``check`` has to pass; ``check`` raises PolicyError for a store that must not be used."""

    def __init__(self, store: Store, check: Callable[[Store], object]) -> None:
        self._store, self._check, self._has_passed = store, check, False

    def read(self, scope: str, keys: Collection[str] | None) -> dict[str, Entry]:
        """See `Store.read`."""
        return self._passed.read(scope, keys)

    def readable(self, scope: str, keys: Collection[str] | None) -> dict[str, Entry]:
        """See `Store.readable`."""
        return self._passed.readable(scope, keys)

    def glance(self, scope: str, keys: Collection[str] | None) -> dict[str, Entry] | None:
        """See `Store.glance`."""
        return self._store.glance(scope, keys) if self._has_passed else None

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
        """See `Store.apply`."""
        return self._passed.apply(scope, expects, puts, drops, ttl, whole=whole, limits=limits)

    def add(self, scope: Scope, key: str, amount: float, *, limits: Limits | None = None) -> Entry:
        """See `Store.add`."""
        return self._passed.add(scope, key, amount, limits=limits)

    def try_add(self, scope: Scope, key: str, amount: float, *, limits: Limits | None = None) -> Entry:
        """See `Store.try_add`."""
        return self._passed.try_add(scope, key, amount, limits=limits)

    def replace(self, scope: Scope, key: str, version: int, text: str, *, limits: Limits | None = None) -> int:
        """See `Store.replace`."""
        return self._passed.replace(scope, key, version, text, limits=limits)

    def erase(self, where: Where) -> int:
        """See `Store.erase`."""
        return self._passed.erase(where)

    def export(self, where: Where) -> Iterator[Row]:
        """See `Store.export`. As there, nothing is asked before the first row is taken."""
        yield from self._passed.export(where)

    def outline(self, where: Where) -> Iterator[Row]:
        """See `Store.outline`. As there, nothing is asked before the first row is taken."""
        yield from self._passed.outline(where)

    def sweep(self) -> int:
        """See `Store.sweep`."""
        return self._passed.sweep()

    def feed(self, heard: Callable[[Notice], None]) -> Closeable:
        """See `Store.feed`. Notices have names only, so they are heard from the start."""
        return self._store.feed(heard)

    def check(self) -> tuple[str, ...]:
        """See `Store.check`."""
        return self._store.check()

    def close(self) -> None:
        """See `Store.close`."""
        self._store.close()

    @property
    def _passed(self) -> Store:
        if not self._has_passed:
            try:
                self._check(self._store)
            except PolicyError as error:
                raise StateUnavailable(str(error)) from error
            self._has_passed = True
        return self._store
