"""Proves by a few rows of its own that a database keeps what the contract of a store needs.

1. A database that is not known to keep it is asked before it gets any state. What fails refuses it, by name.
2. The first questions need no table, so that a database that cannot have the tables is named for its reason.
3. The rows are in scopes of this proof alone, which are marked as erased: no listing shows them. They are removed at
   the end; what a killed server leaves, the sweep of another one removes.
4. A connection that is lost proves nothing: it is the error of a database that is away.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa

from ....errors import PolicyError
from ..names import quoted
from .dialects import MYSQL
from .tables import Statements, entries, scopes

LONG = 1 << 20
"""Characters of a long text, and half of what a statement may have."""

WORDS = ("alice", "Alice", "álice", "a\u0301lice", "ali\u200bce", "alice ", "alice\t", "😀", "")
"""Texts that a database may take for one another. Names are stored as they are, keys in quotes and in ASCII."""

SAYS = {
    "Alice": "it takes Alice and alice for one person",
    "álice": "it takes álice and alice for one person",
    "alice ": "it takes texts with and without a space at the end for one",
    "ali\u200bce": "it takes texts with and without characters that are not seen for one",
}
"""What is said of a database that takes a text for the first one."""

NUMBERS = (2**63 - 1, -(2**63), 2**53 + 1)
FRACTIONS = (0.1, 1e300, 1e-300, 1796014646.9876192)

PAUSES: Iterable[float] = (0.0, 0.01, 0.1, 0.5, 1.0, 2.0, 4.0)
"""Seconds between two tries to lock a row that others let go."""

REFUSED = (sa.exc.DataError, sa.exc.IntegrityError, sa.exc.ProgrammingError, sa.exc.NotSupportedError)
"""What a database says to a statement that it cannot do. Other errors may be those of a lost connection."""


def unfit(reason: str) -> PolicyError:
    """Return the error of a database that cannot keep state."""
    return PolicyError("state_url", f"this database cannot keep state, because {reason}.")


def before(db: sa.Connection) -> None:
    """Prove what needs no table. Raises PolicyError."""
    lock = str(sa.select(scopes.c.scope).with_for_update().compile(dialect=db.dialect))
    if "FOR UPDATE" not in lock:
        raise unfit("it does not let writers of one scope take turns")
    if db.scalar(sa.select(sa.cast(sa.literal(""), sa.String(10)))) is None:
        raise unfit("it has no empty text")


def prove(engine: sa.Engine, sql: Statements) -> None:
    """Prove the rest, in the tables. Raises PolicyError."""
    proof = _Proof(engine, sql)
    try:
        for part in (proof.tells_time, proof.undoes, proof.takes_turns, proof.tells_apart, proof.keeps):
            part()
    finally:
        with suppress(sa.exc.DBAPIError):
            proof.clear()


class _Proof:
    def __init__(self, engine: sa.Engine, sql: Statements) -> None:
        self._engine, self._sql = engine, sql
        self._ids = [f"proof-{secrets.token_hex(16)}" for _ in WORDS]

    def undoes(self) -> None:
        """A transaction that is undone leaves nothing, in either table; one that is done stays."""
        first = self._ids[0]
        with _meaning("it does not undo a transaction (in MariaDB and MySQL: ENGINE=InnoDB does)") as fails:
            with self._engine.connect() as db:
                self._put(db, first, "")
                db.execute(entries.insert(), self._entry("k", "1"))
                db.rollback()
                fails(self._count(db, scopes) or self._count(db, entries))
            with self._engine.begin() as db:
                self._put(db, first, "")
            with self._engine.connect() as db:
                fails(self._count(db, scopes) != 1)

    def takes_turns(self) -> None:
        """A row that one connection holds is skipped by another that asks so, and is not skipped afterwards."""
        row = sa.select(scopes.c.scope).where(scopes.c.scope == self._ids[0])
        skips = row.with_for_update(skip_locked=True)
        reason = "it does not let writers of one scope take turns (FOR UPDATE SKIP LOCKED)"
        with _meaning(reason) as fails, self._engine.connect() as db:
            fails(not _found(db, skips))
            with self._engine.connect() as other:
                fails(other.execute(skips).first() is not None)
            db.rollback()
            with self._engine.connect() as other:
                fails(not _found(other, skips))

    def tells_apart(self) -> None:
        """Each text finds its own row, in the columns of people and of places, and each key its own entry."""
        with self._engine.connect() as db:
            with _meaning("it does not keep the names of people and dashboards"):
                for id_, word in zip(self._ids[1:], WORDS[1:], strict=True):
                    self._put(db, id_, word)
                db.execute(scopes.update().where(scopes.c.scope == self._ids[0]).values(_names(WORDS[0])))
            for column in (scopes.c.identity, scopes.c.space):
                for word in WORDS:
                    mine = sa.select(column).where(column == word, scopes.c.scope.in_(self._ids))
                    _alone(word, list(db.scalars(mine)))
            for word in WORDS:
                with _meaning(SAYS.get(word, "it takes different keys for one")):
                    db.execute(entries.insert(), self._entry(word, "1"))
            found = sa.select(entries.c.key).where(entries.c.scope == self._ids[0])
            with _meaning("it changes keys") as fails:
                fails(sorted(db.scalars(found)) != sorted(map(quoted, WORDS)))
            db.rollback()

    def keeps(self) -> None:
        """A long text and numbers come back to the letter."""
        self._fits()
        text = '"' + "x\\u00e4 " * (LONG // 8) + '😀 "'
        with self._engine.connect() as db:
            with _meaning(f"it does not keep a text of {len(text)} characters") as fails:
                db.execute(entries.insert(), self._entry("long", text))
                mine = entries.c.scope == self._ids[0]
                fails(db.scalar(sa.select(entries.c.value).where(mine)) != text)
            with _meaning("it does not count the characters of a text") as fails:
                room = db.execute(self._sql.room, {"scope": self._ids[0], "keys": [quoted("long")]}).one()
                fails([int(number) for number in room] != [1, len(text), 1, len(text)])
            with _meaning("it does not keep whole numbers of 64 bits") as fails:
                for number in NUMBERS:
                    db.execute(entries.update().where(mine).values(version=number))
                    fails(db.scalar(sa.select(entries.c.version).where(mine)) != number)
            with _meaning("it does not keep fractions exactly") as fails:
                for fraction in FRACTIONS:
                    db.execute(entries.update().where(mine).values(expires=fraction))
                    found = sa.select(entries.c.expires).where(mine, entries.c.expires == fraction)
                    fails(db.scalar(found) != fraction)
            db.rollback()

    def _fits(self) -> None:
        """A statement with a long text is not too long for the server: it would close the connection."""
        if self._engine.dialect.name in MYSQL:
            with self._engine.connect() as db:
                packet = int(db.scalar(sa.text("SELECT @@max_allowed_packet")) or 0)
            if packet < 2 * LONG:
                raise unfit(f"its max_allowed_packet of {packet} bytes is too small: set at least {4 * LONG}")

    def tells_time(self) -> None:
        """The clock goes on within a transaction, in parts of a second."""
        with _meaning("it does not tell the time as a store needs it") as fails, self._engine.connect() as db:
            first = float(db.execute(self._sql.time).scalar_one())
            time.sleep(0.01)
            later = float(db.execute(self._sql.time).scalar_one())
            fails(not 0 < later - first < 60)

    def clear(self) -> None:
        """Remove the rows."""
        with self._engine.begin() as db:
            for table in (entries, scopes):
                db.execute(table.delete().where(table.c.scope.in_(self._ids)))

    def _put(self, db: sa.Connection, id_: str, word: str) -> None:
        now = float(db.execute(self._sql.time).scalar_one())
        row = {"scope": id_, "audience": "", "revision": 0, "used": now}
        db.execute(self._sql.begin, row | _names(word))

    def _entry(self, key: str, text: str) -> dict[str, object]:
        return {"scope": self._ids[0], "key": quoted(key), "value": text, "version": 1, "expires": None}

    def _count(self, db: sa.Connection, table: sa.Table) -> int:
        return int(db.scalar(sa.select(sa.func.count()).where(table.c.scope == self._ids[0])) or 0)


def _found(db: sa.Connection, skips: sa.Select[Any]) -> bool:
    """Return whether a row can be locked soon. A database may lock rows for a moment that a statement only looks at."""
    for pause in PAUSES:
        time.sleep(pause)
        if db.execute(skips).first() is not None:
            return True
        db.rollback()
    return False


def _names(word: str) -> dict[str, str]:
    return {"space": word, "identity": word, "tab": word}


def _alone(word: str, found: list[str]) -> None:
    """Raise PolicyError unless a text was found once, as it is."""
    if found == [word]:
        return
    reasons = [reason for other, reason in SAYS.items() if other in (*found, word)]
    raise unfit(reasons[0] if reasons else f"it does not keep {word!r} apart from other texts")


@contextmanager
def _meaning(reason: str) -> Iterator[Callable[[object], None]]:
    """Raise PolicyError for this reason if a statement fails, or the function is called with something that is true."""

    def fails(wrong: object) -> None:
        if wrong:
            raise unfit(reason)

    try:
        yield fails
    except (*REFUSED, UnicodeError) as error:  # a URL may ask for a character set that has too few
        raise unfit(f"{reason} ({type(getattr(error, 'orig', error)).__name__})") from None
