"""The connections to one SQLite file: a few, used in turn by any number of threads, and what their errors mean."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ....errors import StateUnavailable
from ..schema import SCHEMA, check_schema
from .places import make_private, remote

# Seconds that a writer waits for its turn, and connections that wait for the next one who asks.
PATIENCE, IDLE = 5.0, 8

PLACES = "scope TEXT PRIMARY KEY, audience TEXT NOT NULL, space TEXT NOT NULL, identity TEXT, tab TEXT"
VALUES = "scope TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, version INTEGER NOT NULL, expires REAL"
TABLES = (
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    f"CREATE TABLE scopes({PLACES}, revision INTEGER NOT NULL, used REAL NOT NULL)",
    "CREATE INDEX scopes_revision ON scopes(revision)",
    "CREATE INDEX scopes_identity ON scopes(identity)",
    f"CREATE TABLE entries({VALUES}, PRIMARY KEY(scope, key))",
    "CREATE INDEX entries_expires ON entries(expires) WHERE expires IS NOT NULL",
    f"INSERT INTO meta VALUES('schema', '{SCHEMA}')",
)

REMEDIES = {
    sqlite3.SQLITE_BUSY: "another program holds a lock on it",
    sqlite3.SQLITE_LOCKED: "another program holds a lock on it",
    sqlite3.SQLITE_READONLY: "make the file and its folder writable for the server's account",
    sqlite3.SQLITE_CANTOPEN: "make the file and its folder accessible for the server's account",
    sqlite3.SQLITE_PERM: "make the file and its folder accessible for the server's account",
    sqlite3.SQLITE_FULL: "its disk is full",
    sqlite3.SQLITE_NOTADB: "it is not a SQLite file: move it away, or name another place",
    sqlite3.SQLITE_CORRUPT: "it is damaged: restore a copy, or move it away",
}


class Connections:
    """The connections to a file, which is made when it is first needed."""

    def __init__(self, path: Path) -> None:
        self.path, self.remote = path.absolute(), ""
        self._idle: list[sqlite3.Connection] = []
        self._ready = False
        self._lock = threading.Lock()
        self._glanced: sqlite3.Connection | None = None
        self._glance = threading.Lock()
        # Over a network the one connection that has the file locked is used in turn.
        self._alone = threading.RLock()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection; errors of SQLite become `StateUnavailable`."""
        with self._errors():
            self._prepare()
            with self._turn() as db:
                yield db

    @contextmanager
    def glancing(self) -> Iterator[sqlite3.Connection | None]:
        """Lend a connection that waits for nothing; None if there is none. The file has been read before."""
        if not self._ready or self.remote or not self._glance.acquire(blocking=False):
            yield None
            return
        try:
            self._glanced = self._glanced or self._connect(str(self.path), patience=0.0)
            yield self._glanced
        except sqlite3.Error:
            self._end_glance()
            raise
        finally:
            self._glance.release()

    def _end_glance(self) -> None:
        """Close the connection for glances; the next glance makes another one."""
        db, self._glanced = self._glanced, None
        if db is not None:
            db.close()

    @contextmanager
    def writing(self, *, patient: bool = True) -> Iterator[sqlite3.Connection]:
        """Lend a connection in a transaction, which an exception undoes."""
        with self.reading() as db:
            if not patient:
                db.execute("PRAGMA busy_timeout=0")
            try:
                with _transaction(db):
                    yield db
            finally:
                if not patient:
                    db.execute(f"PRAGMA busy_timeout={PATIENCE * 1000:.0f}")

    @contextmanager
    def lent(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection for long, beside the others."""
        with self._errors():
            self._prepare()
            # A locked file has one connection, and no other process writes to it: a copy of nothing never changes.
            db = self._connect(":memory:" if self.remote else str(self.path))
            try:
                _make(db, str(self.path))
                yield db
            finally:
                db.close()

    def close(self) -> None:
        """Close the connections that nothing uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for db in idle:
            db.close()
        with self._glance:
            self._end_glance()

    @contextmanager
    def _turn(self) -> Iterator[sqlite3.Connection]:
        if self.remote:
            with self._alone, self._taken() as db:
                yield db
        else:
            with self._taken() as db:
                yield db

    @contextmanager
    def _taken(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            db = self._idle.pop() if self._idle else None
        db = db or self._connect(str(self.path))
        try:
            yield db
        except sqlite3.Error:
            # What the file has become is seen by a new connection.
            db.close()
            raise
        except BaseException:
            self._give_back(db)
            raise
        self._give_back(db)

    def _give_back(self, db: sqlite3.Connection) -> None:
        with self._lock:
            if len(self._idle) < IDLE:
                self._idle.append(db)
                return
        db.close()

    def _prepare(self) -> None:
        """Make the file and its tables, or see that this release can read them; once."""
        if self._ready:
            return
        with self._alone:
            if not self._ready:
                make_private(self.path)
                self.remote = remote(self.path)
                with self._taken() as db:
                    _make(db, str(self.path))
                self._ready = True

    def _connect(self, name: str, patience: float = PATIENCE) -> sqlite3.Connection:
        db = sqlite3.connect(name, isolation_level=None, timeout=patience, check_same_thread=False)
        try:
            db.execute("PRAGMA locking_mode=EXCLUSIVE" if self.remote else "PRAGMA synchronous=NORMAL")
            db.execute(f"PRAGMA journal_mode={'DELETE' if self.remote else 'WAL'}")
        except BaseException:
            db.close()
            raise
        return db

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, StateUnavailable):
                raise
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> StateUnavailable:
        # Extended codes have the plain one in their last eight bits.
        code = getattr(error, "sqlite_errorcode", None)
        remedy = REMEDIES.get(code & 0xFF if code is not None else -1, getattr(error, "strerror", None) or str(error))
        if self.remote:
            remedy += f" (on {self.remote} only one server can use it)"
        doubt = code is not None and code & 0xFF == sqlite3.SQLITE_IOERR
        return StateUnavailable(f"The state file {self.path} cannot be used: {remedy}.", may_have_happened=doubt)


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # SQLite itself undoes what a full disk or a failing one interrupts.
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def _make(db: sqlite3.Connection, place: str) -> None:
    if _schema(db, place) is None:
        with _transaction(db):
            if _schema(db, place) is None:
                for statement in TABLES:
                    db.execute(statement)


def _schema(db: sqlite3.Connection, place: str) -> str | None:
    """Return the version of the file's tables; None: there are none yet."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name='meta'").fetchone():
        return None
    (found,) = db.execute("SELECT value FROM meta WHERE name='schema'").fetchone() or ("?",)
    check_schema(place, found)
    return str(found)
