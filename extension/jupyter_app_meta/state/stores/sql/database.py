"""The connections to a SQL database, and what their errors mean."""

from __future__ import annotations

import random
import secrets
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from ....errors import PolicyError, RequirementMissing, StateUnavailable
from ..schema import check_schema
from . import dialects, proof
from .tables import Statements, found_schema, make

# Connections that are kept, and seconds to wait: for one of them, for the server, and for a lock.
CONNECTIONS, PATIENCE = 8, 5
# Seconds after which a connection that rested is asked whether it still works; where it is noted since when it rests.
RESTED, RESTS = 10.0, "app-meta-rests"
# How often something is tried: making the tables, which another server may make at the same moment, and a transaction
# that the database gave up in favour of another; and the longest pause between two tries, in seconds.
TRIES, PAUSE = 3, 0.05

Result = TypeVar("Result")


class Database:
    """A pool of connections that are looked at before they are used; ``name`` tells it from other stores."""

    def __init__(self, url: str) -> None:
        self._url = _parsed(url)
        self.name = secrets.token_hex(8)
        self._engine = _engine(self._url)
        self.sql = self._engine.dialect
        self.dialect, self.driver = self.sql.name, self.sql.driver
        self.is_postgresql = (self.dialect, self.driver) == ("postgresql", "psycopg")
        self.pipelines = self.is_postgresql and _pipelines()
        self.clock = dialects.clock(self.dialect)
        self.statements = Statements(self.dialect, self.clock, arrays=self.pipelines)
        self._ready, self._lock = False, threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Lend a connection; errors of the database become `StateUnavailable`."""
        # A read is one statement: with psycopg it need not pay the round trips of a transaction.
        options = {"isolation_level": "AUTOCOMMIT"} if self.is_postgresql else {}
        with self._lent(**options) as db:
            yield db

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Lend a connection in a transaction, which an exception undoes."""
        with self._lent(writes=True) as db:
            yield db
            with self.errors(doubt=True):
                db.commit()

    def write(self, work: Callable[[sa.Connection], Result]) -> Result:
        """Do the work in a transaction, which an exception undoes, and return its result.

        It is done again if the database has undone it in favour of another transaction: then nothing has happened.
        """
        for left in reversed(range(TRIES)):
            try:
                with self.writing() as db:
                    return work(db)
            except StateUnavailable as error:
                if not left or not dialects.is_victim(error.__cause__):
                    raise
            time.sleep(random.uniform(0, PAUSE))  # noqa: S311  # the pause is not a secret
        raise AssertionError

    @contextmanager
    def _lent(self, **options: object) -> Iterator[sa.Connection]:
        with self.errors():
            self._prepare()
            with self._engine.connect() as db:
                yield db.execution_options(**options)

    @contextmanager
    def own(self) -> Iterator[Any]:
        """Lend a connection of the driver that the pool does not count, in autocommit mode, for long."""
        with self.errors():
            self._prepare()
            with self._engine.connect() as pooled:
                pooled.execution_options(isolation_level="AUTOCOMMIT")
                driver = pooled.connection.driver_connection
                pooled.detach()
                yield driver

    @property
    def is_tested(self) -> bool:
        """Whether our tests know this database. One that was not asked yet may be another than its URL says."""
        maria = getattr(self.sql, "is_mariadb", False) and self.driver == "pymysql"
        return maria or not self._needs_proof

    @property
    def _needs_proof(self) -> bool:
        return not self.is_postgresql and (self.dialect, self.driver) != ("sqlite", "pysqlite")

    def close(self) -> None:
        """Close the connections that nothing uses."""
        self._engine.dispose()

    def _prepare(self) -> None:
        if self._ready:
            return
        with self._lock:
            for attempt in range(1, TRIES + 1):
                try:
                    self._make()
                    break
                except sa.exc.DBAPIError:
                    if attempt == TRIES:
                        raise
            if self._needs_proof:
                proof.prove(self._engine, self.statements)
            self._ready = True

    def _make(self) -> None:
        with self._engine.connect().execution_options(writes=True) as db:
            if self._needs_proof:
                proof.before(db)
            found = found_schema(db)
            if found is None:
                make(db)
            else:
                check_schema(f"The {self.dialect} database", found)

    @contextmanager
    def errors(self, *, doubt: bool = False) -> Iterator[None]:
        """Raise `StateUnavailable` for errors of SQLAlchemy and of the driver; ``doubt``: it may have happened."""
        try:
            yield
        except StateUnavailable:
            raise
        except (sa.exc.SQLAlchemyError, self.sql.loaded_dbapi.Error, OSError) as error:
            # The texts of drivers may quote what was to be stored.
            cause = type(getattr(error, "orig", None) or error).__name__
            place = f"The state database ({self.dialect} at {self._url.host or self._url.database or 'its default'})"
            raise StateUnavailable(f"{place} cannot be used: {cause}.", may_have_happened=doubt) from error


def _parsed(url: str) -> sa.URL:
    try:
        parsed = make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # The exception would show the URL, which may have a password.
        raise PolicyError("state_url", "it is not a database URL: postgresql://user@host/database.") from None
    return parsed.set(drivername=dialects.DRIVERS.get(parsed.drivername, parsed.drivername))


def _engine(url: sa.URL) -> sa.Engine:
    name, driver = url.get_backend_name(), url.get_driver_name()
    # psycopg sees without a round trip whether a connection still works.
    options: dict[str, Any] = {"hide_parameters": True, "pool_pre_ping": driver != "psycopg"}
    if name != "sqlite":
        options |= {"pool_size": CONNECTIONS, "max_overflow": CONNECTIONS, "pool_timeout": PATIENCE}
        options |= {"connect_args": dialects.arguments(url, PATIENCE)}
    if dialects.known(name):
        options["isolation_level"] = "READ COMMITTED"
    try:
        engine = sa.create_engine(url, **options)
    except (ValueError, sa.exc.ArgumentError) as error:
        raise _refused(url, error) from None
    except ImportError as error:
        package = dialects.PACKAGES.get(error.name or "", error.name or driver)
        raise RequirementMissing(f"state_url names a database that needs {package}: pip install {package!r}") from error
    _listen(engine, name, driver)
    return engine


def _listen(engine: sa.Engine, name: str, driver: str) -> None:
    if name == "sqlite":
        _write_ahead(engine)
        return
    sa.event.listen(engine, "do_connect", partial(_connect, engine.url))
    # Before SQLAlchemy looks at the session, as some of its SQL depends on what is set.
    sa.event.listen(engine, "connect", partial(_settle, dialects.settings(name, PATIENCE)), insert=True)
    if driver == "psycopg":
        sa.event.listen(engine, "checkin", _rests)
        sa.event.listen(engine, "checkout", partial(_check, engine.dialect))


def _connect(url: sa.URL, dialect: sa.Dialect, record: object, arguments: Any, options: dict[str, Any]) -> Any:
    """Connect; raises PolicyError if the driver does not take an option of the URL."""
    wrong: tuple[type[Exception], ...] = (TypeError, AttributeError, ValueError, LookupError)
    try:
        if dialect.driver != "psycopg":
            return dialect.connect(*arguments, **options)
        from .patience import Patient  # the driver is an extra

        wrong = (*wrong, Patient.Refused)
        return Patient.connect(*arguments, **options)
    except wrong as error:
        if not url.query:  # it is the answer of something else
            raise
        raise _refused(url, error) from None


def _refused(url: sa.URL, error: Exception) -> PolicyError:
    """Return the error of options that a driver does not take. Their values may be secret, and so may its text."""
    names = ", ".join(sorted(filter(str.isidentifier, url.query))) or "none"
    problem = f"the driver {url.get_driver_name()} does not take an option of the URL ({type(error).__name__})"
    return PolicyError("state_url", f"{problem}: check what stands behind its question mark ({names}).")


def _pipelines() -> bool:
    """Return whether psycopg can send several statements at once: the libpq of its C code may be too old."""
    import psycopg  # the driver is an extra

    return psycopg.Pipeline.is_supported()


def _settle(statements: Sequence[str], db: Any, record: object) -> None:
    """Set a new session to what it needs."""
    cursor = db.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()
    db.commit()


def _rests(db: Any, record: Any) -> None:
    """Note since when a connection is in the pool."""
    record.info[RESTS] = time.monotonic()


def _check(dialect: sa.Dialect, db: Any, record: Any, _: object) -> None:
    """Raise DisconnectionError if PostgreSQL has closed a connection: the pool then makes a new one.

    One that it closed has something to read, which costs no round trip to see. What lies in between may have forgotten
    one that has rested long, and says nothing.
    """
    rested = time.monotonic() - record.info.get(RESTS, float("inf"))
    if rested < RESTED and not db.closed and not _readable(db.fileno()):
        return
    try:
        dialect.do_ping(db)
    except dialect.loaded_dbapi.Error as error:
        raise sa.exc.DisconnectionError from error


def _readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _write_ahead(engine: sa.Engine) -> None:
    """Let SQLite write beside its readers, one transaction after the other."""

    @sa.event.listens_for(engine, "connect")
    def connect(db: Any, record: object) -> None:
        db.isolation_level = None
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")

    @sa.event.listens_for(engine, "begin")
    def begin(db: sa.Connection) -> None:
        db.exec_driver_sql("BEGIN IMMEDIATE" if db.get_execution_options().get("writes") else "BEGIN")
