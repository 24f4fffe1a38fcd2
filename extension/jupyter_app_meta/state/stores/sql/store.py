"""State in a SQL database, by SQLAlchemy: PostgreSQL, MariaDB, or a SQLite file.

A write locks its scope's row, so writers of one scope take turns. PostgreSQL tells the other servers of a change
(``LISTEN``); other databases are asked once a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import sqlalchemy as sa

from ...keys import Scope
from ...values import Limits
from ..base import Closeable, Conflict, Entry, Keep, Notice, Row, Where, check_expected, for_ever
from ..feeding import Feed, Seen
from ..names import unquoted
from ..notices import encode
from ..numbers import added
from ..recent import HOUR, Recent
from . import removal
from .database import Database, Result
from .notify import listen, noticed
from .steps import Held, Plain, Steps, Stored
from .tables import PARTS, Statements, chosen, entries, scopes

# Seconds between two looks at what others wrote; microseconds that a transaction may take from clock to commit.
POLL, WINDOW = 1.0, 10_000_000

UNTESTED = (
    "The state database ({} by {}) is not among those that are tested: PostgreSQL by psycopg, MariaDB by PyMySQL, "
    "SQLite and Redis. It has proved at the start that it keeps what state needs."
)

Put = tuple[str, float | None]
"""A text, and when it is over."""


class Sql:
    """A store in the database of a SQLAlchemy URL; ``keep`` says how long an unused scope stays."""

    def __init__(self, url: str, keep: Keep = for_ever, *, poll: float = POLL) -> None:
        self._db, self._keep, self._poll = Database(url), keep, poll
        self._now, self._sql = self._db.clock, self._db.statements
        self._seen, self._recent = Seen(WINDOW), Recent()
        self._notifies = self._db.is_postgresql
        self._noticed = noticed(self._sql.change) if self._notifies else self._sql.change
        self._steps = _steps(self._db, self._sql, self._noticed)
        self._feed = Feed(self._listen if self._notifies else self._changes)

    def read(self, scope: str, keys: Collection[str] | None) -> dict[str, Entry]:
        """See `Store.read`."""
        with self._db.reading() as db:
            found = self._steps.read(db, scope, keys) if keys is None or keys else {}
        if found and self._recent.due(scope):
            self._mark(scope)
        return found

    def readable(self, scope: str, keys: Collection[str] | None) -> dict[str, Entry]:
        """See `Store.readable`."""
        return self.read(scope, keys)

    def glance(self, scope: str, keys: Collection[str] | None) -> None:
        """See `Store.glance`. A database is asked over a connection."""

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
        changed = [*puts, *drops]

        def work(db: sa.Connection) -> dict[str, int]:
            held = self._hold(db, scope, None if whole else expects, changed if puts and limits else ())
            check_expected(held.entries, expects)
            if not changed:
                return {}
            held.check(limits, puts)
            expires = None if ttl is None else held.now + ttl
            revision = self._write(db, scope, held, {key: (text, expires) for key, text in puts.items()}, drops)
            return dict.fromkeys(puts, revision)

        return self._change(work)

    def add(self, scope: Scope, key: str, amount: float, *, limits: Limits | None = None) -> Entry:
        """See `Store.add`."""

        def work(db: sa.Connection) -> Entry:
            held = self._hold(db, scope, [key], [key] if limits else ())
            have = held.found.get(key)
            total = added(key, have.text if have else None, amount)
            held.check(limits, {key: total})
            return Entry(total, self._write(db, scope, held, {key: (total, have.expires if have else None)}))

        return self._change(work)

    def try_add(self, scope: Scope, key: str, amount: float, *, limits: Limits | None = None) -> Entry:
        """See `Store.try_add`. No other writer is faster: the scope's row is locked."""
        return self.add(scope, key, amount, limits=limits)

    def replace(self, scope: Scope, key: str, version: int, text: str, *, limits: Limits | None = None) -> int:
        """See `Store.replace`."""

        def work(db: sa.Connection) -> int:
            held = self._hold(db, scope, [key], [key] if limits else ())
            have = held.found.get(key)
            if (have.version if have else 0) != version:
                raise Conflict(key)
            held.check(limits, {key: text})
            return self._write(db, scope, held, {key: (text, have.expires if have else None)})

        return self._change(work)

    def erase(self, where: Where) -> int:
        """See `Store.erase`."""
        where.limited()
        return self._change(lambda db: removal.erase(db, where, partial(self._blank, db)))

    def export(self, where: Where) -> Iterator[Row]:
        """See `Store.export`."""
        for id_, scope, _ in self._scopes(where):
            with self._db.reading() as db:
                rows = db.execute(self._sql.rows, {"scope": id_}).all()
            for key, text, version, expires in rows:
                yield Row(scope, unquoted(key), text, version, expires)

    def outline(self, where: Where) -> Iterator[Row]:
        """See `Store.outline`."""
        return self.export(where)

    def sweep(self) -> int:
        """See `Store.sweep`."""
        with self._db.reading() as db:
            now = self._time(db)
        removed = removal.sweep(self._db, sa.literal(now, sa.Double))
        for id_, scope, used in self._scopes(Where()):
            life = self._keep(scope)
            if life is not None and used < now - life:
                removed += self._end(id_, now - life)
        return removed

    def feed(self, heard: Callable[[Notice], None]) -> Closeable:
        """See `Store.feed`."""
        return self._feed.listen(heard)

    def check(self) -> tuple[str, ...]:
        """See `Store.check`."""
        with self._db.reading():
            return () if self._db.is_tested else (UNTESTED.format(self._db.dialect, self._db.driver),)

    def close(self) -> None:
        """See `Store.close`."""
        self._feed.close()
        self._db.close()

    def _change(self, work: Callable[[sa.Connection], Result]) -> Result:
        """Do work that writes to scopes, and return its result."""
        with self._seen.unless_undone():
            return self._db.write(work)

    def _hold(self, db: sa.Connection, scope: Scope, keys: Collection[str] | None, changed: Collection[str]) -> Held:
        """Lock the scope's row, and make it if there is none; return what the scope has."""
        held = self._steps.hold(db, scope.id, keys, changed)
        if held is None:
            new = {"scope": scope.id, "audience": scope.audience, "space": scope.space, "revision": 0, "used": 0.0}
            # Another server may make it meanwhile.
            with suppress(sa.exc.IntegrityError), db.begin_nested():
                db.execute(self._sql.begin, new)
            held = self._steps.hold(db, scope.id, keys, changed)
        assert held is not None
        return held

    def _write(
        self, db: sa.Connection, scope: Scope, held: Held, puts: Mapping[str, Put], drops: Collection[str] = ()
    ) -> int:
        """Write to a scope that is held, with a new revision, so that other servers hear of it; return that."""
        revision = max(held.last + 1, int(held.now * 1_000_000))
        row = {"audience": scope.audience, "space": scope.space, "identity": scope.identity, "tab": scope.tab}
        self._seen.own(scope.id, held.last, revision)
        told = self._told(scope.id, [*puts, *drops])
        written = {key: Stored(text, revision, expires) for key, (text, expires) in puts.items()}
        with self._db.errors(doubt=self._db.pipelines):  # they also commit
            self._steps.write(db, scope.id, {**row, "revision": revision, "used": held.now, **told}, written, drops)
        return revision

    def _told(self, scope: str, keys: Collection[str] | None) -> dict[str, str]:
        """Return the parameter that tells other servers in one round trip with a change of the scope's row."""
        return {"notice": encode(self._db.name, scope, keys)} if self._notifies else {}

    def _time(self, db: sa.Connection) -> float:
        return float(db.execute(self._sql.time).scalar_one())

    def _blank(self, db: sa.Connection, scope: str, last: int) -> int:
        """Remove a scope's entries and the names in its row; return how many entries that were."""
        now = self._time(db)
        erased = db.execute(entries.delete().where(entries.c.scope == scope)).rowcount
        blank = {"audience": "", "space": "", "identity": None, "tab": None}
        revision = max(last + 1, int(now * 1_000_000))
        self._seen.own(scope, last, revision)
        row = {**blank, "revision": revision, "used": now, **self._told(scope, None)}
        db.execute(self._noticed, {**row, "which": scope})
        return erased

    def _mark(self, scope: str) -> None:
        """Note that the scope is in use, unless a write would have to wait: reading must not."""
        with suppress(ConnectionError), self._db.writing() as db:
            mine = sa.select(scopes.c.scope).where(scopes.c.scope == scope, scopes.c.used < self._now - HOUR)
            if db.execute(mine.with_for_update(skip_locked=True)).first():
                db.execute(scopes.update().where(scopes.c.scope == scope).values(used=self._now))

    def _end(self, scope: str, since: float) -> int:
        """Remove a scope that was last used before ``since``."""

        def work(db: sa.Connection) -> int:
            unused = sa.and_(scopes.c.scope == scope, scopes.c.used < since)
            if not db.execute(sa.select(scopes.c.scope).where(unused).with_for_update()).first():
                return 0
            removed = db.execute(entries.delete().where(entries.c.scope == scope)).rowcount
            db.execute(scopes.delete().where(scopes.c.scope == scope))
            return removed

        return self._db.write(work)

    def _scopes(self, where: Where) -> Iterator[tuple[str, Scope, float]]:
        """Yield the scopes and when each was last used, a page at a time: nothing is held open between."""
        query = sa.select(scopes.c.scope, *PARTS, scopes.c.used).where(chosen(where))
        for page in removal.paged(self._db, query, scopes.c.scope):
            for id_, *parts, used in page:
                yield id_, Scope(*parts), used

    def _listen(self, stopped: threading.Event) -> Iterator[Notice | None]:
        with self._db.own() as db:
            yield from listen(db, self._db.name, stopped)

    def _changes(self, stopped: threading.Event) -> Iterator[Notice | None]:
        """Ask for the scopes that were written lately, and tell which of them others wrote."""
        query = sa.select(scopes.c.scope, scopes.c.revision)
        with self._db.reading() as db:
            highest = db.scalar(sa.select(sa.func.max(scopes.c.revision))) or 0
            rows = db.execute(query.where(scopes.c.revision > highest - WINDOW)).all()
        self._seen.begin((row[0], row[1]) for row in rows)
        while not stopped.is_set():
            yield None
            stopped.wait(self._poll)
            with self._db.reading() as db:
                rows = db.execute(query.where(scopes.c.revision > self._seen.floor)).all()
            for scope in self._seen.fresh((row[0], row[1]) for row in rows):
                yield Notice(scope, None)
        self._seen.end()


def _steps(db: Database, sql: Statements, noticed: Any) -> Steps:
    if not db.pipelines:
        return Plain(sql, noticed)
    from .pipelined import Pipelined  # for one driver

    return Pipelined(sql, noticed, db.sql)
