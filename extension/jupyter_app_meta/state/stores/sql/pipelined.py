"""The steps of a read and of a write in PostgreSQL, with as few round trips as they can have.

1. A write takes two. The first begins, locks the scope's row and reads. Each of its statements sees what was committed
   before it began, so those behind the lock see what the last writer wrote. The second writes, tells, and commits.
2. The statements are those of ``tables``, rendered once, and given to the driver: SQLAlchemy executes no pipeline.
3. A connection that an error has closed is not used again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from ..base import Entry
from ..names import quoted
from ..room import Room
from .steps import Columns, Held, Stored, put_rows, stored
from .tables import Statements, scopes

ROW = tuple(column.name for column in scopes.c if column.name != "scope")


class Pipelined:
    """The steps with psycopg. ``noticed`` changes a scope's row and tells of it."""

    def __init__(self, sql: Statements, noticed: Any, dialect: sa.Dialect) -> None:
        def rendered(statement: Any, columns: Collection[str] | None = None) -> _Rendered:
            return _Rendered(statement, dialect, columns)

        self._all, self._some, self._room = rendered(sql.all), rendered(sql.some), rendered(sql.room)
        self._lock, self._drop = rendered(sql.lock), rendered(sql.drop)
        self._put, self._change = rendered(sql.replace), rendered(noticed, ROW)

    def read(self, db: sa.Connection, scope: str, keys: Collection[str] | None) -> dict[str, Entry]:
        """See `Steps.read`."""
        with _driver(db) as driver:
            found = stored(self._find(driver, scope, keys) or ())
        return {key: Entry(one.text, one.version) for key, one in found.items()}

    def hold(
        self, db: sa.Connection, scope: str, keys: Collection[str] | None, changed: Collection[str]
    ) -> Held | None:
        """See `Steps.hold`."""
        names = [quoted(key) for key in changed]
        with _driver(db) as driver:
            with driver.pipeline():
                lock = self._lock(driver, {"scope": scope})
                found = self._find(driver, scope, keys)
                sums = self._room(driver, {"scope": scope, "keys": names}) if names else None
            row = lock.fetchone()
            if row is None:
                return None
            room = Room(*map(int, sums.fetchone())) if sums else None
            return Held(row[0], float(row[1]), stored(found or ()), room)

    def write(
        self, db: sa.Connection, scope: str, row: Columns, puts: Mapping[str, Stored], drops: Collection[str]
    ) -> None:
        """See `Steps.write`. It commits."""
        with _driver(db) as driver, driver.pipeline():
            self._change(driver, {**row, "which": scope})
            if drops:
                self._drop(driver, {"scope": scope, "keys": [quoted(key) for key in drops]})
            for put in put_rows(scope, puts):
                self._put(driver, put)
            driver.commit()

    def _find(self, driver: Any, scope: str, keys: Collection[str] | None) -> Any:
        if keys is None:
            return self._all(driver, {"scope": scope})
        return self._some(driver, {"scope": scope, "keys": [quoted(key) for key in keys]}) if keys else None


class _Rendered:
    """A statement as the driver takes it."""

    __slots__ = ("_fixed", "_text")

    def __init__(self, statement: Any, dialect: sa.Dialect, columns: Collection[str] | None) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=columns)
        self._text = str(compiled)
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}

    def __call__(self, driver: Any, values: Mapping[str, Any]) -> Any:
        return driver.execute(self._text, {**self._fixed, **values})


@contextmanager
def _driver(db: sa.Connection) -> Iterator[Any]:
    """Lend the driver's connection."""
    driver: Any = db.connection.driver_connection
    try:
        yield driver
    except Exception:
        if driver.closed:
            db.invalidate()
        raise
