"""Everything of one store → another store that is empty: for a backup, and for a move to another kind of store.

1. What people and dashboards have stored is copied, with the time that it has left, and so are the servers' shared
   secret, what was revoked and who has logged out. Pages, messages, names and leases belong to servers that run, and
   are left out.
2. The other store must be empty, so nothing is mixed or overwritten.
3. Versions are new ones. A scope is copied as it is at one moment, so no update is copied in half.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

from .keys import AUDIENCES, Scope
from .revoked import LOGOUTS, REVOKED
from .stores.base import Row, Store, Where
from .stores.secret import META

AT_ONCE = 500
"""How many entries are written at a time."""


class NotEmpty(Exception):
    """The store to which something is to be copied has state already."""


def copy(old: Store, new: Store, now: float) -> Iterator[int]:
    """Copy all that is to be kept, and yield how many entries were copied so far. Raises NotEmpty, StateUnavailable.

    ``now`` is in seconds since the epoch.
    """
    if next(_kept(new), None) is not None:
        raise NotEmpty("The other store has state already: name one that is empty.")
    count = 0
    for (scope, expires), rows in groupby(_kept(old), lambda row: (row.scope, row.expires)):
        ttl = None if expires is None else expires - now
        if ttl is None or ttl > 0:
            yield (count := count + _put(new, scope, rows, ttl))


def _put(store: Store, scope: Scope, rows: Iterator[Row], ttl: float | None) -> int:
    count = 0
    while puts := {row.key: row.text for _, row in zip(range(AT_ONCE), rows, strict=False)}:
        store.apply(scope, {}, puts, (), ttl)
        count += len(puts)
    return count


def _kept(store: Store) -> Iterator[Row]:
    for audience in (*AUDIENCES, META.audience):
        yield from store.export(Where(audience))
    for audience in (REVOKED.audience, LOGOUTS.audience):
        # That they are there is all that counts, so no text that cannot be read must stop a copy.
        yield from (replace(row, text="1") for row in store.outline(Where(audience)))
