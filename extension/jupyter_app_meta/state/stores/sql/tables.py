"""The tables of a SQL database, and the statements on them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from ..base import Where
from ..schema import SCHEMA
from . import dialects

# Bytes of an ASCII column that holds a quoted key: 200 characters, each written as at most two escapes, and quotes.
KEY = 2402
# Characters of an identity that an index of MySQL holds.
INDEXED = 250


def ascii_text(length: int) -> sa.types.TypeEngine[str]:
    """Return the type of a short ASCII text that is part of a key: in MySQL a key has few bytes."""
    narrow = mysql.VARCHAR(length, charset="ascii", collation="ascii_bin")
    return sa.String(length).with_variant(narrow, *dialects.MYSQL)


# A TEXT of MySQL has 64 KiB.
LONG = sa.Text().with_variant(mysql.LONGTEXT(), *dialects.MYSQL)

metadata = sa.MetaData()
meta = sa.Table(
    "meta",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("value", LONG, nullable=False),
)
scopes = sa.Table(
    "scopes",
    metadata,
    sa.Column("scope", ascii_text(64), primary_key=True),
    sa.Column("audience", sa.String(50), nullable=False),
    sa.Column("space", sa.Text, nullable=False),
    sa.Column("identity", sa.Text),
    sa.Column("tab", sa.Text),
    sa.Column("revision", sa.BigInteger, nullable=False, index=True),
    sa.Column("used", sa.Double, nullable=False),
    sa.Index("scopes_identity", "identity", mysql_length=INDEXED, mariadb_length=INDEXED),
)
entries = sa.Table(
    "entries",
    metadata,
    sa.Column("scope", ascii_text(64), primary_key=True),
    sa.Column("key", ascii_text(KEY), primary_key=True),
    sa.Column("value", LONG, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.Double, index=True),
)

PARTS = (scopes.c.audience, scopes.c.space, scopes.c.identity, scopes.c.tab)


def live(now: sa.ColumnElement[float]) -> sa.ColumnElement[bool]:
    """Return the condition that an entry's time is not over."""
    return sa.or_(entries.c.expires.is_(None), entries.c.expires > now)


def chosen(where: Where) -> sa.ColumnElement[bool]:
    """Return the condition for a choice of scopes; what was erased is never among them."""
    return sa.and_(scopes.c.audience != "", *(scopes.c[name] == value for name, value in where.given().items()))


class Statements:
    """What each read and write needs, built once: building takes longer than a database to answer.

    ``name`` is that of the dialect. ``arrays``: whether a list of keys is one parameter, so that the text of a
    statement does not depend on its length.
    """

    def __init__(self, name: str, now: sa.ColumnElement[float], *, arrays: bool = False) -> None:
        e, s = entries.c, scopes.c
        mine = e.scope == sa.bindparam("scope")
        listed = sa.bindparam("keys", type_=postgresql.ARRAY(sa.String))
        some = e.key == sa.any_(listed) if arrays else e.key.in_(sa.bindparam("keys", expanding=True))
        self.time = sa.select(now)
        self.all = sa.select(e.key, e.value, e.version, e.expires).where(mine, live(now))
        self.some = self.all.where(some)
        old, size = sa.case((some, 1), else_=0), dialects.length(name, e.value)
        sums = (sa.func.coalesce(sa.func.sum(part), 0) for part in (size, old, old * size))
        self.room = sa.select(sa.func.count(), *sums).where(mine, live(now))
        self.rows = self.all.order_by(e.key)
        self.lock = sa.select(s.revision, now).where(s.scope == sa.bindparam("scope")).with_for_update(of=scopes)
        self.drop = entries.delete().where(mine, some)
        self.put, self.begin = entries.insert(), dialects.beginning(name, scopes)
        self.replace = dialects.replacing(name, entries)
        # An UPDATE takes the names of columns for the new values.
        self.change = scopes.update().where(s.scope == sa.bindparam("which"))


def found_schema(db: sa.Connection) -> str | None:
    """Return the version of the tables; None where they are not there, or not yet all of them."""
    if not sa.inspect(db).has_table("meta"):
        return None
    found: str | None = db.scalar(sa.select(meta.c.value).where(meta.c.name == "schema"))
    return found


def make(db: sa.Connection) -> None:
    """Make the tables that are not there, and commit. The version comes last."""
    with dialects.alone(db):
        tables = dialects.adapted(metadata, db.dialect)
        tables.create_all(db)
        for index in (index for table in tables.sorted_tables for index in table.indexes):
            index.create(db, checkfirst=True)  # a server may have been killed between a table and its index
        if found_schema(db) is None:
            db.execute(meta.insert(), {"name": "schema", "value": SCHEMA})
        db.commit()  # before another server looks
