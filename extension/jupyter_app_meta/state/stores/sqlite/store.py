"""State in one SQLite file: the default, which needs nothing but Python.

Writers take turns (``BEGIN IMMEDIATE``, at most 5 seconds), readers never wait (WAL). On a file system of another
machine there is no WAL: there one server locks the file for itself.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from ...keys import Scope
from ...values import Limits
from ..base import Closeable, Conflict, Entry, Keep, Notice, Row, Where, check_expected, for_ever
from ..feeding import Feed, Seen
from ..names import quoted, unquoted
from ..numbers import added
from ..recent import HOUR, Recent
from ..room import Room
from ..schema import TOMB
from .file import REMEDIES, Connections
from .places import foreign, shared_with_others, writable

# Seconds between two looks at what other processes wrote; scopes that one step of an export or a sweep takes.
POLL, PAGE = 0.5, 500

# Entries, and characters of texts, that a glance returns at most.
GLANCE, GLANCED = 64, 64 * 1024

PARTS = "scope, audience, space, identity, tab"
LIVE = "(expires IS NULL OR expires > ?)"
PUT_SCOPE = (
    f"INSERT INTO scopes({PARTS}, revision, used) VALUES(?,?,?,?,?,?,?) ON CONFLICT(scope) DO UPDATE SET "
    "audience=excluded.audience, space=excluded.space, identity=excluded.identity, tab=excluded.tab, "
    "revision=excluded.revision, used=excluded.used"
)
PUT = "INSERT OR REPLACE INTO entries(scope, key, value, version, expires) VALUES(?,?,?,?,?)"


class Sqlite:
    """A store in a file; ``keep`` says how long an unused scope stays."""

    def __init__(self, path: Path, keep: Keep = for_ever, *, poll: float = POLL) -> None:
        self._file, self._keep, self._poll = Connections(path), keep, poll
        # The file's revisions only grow, whatever scope they are of.
        self._seen, self._recent = Seen(window=0), Recent()
        self._feed = Feed(self._changes)

    def read(self, scope: str, keys: Collection[str] | None) -> dict[str, Entry]:
        """See `Store.read`."""
        with self._file.reading() as db:
            found = _read(db, scope, keys)
        if found and self._recent.due(scope):
            self._mark(scope)
        return found

    def glance(self, scope: str, keys: Collection[str] | None) -> dict[str, Entry] | None:
        """See `Store.glance`. Other writers are no reason to wait; a file that one server has locked for itself is."""
        if not self._recent.has(scope) or (keys is not None and len(keys) > GLANCE):
            return None
        with suppress(sqlite3.Error, OSError), self._file.glancing() as db:
            return None if db is None else _glanced(db, scope, keys)
        return None

    def readable(self, scope: str, keys: Collection[str] | None) -> dict[str, Entry]:
        """See `Store.readable`."""
        return self.read(scope, keys)

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
        with self._seen.unless_undone(), self._file.writing() as db:
            check_expected(_read(db, scope.id, None if whole else expects), expects)
            if not puts and not drops:
                return {}
            _check_room(db, scope.id, limits, puts, drops)
            revision = self._revise(db, scope)
            expires = None if ttl is None else time.time() + ttl
            db.executemany(PUT, [(scope.id, quoted(key), text, revision, expires) for key, text in puts.items()])
            db.executemany("DELETE FROM entries WHERE scope=? AND key=?", [(scope.id, quoted(key)) for key in drops])
        return dict.fromkeys(puts, revision)

    def add(self, scope: Scope, key: str, amount: float, *, limits: Limits | None = None) -> Entry:
        """See `Store.add`."""
        with self._seen.unless_undone(), self._file.writing() as db:
            text, _, expires = _one(db, scope.id, key)
            total = added(key, text, amount)
            _check_room(db, scope.id, limits, {key: total})
            entry = Entry(total, self._revise(db, scope))
            db.execute(PUT, (scope.id, quoted(key), entry.text, entry.version, expires))
        return entry

    def try_add(self, scope: Scope, key: str, amount: float, *, limits: Limits | None = None) -> Entry:
        """See `Store.try_add`. No other writer is faster: they take turns."""
        return self.add(scope, key, amount, limits=limits)

    def replace(self, scope: Scope, key: str, version: int, text: str, *, limits: Limits | None = None) -> int:
        """See `Store.replace`."""
        with self._seen.unless_undone(), self._file.writing() as db:
            _, found, expires = _one(db, scope.id, key)
            if found != version:
                raise Conflict(key)
            _check_room(db, scope.id, limits, {key: text})
            revision = self._revise(db, scope)
            db.execute(PUT, (scope.id, quoted(key), text, revision, expires))
        return revision

    def erase(self, where: Where) -> int:
        """See `Store.erase`."""
        condition, values = _condition(where.limited())
        with self._seen.unless_undone(), self._file.writing() as db:
            chosen = f"SELECT scope FROM scopes WHERE {condition}"
            scopes = db.execute(f"SELECT scope, revision FROM scopes WHERE {condition}", values).fetchall()
            erased = db.execute(f"DELETE FROM entries WHERE scope IN ({chosen})", values).rowcount
            revision = _next(db)
            for scope, last in scopes:
                self._seen.own(scope, last, revision)
            blank = "audience='', space='', identity=NULL, tab=NULL, revision=?, used=?"
            db.execute(f"UPDATE scopes SET {blank} WHERE {condition}", (revision, time.time(), *values))
        return erased

    def export(self, where: Where) -> Iterator[Row]:
        """See `Store.export`."""
        for id_, scope, _ in self._scopes(where):
            with self._file.reading() as db:
                sql = f"SELECT key, value, version, expires FROM entries WHERE scope=? AND {LIVE} ORDER BY key"
                rows = db.execute(sql, (id_, time.time())).fetchall()
            for key, *rest in rows:
                yield Row(scope, unquoted(key), *rest)

    def outline(self, where: Where) -> Iterator[Row]:
        """See `Store.outline`."""
        return self.export(where)

    def sweep(self) -> int:
        """See `Store.sweep`."""
        now = time.time()
        with self._file.writing() as db:
            removed = db.execute("DELETE FROM entries WHERE expires <= ?", (now,)).rowcount
            db.execute("DELETE FROM scopes WHERE audience='' AND used < ?", (now - TOMB,))
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
        with self._file.reading():
            pass
        path, warnings = self._file.path, []
        if self._file.remote:
            warnings.append(
                f"The state file {path} is on {self._file.remote}: only one server can use it. "
                "If there are several, set state_url to a database."
            )
        if not writable(path):
            warnings.append(f"The state file {path} can be read only: {REMEDIES[sqlite3.SQLITE_READONLY]}.")
        if shared_with_others(path):
            warnings.append(f"Other accounts may read the state file {path}: chmod 600 {path}")
        if problem := foreign(path):
            warnings.append(f"Another account may read and change the state file {path}: {problem}")
        return tuple(warnings)

    def close(self) -> None:
        """See `Store.close`."""
        self._feed.close()
        self._file.close()

    def _revise(self, db: sqlite3.Connection, scope: Scope) -> int:
        """Write the scope's row, with a new revision; return that."""
        (last,) = db.execute("SELECT revision FROM scopes WHERE scope=?", (scope.id,)).fetchone() or (0,)
        revision = _next(db)
        parts = (scope.id, scope.audience, scope.space, scope.identity, scope.tab)
        db.execute(PUT_SCOPE, (*parts, revision, time.time()))
        self._seen.own(scope.id, last, revision)
        return revision

    def _mark(self, scope: str) -> None:
        """Note that the scope is in use, unless a write would have to wait: reading must not."""
        now = time.time()
        with suppress(ConnectionError), self._file.writing(patient=False) as db:
            db.execute("UPDATE scopes SET used=? WHERE scope=? AND used < ?", (now, scope, now - HOUR))

    def _end(self, scope: str, since: float) -> int:
        """Remove a scope that was last used before ``since``."""
        with self._file.writing() as db:
            unused = "scope IN (SELECT scope FROM scopes WHERE scope=? AND used < ?)"
            removed = db.execute(f"DELETE FROM entries WHERE {unused}", (scope, since)).rowcount
            db.execute("DELETE FROM scopes WHERE scope=? AND used < ?", (scope, since))
        return removed

    def _scopes(self, where: Where) -> Iterator[tuple[str, Scope, float]]:
        """Yield the scopes and when each was last used, a page at a time: nothing is held open between."""
        condition, values = _condition(where)
        sql = f"SELECT {PARTS}, used FROM scopes WHERE {condition} AND scope > ? ORDER BY scope LIMIT {PAGE}"
        last: str | None = ""
        while last is not None:
            with self._file.reading() as db:
                page = db.execute(sql, (*values, last)).fetchall()
            for id_, *parts, used in page:
                yield id_, Scope(*parts), used
            last = page[-1][0] if len(page) == PAGE else None

    def _changes(self, stopped: threading.Event) -> Iterator[Notice | None]:
        """Look whether another connection wrote, and if so, what."""
        with self._file.lent() as db:
            self._seen.begin(db.execute("SELECT scope, revision FROM scopes ORDER BY revision DESC LIMIT 1"))
            version = None
            while not stopped.is_set():
                yield None
                stopped.wait(self._poll)
                (now,) = db.execute("PRAGMA data_version").fetchone()
                if now != version:
                    version = now
                    sql = "SELECT scope, revision FROM scopes WHERE revision > ?"
                    for scope in self._seen.fresh(db.execute(sql, (self._seen.floor,)).fetchall()):
                        yield Notice(scope, None)
        self._seen.end()


def _next(db: sqlite3.Connection) -> int:
    """Return a revision: the time in microseconds, or more than any that there is."""
    (last,) = db.execute("SELECT max(revision) FROM scopes").fetchone()
    return max((last or 0) + 1, time.time_ns() // 1000)


def _glanced(db: sqlite3.Connection, scope: str, keys: Collection[str] | None) -> dict[str, Entry] | None:
    """Return what `_read` does, or None if it is much."""
    found, size = dict[str, Entry](), 0
    for key, text, version in _rows(db, scope, keys):
        found[unquoted(key)], size = Entry(text, version), size + len(text)
        if len(found) > GLANCE or size > GLANCED:
            return None
    return found


def _read(db: sqlite3.Connection, scope: str, keys: Collection[str] | None) -> dict[str, Entry]:
    return {unquoted(key): Entry(text, version) for key, text, version in _rows(db, scope, keys)}


def _rows(db: sqlite3.Connection, scope: str, keys: Collection[str] | None) -> Iterable[tuple[str, str, int]]:
    if keys is not None and not keys:
        return ()
    some = "" if keys is None else f" AND key IN ({','.join('?' * len(keys))})"
    sql = f"SELECT key, value, version FROM entries WHERE scope=? AND {LIVE}{some}"
    return db.execute(sql, (scope, time.time(), *map(quoted, keys or ())))


def _one(db: sqlite3.Connection, scope: str, key: str) -> tuple[str | None, int, float | None]:
    """Return the text, the version and the end of an entry, all at one moment."""
    sql = f"SELECT value, version, expires FROM entries WHERE scope=? AND key=? AND {LIVE}"
    return db.execute(sql, (scope, quoted(key), time.time())).fetchone() or (None, 0, None)


def _check_room(
    db: sqlite3.Connection, scope: str, limits: Limits | None, puts: Mapping[str, str], drops: Collection[str] = ()
) -> None:
    """Raise TooLarge if the scope has no room for what is put."""
    if limits is None or not puts:
        return
    changed = [quoted(key) for key in (*puts, *drops)]
    held = f"SELECT value, key IN ({','.join('?' * len(changed))}) AS old FROM entries WHERE scope=? AND {LIVE}"
    sums = "count(*), coalesce(sum(length(value)), 0), coalesce(sum(old), 0), coalesce(sum(old * length(value)), 0)"
    Room(*db.execute(f"SELECT {sums} FROM ({held})", (*changed, scope, time.time())).fetchone()).check(limits, puts)


def _condition(where: Where) -> tuple[str, tuple[str, ...]]:
    """Return the SQL of a choice of scopes; what was erased is never among them."""
    given = where.given()
    return " AND ".join(["audience <> ''", *(f"{name}=?" for name in given)]), tuple(given.values())
