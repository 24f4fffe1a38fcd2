"""What each database needs that SQLAlchemy does not hide, by the names of its dialect and driver."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

MYSQL, POSTGRESQL = frozenset({"mysql", "mariadb"}), frozenset({"postgresql", "cockroachdb"})
DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
"""What a URL without a driver means."""

PACKAGES = {
    "MySQLdb": "mysqlclient",
    "mysql": "mysql-connector-python",
    "psycopg": "jupyter-app-meta[state-sql]",
    "psycopg2": "psycopg2-binary",
    "pymysql": "jupyter-app-meta[state-sql]",
}
"""What to install for a module, where the names differ."""

_CONNECT, _READ, _WRITE = "connect_timeout", "read_timeout", "write_timeout"
_TIMES = {
    "psycopg": (_CONNECT,),
    "psycopg2": (_CONNECT,),
    "pg8000": ("timeout",),
    "pymysql": (_CONNECT, _READ, _WRITE),
    "mysqldb": (_CONNECT, _READ, _WRITE),
    "mariadbconnector": (_CONNECT, _READ, _WRITE),
    "mysqlconnector": ("connection_timeout",),
}
"""The arguments by which a driver waits only so long."""

VICTIMS, MYSQL_VICTIMS = frozenset({"40P01", "40001"}), frozenset({1020, 1213})
"""The codes of a deadlock and of a row that another transaction has changed, in standard SQL and in MySQL."""

# MariaDB reads the first comment, which says how long a statement may take, and MySQL the second one.
_SET_MYSQL = (
    "SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
    "lock_wait_timeout = {0}, innodb_lock_wait_timeout = {0} "
    "/*M!100101 , max_statement_time = {0} */ /*!50708 , max_execution_time = {0}000 */"
)
_MAKING = "jupyter_app_meta_tables"


def refusal(scheme: str) -> str | None:
    """Return why a URL with this scheme names no database that can be asked; None if it does.

    The text is empty if SQLAlchemy does not know the scheme. Raises ImportError if a package that has it lacks another.
    """
    try:
        dialect = sa.URL.create(DRIVERS.get(scheme, scheme)).get_dialect()
    except sa.exc.NoSuchModuleError:
        return ""
    return "this driver is not supported, as it is asynchronous" if dialect.is_async else None


def known(name: str) -> bool:
    """Return whether a database is known to have the isolation level that is asked for."""
    return name in MYSQL or name in POSTGRESQL or name in {"oracle", "mssql"}


def arguments(url: sa.URL, patience: int) -> dict[str, Any]:
    """Return what a driver is given to connect, so that a server that does not answer holds no thread for ever.

    The database itself gives up a statement a second earlier, if it still can.
    """
    names = _TIMES.get(url.get_driver_name(), ())
    times = {name: patience if "connect" in name else patience + 1 for name in names}
    charset = {"charset": "utf8mb4"} if url.get_driver_name() in {"pymysql", "mysqldb"} else {}
    return {name: value for name, value in (charset | times).items() if name not in url.query}


def settings(name: str, patience: int) -> Sequence[str]:
    """Return what a session is set to: it gives up what would take longer than those who asked wait."""
    if name in POSTGRESQL:
        return (f"SET lock_timeout = '{patience}s'", f"SET statement_timeout = '{patience}s'")
    return (_SET_MYSQL.format(patience),) if name in MYSQL else ()


def clock(name: str) -> sa.ColumnElement[float]:
    """Return the SQL of the database's time in seconds. A file has the time of this machine."""
    if name == "sqlite":
        return sa.bindparam("machine", callable_=time.time, type_=sa.Double)
    if name in MYSQL:
        # NOW() is when a statement began, before it waited for a lock. The session's time zone is UTC.
        return sa.literal_column("(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', SYSDATE(6)) / 1e6)", sa.Double)
    return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double)


def length(name: str, text: sa.ColumnElement[str]) -> sa.ColumnElement[int]:
    """Return the SQL of how many characters a text has; MySQL's LENGTH counts bytes."""
    return sa.func.char_length(text) if name in MYSQL else sa.func.length(text)


def replacing(name: str, table: sa.Table) -> Any:
    """Return the statement that puts a row in the place of the one with the same primary key; None: there is none."""
    keys = table.primary_key.columns.keys()
    if name in MYSQL:
        put = mysql.insert(table)
        return put.on_duplicate_key_update({column.name: column for column in put.inserted if column.name not in keys})
    if name in POSTGRESQL:
        upsert = postgresql.insert(table)
        given = {column.name: column for column in upsert.excluded if column.name not in keys}
        return upsert.on_conflict_do_update(index_elements=keys, set_=given)
    return None


def beginning(name: str, table: sa.Table) -> Any:
    """Return the statement that makes a row, or locks the one that is there, so that no removal takes it meanwhile.

    An INSERT that finds one locks it in MySQL for reading: two that then want to write would wait for each other.
    """
    (key,) = table.primary_key.columns
    if name in MYSQL:
        return mysql.insert(table).on_duplicate_key_update({key.name: key})
    if name in POSTGRESQL:
        return postgresql.insert(table).on_conflict_do_update(index_elements=[key.name], set_={key.name: key})
    return table.insert()


def adapted(metadata: sa.MetaData, dialect: Any) -> sa.MetaData:
    """Return the tables as this database is to make them: with transactions, and telling all texts apart."""
    if dialect.name not in MYSQL:
        return metadata
    collation = "utf8mb4_nopad_bin" if dialect.is_mariadb else "utf8mb4_0900_bin"
    made = sa.MetaData()
    for table in metadata.sorted_tables:
        copy = table.to_metadata(made)
        for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", collation)):
            copy.dialect_kwargs[f"{dialect.name}_{option}"] = value
    return made


@contextmanager
def alone(db: sa.Connection) -> Iterator[None]:
    """Let one server at a time make the tables where the database makes each in a transaction of its own."""
    if db.dialect.name not in MYSQL:
        yield
        return
    db.execute(sa.select(sa.func.get_lock(_MAKING, 5)))
    try:
        yield
    finally:
        db.execute(sa.select(sa.func.release_lock(_MAKING)))


def is_victim(error: BaseException | None) -> bool:
    """Return whether the database has undone a transaction in favour of another, by the error of its driver."""
    error = getattr(error, "orig", None) or error
    first = error.args[0] if error is not None and error.args else None
    codes = (getattr(error, "sqlstate", None), getattr(error, "pgcode", None))
    said = first.get("C") if isinstance(first, dict) else None
    return (isinstance(first, int) and first in MYSQL_VICTIMS) or bool(VICTIMS & {*codes, said})
