"""Databases that must prove that they keep state: those that do are used, and the others are refused by name."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import repeat

import pytest
import sqlalchemy as sa
from databases import MariaServer, PostgresServer, Server, asked, outside, running
from sqlalchemy.dialects import mssql
from texts import put, texts

from jupyter_app_meta.errors import PolicyError
from jupyter_app_meta.state.keys import Scope
from jupyter_app_meta.state.stores.base import Where
from jupyter_app_meta.state.stores.open import open_store
from jupyter_app_meta.state.stores.sql import database, proof

SCOPE = Scope("visitor", uuid.uuid4().hex, '["hub","cookie","user","alice"]')
TOGETHER = 4
CONVERT = "ALTER TABLE scopes CONVERT TO CHARACTER SET utf8mb4 COLLATE"
MODIFY = "ALTER TABLE entries MODIFY"
INDEXES = "SELECT index_name, column_name FROM information_schema.statistics WHERE table_schema = 'test' ORDER BY 1, 2"


@pytest.fixture(scope="module")
def maria() -> Iterator[Server]:
    """A MariaDB of these tests alone."""
    with running(MariaServer) as started:
        yield started


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    """A PostgreSQL of these tests alone."""
    with running(PostgresServer) as started:
        yield started


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may answer late."""
    monkeypatch.setattr(database, "PATIENCE", 60)


@pytest.fixture
def tables(maria: Server) -> Server:
    """A MariaDB that has the tables, whatever a test before has changed in them."""
    with closing(outside(maria)) as db:
        for table in ("entries", "meta", "scopes"):
            asked(db, f"DROP TABLE IF EXISTS {table}")
    with closing(open_store(maria.url)) as store:
        assert store.check() == ()
    return maria


def left(server: Server) -> list[tuple[object, ...]]:
    """Return whose rows are in the tables."""
    with closing(outside(server)) as db:
        return asked(db, "SELECT scope FROM scopes UNION ALL SELECT scope FROM entries")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("ALTER TABLE scopes ENGINE=Aria", "it does not undo a transaction"),
        ("ALTER TABLE entries ENGINE=MyISAM, DROP PRIMARY KEY", "it does not undo a transaction"),
        (f"{CONVERT} utf8mb4_general_ci", "it takes Alice and alice for one person"),
        (f"{CONVERT} uca1400_nopad_as_ci", "it takes Alice and alice for one person"),
        (f"{CONVERT} uca1400_nopad_ai_cs", "it takes álice and alice for one person"),
        (f"{CONVERT} uca1400_nopad_as_cs", "it takes texts with and without characters that are not seen for one"),
        (f"{CONVERT} utf8mb4_bin", "it takes texts with and without a space at the end for one"),
        ("ALTER TABLE scopes MODIFY identity VARCHAR(3)", "it does not keep the names of people"),
        (f"{MODIFY} value TEXT", "it does not keep a text of [0-9]+ characters"),
        (f"{MODIFY} version INT", "it does not keep whole numbers of 64 bits"),
        (f"{MODIFY} expires FLOAT", "it does not keep fractions exactly"),
        (f"{MODIFY} `key` VARCHAR(2402) CHARACTER SET ascii COLLATE ascii_general_ci", "Alice and alice"),
    ],
)
def test_tables_that_do_not_keep_state_are_refused_by_name(tables: Server, change: str, reason: str) -> None:
    """Somebody made them by hand, or converted them. Nothing is read from them or written to them."""
    with closing(outside(tables)) as db:
        asked(db, change)
    store = open_store(tables.url)
    for ask in (store.check, lambda: store.read(SCOPE.id, None), lambda: put(store, SCOPE, k="1")):
        with pytest.raises(PolicyError, match=f"state_url: this database cannot keep state, because .*({reason})"):
            ask()
    store.close()
    assert left(tables) == []


def test_a_proof_takes_no_offence_at_a_lock_of_another(tables: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What erases or sweeps may lock its rows for a moment, as it looks at them."""
    undoes = proof._Proof.undoes
    with closing(outside(tables, autocommit=False)) as db:

        def held(self: proof._Proof) -> None:
            undoes(self)
            assert asked(db, "SELECT scope FROM scopes FOR UPDATE")

        def pauses() -> Iterator[float]:
            yield 0.0
            db.rollback()
            yield from repeat(0.0)

        monkeypatch.setattr(proof._Proof, "undoes", held)
        monkeypatch.setattr(proof, "PAUSES", pauses())
        with closing(open_store(tables.url)) as store:
            assert store.check() == ()


def test_a_proof_leaves_nothing(tables: Server) -> None:
    """What is there afterwards is what was stored."""
    with closing(open_store(tables.url)) as store:
        put(store, SCOPE, k="1")
        assert {row[0] for row in left(tables)} == {SCOPE.id}


def test_servers_that_start_together_make_the_tables_once(tables: Server) -> None:
    """MariaDB makes each table in a transaction of its own. Each server also proves, beside the others."""
    with closing(outside(tables)) as db:
        asked(db, "DROP TABLE entries, meta, scopes")
    stores = [open_store(tables.url) for _ in range(TOGETHER)]
    with ThreadPoolExecutor(TOGETHER) as threads:
        assert set(threads.map(lambda store: store.check(), stores)) == {()}
    for store in stores:
        store.close()
    assert left(tables) == []


def test_tables_that_were_left_without_an_index_get_it(tables: Server) -> None:
    """A server was killed as it made them: MariaDB makes each index in a transaction of its own."""
    with closing(outside(tables)) as db:
        indexes = asked(db, INDEXES)
        asked(db, "ALTER TABLE scopes DROP INDEX scopes_identity, DROP INDEX ix_scopes_revision")
        asked(db, "DELETE FROM meta")
        with closing(open_store(tables.url)) as store:
            assert store.check() == ()
        assert asked(db, INDEXES) == indexes


def test_a_character_set_that_is_too_small_is_refused(tables: Server) -> None:
    """The URL asks for it, and the driver could not send each name."""
    with (
        closing(open_store(f"{tables.url}&charset=latin1")) as store,
        pytest.raises(PolicyError, match="it does not keep the names of people and dashboards"),
    ):
        store.check()


def test_a_session_is_set_to_what_state_needs(tables: Server) -> None:
    """Whatever the server has by default, and whether the URL says mariadb or mysql."""
    scope, away = Scope("visitor", uuid.uuid4().hex), {"sql_mode": "", "time_zone": "SYSTEM"}
    odd = {"sql_mode": "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,EMPTY_STRING_IS_NULL", "time_zone": "+11:00"}
    with closing(outside(tables)) as db:
        asked(db, "DROP TABLE entries, meta, scopes")
        for name, value in odd.items():
            asked(db, f"SET GLOBAL {name} = %s", value)
        try:
            url = tables.url.replace("mariadb", "mysql")
            with closing(open_store(url)) as store, closing(open_store(tables.url)) as other:
                assert store.check() == other.check() == ()
                kept = {"back\\": '"\\\\ \\" \\u0000"', 'quo"te': "'1'", "per%cent": "%s %(k)s", ":colon": ":k"}
                store.apply(scope, {}, kept, (), 60)
                assert texts(other, scope) == kept
        finally:
            for name, value in away.items():
                asked(db, f"SET GLOBAL {name} = %s", value)


def test_a_small_packet_is_refused(tables: Server) -> None:
    """A value that is within the limits would not reach the database."""
    with closing(outside(tables)) as db:
        asked(db, "SET GLOBAL max_allowed_packet = 1048576")
        try:
            with (
                closing(open_store(tables.url)) as store,
                pytest.raises(PolicyError, match="max_allowed_packet of 1048576"),
            ):
                store.check()
        finally:
            asked(db, "SET GLOBAL max_allowed_packet = 16777216")


def test_another_driver_is_taken_once_it_has_proved_it(postgres: Server) -> None:
    """PostgreSQL by pg8000 keeps what psycopg writes. That it is not tested is said."""
    url = f"postgresql+pg8000://app@/postgres?unix_sock={postgres.folder}/.s.PGSQL.5432"
    with closing(open_store(url)) as store, closing(open_store(postgres.url)) as usual:
        (warning,) = store.check()
        assert "(postgresql by pg8000) is not among those that are tested: PostgreSQL by psycopg, MariaDB" in warning
        assert usual.check() == ()
        put(usual, SCOPE, a="1", b='"\\u0000"')
        assert store.add(SCOPE, "a", 1).text == "2" and usual.add(SCOPE, "a", 1).text == "3"
        put(store, SCOPE, a="4")
        assert texts(store, SCOPE) == texts(usual, SCOPE) == {"a": "4", "b": '"\\u0000"'}
        store.sweep()
        assert store.erase(Where(scope=SCOPE.id)) == 2


def test_a_database_without_turns_needs_no_tables_to_be_refused() -> None:
    """SQL Server has no FOR UPDATE. That is seen before anything is made."""

    class Never:
        dialect = mssql.dialect()  # type: ignore[no-untyped-call]  # as SQLAlchemy has it

    never: sa.Connection = Never()  # type: ignore[assignment]  # no statement reaches it
    with pytest.raises(PolicyError, match="because it does not let writers of one scope take turns"):
        proof.before(never)
