"""The steps of a read and of a write, in any SQL database: one statement after the other."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa

from ...values import Limits
from ..base import Entry
from ..names import quoted, unquoted
from ..room import Room
from .tables import Statements

Columns = Mapping[str, Any]


class Stored(NamedTuple):
    """An entry, and when it is over."""

    text: str
    version: int
    expires: float | None


class Held(NamedTuple):
    """What a locked scope has: its revision, the database's time, the entries that were asked for, and its room."""

    last: int
    now: float
    found: Mapping[str, Stored]
    room: Room | None

    @property
    def entries(self) -> dict[str, Entry]:
        """The entries, without their ends."""
        return {key: Entry(stored.text, stored.version) for key, stored in self.found.items()}

    def check(self, limits: Limits | None, puts: Mapping[str, str]) -> None:
        """Raise TooLarge if the scope has no room for these texts."""
        if self.room and limits is not None and puts:
            self.room.check(limits, puts)


class Steps(Protocol):
    """How a store reads and writes on a connection that is lent to it."""

    def read(self, db: sa.Connection, scope: str, keys: Collection[str] | None) -> dict[str, Entry]:
        """Return the entries of these keys, or all."""

    def hold(
        self, db: sa.Connection, scope: str, keys: Collection[str] | None, changed: Collection[str]
    ) -> Held | None:
        """Lock the scope's row, and read these keys, or all, and the room for these changes; None if it has no row."""

    def write(
        self, db: sa.Connection, scope: str, row: Columns, puts: Mapping[str, Stored], drops: Collection[str]
    ) -> None:
        """Change the row of a scope that is held, which tells other servers, and its entries; it may commit."""


class Plain:
    """The steps in any database. ``noticed`` changes a scope's row and tells of it."""

    def __init__(self, sql: Statements, noticed: Any) -> None:
        self._sql, self._noticed = sql, noticed

    def read(self, db: sa.Connection, scope: str, keys: Collection[str] | None) -> dict[str, Entry]:
        """See `Steps.read`."""
        return {key: Entry(stored.text, stored.version) for key, stored in self._found(db, scope, keys).items()}

    def hold(
        self, db: sa.Connection, scope: str, keys: Collection[str] | None, changed: Collection[str]
    ) -> Held | None:
        """See `Steps.hold`."""
        row = db.execute(self._sql.lock, {"scope": scope}).first()
        if row is None:
            return None
        found = self._found(db, scope, keys)
        room = None
        if changed:
            sums = db.execute(self._sql.room, {"scope": scope, "keys": [quoted(key) for key in changed]}).one()
            room = Room(*map(int, sums))
        return Held(row[0], float(row[1]), found, room)

    def write(
        self, db: sa.Connection, scope: str, row: Columns, puts: Mapping[str, Stored], drops: Collection[str]
    ) -> None:
        """See `Steps.write`. The scope's lock keeps other writers out between removing and putting."""
        db.execute(self._noticed, {**row, "which": scope})
        put, gone = (self._sql.put, (*puts, *drops)) if self._sql.replace is None else (self._sql.replace, tuple(drops))
        if gone:
            db.execute(self._sql.drop, {"scope": scope, "keys": [quoted(key) for key in gone]})
        rows = put_rows(scope, puts)
        if rows:
            db.execute(put, rows if len(rows) > 1 else rows[0])

    def _found(self, db: sa.Connection, scope: str, keys: Collection[str] | None) -> dict[str, Stored]:
        if keys is None:
            return stored(db.execute(self._sql.all, {"scope": scope}))
        if not keys:
            return {}
        return stored(db.execute(self._sql.some, {"scope": scope, "keys": [quoted(key) for key in keys]}))


def stored(rows: Any) -> dict[str, Stored]:
    """Return the entries of rows."""
    return {unquoted(key): Stored(text, version, expires) for key, text, version, expires in rows}


def put_rows(scope: str, puts: Mapping[str, Stored]) -> list[dict[str, Any]]:
    """Return the rows of entries."""
    return [
        {"scope": scope, "key": quoted(key), "value": put.text, "version": put.version, "expires": put.expires}
        for key, put in puts.items()
    ]
