"""The tables of a SQL database, the statements on them, and the database's clock."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from ..base import Where
from ..schema import SCHEMA

# Bytes of an ASCII column that holds a quoted key: 200 characters, each written as at most two escapes, and quotes.
KEY = 2402

metadata = sa.MetaData()
meta = sa.Table(
    "meta",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
scopes = sa.Table(
    "scopes",
    metadata,
    sa.Column("scope", sa.String(64), primary_key=True),
    sa.Column("audience", sa.String(50), nullable=False),
    sa.Column("space", sa.Text, nullable=False),
    sa.Column("identity", sa.Text),
    sa.Column("tab", sa.Text),
    sa.Column("revision", sa.BigInteger, nullable=False, index=True),
    sa.Column("used", sa.Double, nullable=False),
    sa.Index("scopes_identity", "identity"),
)
entries = sa.Table(
    "entries",
    metadata,
    sa.Column("scope", sa.String(64), primary_key=True),
    sa.Column("key", sa.String(KEY), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.Double, index=True),
)

PARTS = (scopes.c.audience, scopes.c.space, scopes.c.identity, scopes.c.tab)


def clock(dialect: str) -> sa.ColumnElement[float]:
    """Return the SQL of the database's time in seconds. A file has the time of this machine."""
    if dialect == "postgresql":
        return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double)
    return sa.bindparam("machine", callable_=time.time, type_=sa.Double)


def live(now: sa.ColumnElement[float]) -> sa.ColumnElement[bool]:
    """Return the condition that an entry's time is not over."""
    return sa.or_(entries.c.expires.is_(None), entries.c.expires > now)


def chosen(where: Where) -> sa.ColumnElement[bool]:
    """Return the condition for a choice of scopes; what was erased is never among them."""
    return sa.and_(scopes.c.audience != "", *(scopes.c[name] == value for name, value in where.given().items()))


class Statements:
    """What each read and write needs, built once: building takes longer than a database to answer.

    ``arrays``: whether a list of keys is one parameter, so that the text of a statement does not depend on its length.
    """

    def __init__(self, now: sa.ColumnElement[float], *, arrays: bool = False) -> None:
        e, s = entries.c, scopes.c
        mine = e.scope == sa.bindparam("scope")
        listed = sa.bindparam("keys", type_=postgresql.ARRAY(sa.String))
        some = e.key == sa.any_(listed) if arrays else e.key.in_(sa.bindparam("keys", expanding=True))
        self.time = sa.select(now)
        self.all = sa.select(e.key, e.value, e.version, e.expires).where(mine, live(now))
        self.some = self.all.where(some)
        old, size = sa.case((some, 1), else_=0), sa.func.length(e.value)
        sums = (sa.func.coalesce(sa.func.sum(part), 0) for part in (size, old, old * size))
        self.room = sa.select(sa.func.count(), *sums).where(mine, live(now))
        self.rows = self.all.order_by(e.key)
        self.lock = sa.select(s.revision, now).where(s.scope == sa.bindparam("scope")).with_for_update(of=scopes)
        self.drop = entries.delete().where(mine, some)
        self.put, self.begin = entries.insert(), scopes.insert()
        # An UPDATE takes the names of columns for the new values.
        self.change = scopes.update().where(s.scope == sa.bindparam("which"))


def replacing(table: sa.Table) -> Any:
    """Return the statement of PostgreSQL that puts a row in the place of the one with the same primary key."""
    put, keys = postgresql.insert(table), [column.name for column in table.primary_key]
    given = {column.name: column for column in put.excluded if column.name not in keys}
    return put.on_conflict_do_update(index_elements=keys, set_=given)


def found_schema(db: sa.Connection) -> str | None:
    """Return the version of the tables; None where there are none."""
    if not sa.inspect(db).has_table("meta"):
        return None
    return str(db.scalar(sa.select(meta.c.value).where(meta.c.name == "schema")))


def make(db: sa.Connection) -> None:
    """Make the tables."""
    metadata.create_all(db)
    db.execute(meta.insert(), {"name": "schema", "value": SCHEMA})
