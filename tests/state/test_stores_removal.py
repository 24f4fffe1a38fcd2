"""What removes from many scopes, beside those who write to them: neither is given up for the other."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import pytest
from databases import MariaServer, PostgresServer, Server, asked, outside, running
from texts import put, texts, until

from jupyter_app_meta.state.keys import Scope
from jupyter_app_meta.state.stores.base import Store, Where
from jupyter_app_meta.state.stores.open import open_store
from jupyter_app_meta.state.stores.sql import database, patience

KEYS = ("a", "b", "c")
WAITING: dict[type[Server], str] = {
    PostgresServer: "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
    MariaServer: "SELECT variable_value FROM information_schema.global_status "
    "WHERE variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS'",
}


@pytest.fixture(scope="module", params=[PostgresServer, MariaServer])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A database server of these tests alone."""
    with running(request.param) as started:
        yield started


@pytest.fixture
def store(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store in it that waits long: the database, and not a busy machine, gives up."""
    for module in (database, patience):
        monkeypatch.setattr(module, "PATIENCE", 60)
    opened = open_store(server.url)
    yield opened
    opened.close()


@contextmanager
def held(server: Server, table: str, **row: str) -> Iterator[Callable[[], int]]:
    """Hold the lock of a row; yields how many others wait for a lock."""
    quote = '"' if isinstance(server, PostgresServer) else "`"
    condition = " AND ".join(f"{quote}{name}{quote} = %s" for name in row)
    with closing(outside(server, autocommit=False)) as db, closing(outside(server)) as asks:
        assert asked(db, f"SELECT 1 FROM {table} WHERE {condition} FOR UPDATE", *row.values())

        def waiting() -> int:
            ((count,),) = asked(asks, WAITING[type(server)])
            return int(count)

        yield waiting
        db.rollback()  # a server lets go of the locks of a connection that was closed only once it has noticed


def done(*asked: Future[Any]) -> None:
    """Wait for what was asked; raises what it raised."""
    for future in asked:
        future.result(60)


def test_a_sweep_and_a_writer_of_what_is_over_do_not_wait_for_each_other(server: Server, store: Store) -> None:
    """The sweep has the first entry and waits for the second one; the writer wants the last one, then the first."""
    scope = Scope("visitor", uuid.uuid4().hex)
    put(store, scope, ttl=0.01, **dict.fromkeys(KEYS, "1"))
    until(lambda: not texts(store, scope))
    with ThreadPoolExecutor(2) as threads:
        with held(server, "entries", scope=scope.id, key='"b"') as waiting:
            sweep = threads.submit(store.sweep)
            until(lambda: waiting() == 1 or sweep.done())
            before = waiting()
            write = threads.submit(store.apply, scope, {}, dict.fromkeys(reversed(KEYS), "2"), (), None)
            until(lambda: waiting() > before or write.done())
        done(sweep, write)
    assert texts(store, scope) == dict.fromkeys(KEYS, "2")


def test_a_sweep_does_not_wait_for_a_scope_that_is_held(server: Server, store: Store) -> None:
    """It removes what is over elsewhere. Its next round finds the rest."""
    busy, idle = (Scope("visitor", uuid.uuid4().hex) for _ in range(2))
    for scope in (busy, idle):
        put(store, scope, ttl=0.01, **dict.fromkeys(KEYS, "1"))
        until(lambda scope=scope: not texts(store, scope))  # type: ignore[misc]  # mypy does not infer it
    with held(server, "scopes", scope=busy.id):
        assert store.sweep() == len(KEYS)
    assert store.sweep() == len(KEYS)


@pytest.mark.parametrize("server", [MariaServer], indirect=True)
def test_a_write_that_the_database_gives_up_is_done_again(server: Server, store: Store) -> None:
    """Another client locks an entry first, and its scope afterwards. As it has written more, the write is given up."""
    scope = Scope("visitor", uuid.uuid4().hex)
    put(store, scope, a="1")
    with ThreadPoolExecutor(1) as threads, closing(outside(server, autocommit=False)) as db:
        for number in range(99):
            asked(db, "INSERT INTO meta (name, value) VALUES (%s, '')", f"{scope.id} {number}")
        asked(db, "SELECT 1 FROM entries WHERE scope = %s FOR UPDATE", scope.id)
        write = threads.submit(put, store, scope, a="2")
        with closing(outside(server)) as asks:
            until(lambda: int(asked(asks, WAITING[MariaServer])[0][0]) == 1)
        asked(db, "SELECT 1 FROM scopes WHERE scope = %s FOR UPDATE", scope.id)
        db.rollback()
        write.result(60)
    assert texts(store, scope) == {"a": "2"}


def test_a_scope_that_another_has_just_made_is_not_removed_before_a_write(server: Server, store: Any) -> None:
    """The writer, who found none, finds it when it makes its own. It has the row from then on."""
    scope, hold, calls = Scope("visitor", uuid.uuid4().hex), store._steps.hold, iter(range(9))
    made = "INSERT INTO scopes (scope, audience, space, revision, used) VALUES (%s, '', '', 0, 0)"
    removing: list[Future[Any]] = []
    with ThreadPoolExecutor(1) as threads, closing(outside(server)) as db, closing(outside(server)) as asks:

        def steps(*given: Any) -> Any:
            if next(calls):
                removing.append(threads.submit(asked, db, "DELETE FROM scopes WHERE scope = %s", scope.id))
                until(lambda: removing[0].done() or int(asked(asks, WAITING[type(server)])[0][0]) == 1)
                return hold(*given)
            found = hold(*given)
            asked(db, made, scope.id)
            return found

        store._steps.hold = steps
        put(store, scope, k="1")
        done(*removing)
    assert texts(store, scope) == {"k": "1"}


def test_two_that_erase_the_same_scopes_do_not_wait_for_each_other(server: Server, store: Store) -> None:
    """One by the person, one by the place. Both want the same scopes."""
    space, alice = uuid.uuid4().hex, f'["{uuid.uuid4().hex}"]'
    scopes = sorted((Scope("session", space, alice, f"tab {number}") for number in range(9)), key=lambda one: one.id)
    for scope in scopes:
        put(store, scope, k="1")
    with ThreadPoolExecutor(2) as threads:
        with held(server, "scopes", scope=scopes[4].id) as waiting:
            erasing = [threads.submit(store.erase, where) for where in (Where(identity=alice), Where(space=space))]
            until(lambda: waiting() == 2)
        assert sorted(one.result(60) for one in erasing) == [0, len(scopes)]
