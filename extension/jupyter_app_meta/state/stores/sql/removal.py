"""Which scopes a removal takes, and their locks.

1. A scope's row is locked before its entries are touched, as each write does. A writer, who holds one row, waits for no
   removal that waits for them.
2. The rows of several scopes are locked in the order of their ids. So two removals never wait for each other.
3. A sweep skips a scope that is locked at the moment: the next sweep finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from ..base import Where
from ..schema import TOMB
from .database import Database
from .tables import chosen, entries, scopes

# Scopes that one step of an export or of a removal takes.
PAGE = 500


def paged(db: Database, query: sa.Select[Any], id_: sa.ColumnElement[str]) -> Iterator[Sequence[Any]]:
    """Yield the rows of a query, whose first column is the id, in pages: nothing is held open between two of them."""
    last: str | None = ""
    while last is not None:
        with db.reading() as connection:
            page = connection.execute(query.where(id_ > last).order_by(id_).limit(PAGE)).all()
        yield page
        last = page[-1][0] if len(page) == PAGE else None


def erase(db: sa.Connection, where: Where, blank: Callable[[str, int], int]) -> int:
    """Let ``blank`` empty each of the scopes, whose row and last revision it gets; return how many entries they had."""
    condition, erased = chosen(where), 0
    found = db.scalars(sa.select(scopes.c.scope).where(condition).order_by(scopes.c.scope)).all()
    for start in range(0, len(found), PAGE):
        for scope, last in _locked(db, found[start : start + PAGE], condition):
            erased += blank(scope, last)
    return erased


def sweep(db: Database, now: sa.ColumnElement[float]) -> int:
    """Remove the entries whose time is over, and the marks of scopes that were erased long ago."""
    over = sa.select(entries.c.scope).where(entries.c.expires <= now).distinct()
    removed = sum(_sweep(db, [row[0] for row in page], now) for page in paged(db, over, entries.c.scope))
    tomb = sa.and_(scopes.c.audience == "", scopes.c.used < now - TOMB)
    for page in paged(db, sa.select(scopes.c.scope).where(tomb), scopes.c.scope):
        _unmark(db, [row[0] for row in page], tomb)
    return removed


def _sweep(db: Database, found: Sequence[str], now: sa.ColumnElement[float]) -> int:
    def work(connection: sa.Connection) -> int:
        mine = [scope for scope, _ in _locked(connection, found, sa.true(), skip=True)]
        # A sum, so that the database looks for the scopes, whose rows are locked, and not for the ends of all entries.
        over = entries.c.expires + 0.0 <= now
        return connection.execute(entries.delete().where(entries.c.scope.in_(mine), over)).rowcount if mine else 0

    return db.write(work) if found else 0


def _unmark(db: Database, found: Sequence[str], condition: sa.ColumnElement[bool]) -> None:
    def work(connection: sa.Connection) -> None:
        mine = [scope for scope, _ in _locked(connection, found, condition, skip=True)]
        if mine:
            connection.execute(scopes.delete().where(scopes.c.scope.in_(mine)))

    if found:
        db.write(work)


def _locked(
    db: sa.Connection, found: Collection[str], condition: sa.ColumnElement[bool], *, skip: bool = False
) -> Sequence[Any]:
    """Lock the rows of these scopes that fit the condition; return their ids and last revisions."""
    rows = sa.select(scopes.c.scope, scopes.c.revision).where(scopes.c.scope.in_(found), condition)
    return db.execute(rows.order_by(scopes.c.scope).with_for_update(skip_locked=skip)).all()
