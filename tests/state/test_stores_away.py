"""What a store does while its server is away, frozen, full or of another time."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from queue import Queue
from typing import Any

import psutil
import psycopg
import pymysql
import pytest
import redis
import sqlalchemy as sa
from databases import MariaServer, PostgresServer, RedisServer, Server, asked, outside, running
from texts import until

from jupyter_app_meta.errors import PolicyError, StateUnavailable
from jupyter_app_meta.state.keys import Scope
from jupyter_app_meta.state.stores.base import RESYNC, Notice, Store
from jupyter_app_meta.state.stores.open import open_store
from jupyter_app_meta.state.stores.redis import server as redis_server
from jupyter_app_meta.state.stores.sql import Sql, database, patience


@pytest.fixture(scope="module", params=[PostgresServer, MariaServer, RedisServer])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A database server of these tests alone."""
    with running(request.param) as started:
        yield started


@pytest.fixture(scope="module")
def own_redis() -> Iterator[Server]:
    """A Redis of these tests alone."""
    with running(RedisServer) as started:
        yield started


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Server]:
    """A PostgreSQL of these tests alone."""
    with running(PostgresServer) as started:
        yield started


@pytest.fixture(scope="module")
def own_maria() -> Iterator[Server]:
    """A MariaDB of these tests alone."""
    with running(MariaServer) as started:
        yield started


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    """A store in it."""
    opened = open_store(server.url)
    yield opened
    opened.close()


@pytest.fixture
def scope() -> Scope:
    """A scope that no other test uses."""
    return Scope("shared", uuid.uuid4().hex)


def end_connections(server: Server) -> None:
    """Cut every connection to the server, as a proxy or an administrator does."""
    if isinstance(server, RedisServer):
        with redis.Redis.from_url(server.url) as client:
            for kind in ("normal", "pubsub"):
                client.client_kill_filter(_type=kind, skipme=True)
        return
    with closing(outside(server)) as db:
        if isinstance(server, PostgresServer):
            others = "backend_type = 'client backend' AND pid <> pg_backend_pid()"
            asked(db, f"SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE {others}")
            return
        others = "SELECT id FROM information_schema.processlist WHERE id <> connection_id()"
        for (connection,) in asked(db, others):
            with suppress(pymysql.Error):  # it may have ended by itself
                asked(db, f"KILL {connection}")
        until(lambda: not asked(db, others))


def ways_to_ask(store: Store, scope: Scope) -> list[Callable[[], object]]:
    """Return a read and two writes."""
    return [
        lambda: store.read(scope.id, None),
        lambda: store.apply(scope, {}, {"k": '"canary"'}, (), None),
        lambda: store.add(scope, "n", 1),
    ]


def until_heard(heard: Queue[Notice], notice: Notice) -> None:
    """Wait for a notice."""
    deadline = time.monotonic() + 60
    while heard.get(timeout=60) != notice:
        assert time.monotonic() < deadline


def waiting_of(store: Sql) -> Callable[[int], None]:
    """Return what says how many seconds each connection of a new store by PyMySQL waits from now on."""
    made: list[Any] = []
    options: dict[str, int] = {}
    sa.event.listen(store._db._engine, "connect", lambda db, _: made.append(db))
    dialect: Any = store._db.sql
    connect = dialect.connect
    dialect.connect = lambda *given, **named: connect(*given, **named | options)

    def wait(seconds: int) -> None:
        options.update(connect_timeout=seconds, read_timeout=seconds)
        for db in made:
            db._read_timeout = seconds

    return wait


def freeze(server: Server) -> None:
    """Stop a server that is one process, and wait until each of its threads has stopped."""
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    tasks = Path(f"/proc/{server.process.pid}/task")
    until(lambda: all(" T " in (task / "stat").read_text().rpartition(")")[2] for task in tasks.iterdir()))


def until_resync(server: Server, heard: Queue[Notice]) -> None:
    """Wait for the notice that something may have been missed. A database that is polled has all of it still there."""
    if not isinstance(server, MariaServer):
        until_heard(heard, RESYNC)


def test_a_lost_connection_costs_no_call_and_a_resync(server: Server, store: Store, scope: Scope) -> None:
    """The next call is answered at once; a listener hears that it may have missed something, then goes on hearing."""
    heard: Queue[Notice] = Queue()
    feed, other = store.feed(heard.put), open_store(server.url)
    store.add(scope, "n", 1)
    end_connections(server)
    for ask in ways_to_ask(store, scope):
        ask()
    assert store.read(scope.id, ["n"])["n"].text == "2"
    until_resync(server, heard)
    other.add(scope, "n", 1)
    until_heard(heard, Notice(scope.id, None if isinstance(server, MariaServer) else frozenset({"n"})))
    feed.close()
    other.close()


def test_a_server_that_is_away_is_an_error_until_it_is_back(server: Server, store: Store, scope: Scope) -> None:
    """Never an empty answer. Nothing was sent, and the error says so, without the value."""
    heard: Queue[Notice] = Queue()
    feed = store.feed(heard.put)
    store.add(scope, "n", 1)
    server.stop()
    for ask in ways_to_ask(store, scope):
        with pytest.raises(StateUnavailable, match="cannot be used") as away:
            ask()
        assert not away.value.may_have_happened and "canary" not in str(away.value)
    later = open_store(server.url)
    with pytest.raises(StateUnavailable):
        later.check()
    server.start()
    for opened in (store, later):
        for ask in ways_to_ask(opened, scope):
            ask()
    until_resync(server, heard)
    feed.close()
    later.close()


def test_a_newer_schema_is_refused_by_name(server: Server, scope: Scope) -> None:
    """What a newer release wrote is neither read nor written."""

    def name(schema: str) -> None:
        if isinstance(server, RedisServer):
            with redis.Redis.from_url(server.url) as client:
                client.set("app-meta:schema", schema)
        else:
            with closing(outside(server)) as db:
                asked(db, "UPDATE meta SET value = %s WHERE name = 'schema'", schema)

    first = open_store(server.url)
    first.check()
    first.close()
    name("2.0")
    store = open_store(server.url)
    try:
        for ask in (store.check, *ways_to_ask(store, scope)):
            with pytest.raises(PolicyError, match=r"schema 2\.0, made by a newer release; this one reads 1\.0"):
                ask()
    finally:
        name("1.7")
    store.check()
    store.close()


def test_a_frozen_server_holds_no_thread(server: Server, scope: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call ends with an error, although nothing answers, and the store works again with its server."""
    monkeypatch.setattr(redis_server, "PATIENCE", 2.0)
    monkeypatch.setattr(database, "PATIENCE", 60 if isinstance(server, MariaServer) else 2)
    store = open_store(server.url)
    wait = waiting_of(store) if isinstance(store, Sql) and isinstance(server, MariaServer) else lambda seconds: None
    store.add(scope, "n", 1)
    wait(2)
    assert server.process is not None
    frozen = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children()]
    for process in frozen:
        process.suspend()
    monkeypatch.setattr(patience, "PATIENCE", 0.3)
    began = time.monotonic()
    try:
        for ask in ways_to_ask(store, scope):
            with pytest.raises(StateUnavailable):
                ask()
        assert time.monotonic() - began < 60
    finally:
        for process in frozen:
            process.resume()
    monkeypatch.setattr(patience, "PATIENCE", 60.0)  # a busy machine may answer late
    wait(60)
    assert int(store.add(scope, "n", 1).text) >= 2
    store.close()


@pytest.mark.parametrize(("rested", "is_asked"), [(0.0, True), (3600.0, False)])
def test_a_connection_that_rested_long_is_asked_whether_it_works(
    own_postgres: Server, scope: Scope, monkeypatch: pytest.MonkeyPatch, rested: float, is_asked: bool
) -> None:
    """What lies in between may have forgotten it: no call fails. A connection that was used lately is not asked."""
    connect = database._connect

    def patient(*given: Any) -> Any:
        monkeypatch.setattr(patience, "PATIENCE", 60.0)  # a busy machine may answer late
        return connect(*given)

    monkeypatch.setattr(database, "_connect", patient)
    monkeypatch.setattr(database, "RESTED", rested)
    store = open_store(own_postgres.url)
    store.add(scope, "n", 1)
    with psycopg.connect(own_postgres.url) as db:
        others = "backend_type = 'client backend' AND pid <> pg_backend_pid()"
        silent = [psutil.Process(pid) for (pid,) in db.execute(f"SELECT pid FROM pg_stat_activity WHERE {others}")]
    for process in silent:
        process.suspend()
    monkeypatch.setattr(patience, "PATIENCE", 0.3)
    try:
        with nullcontext() if is_asked else pytest.raises(StateUnavailable):
            assert store.read(scope.id, ["n"])["n"].text == "1"
    finally:
        for process in silent:
            process.resume()
    store.close()


def test_a_frozen_server_leaves_a_doubt(own_redis: Server, scope: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call that gave up had been sent, and its error says that it may have happened. It had, once."""
    monkeypatch.setattr(redis_server, "PATIENCE", 2.0)
    store = open_store(own_redis.url)
    store.add(scope, "n", 1)
    assert own_redis.process is not None
    freeze(own_redis)
    try:
        with pytest.raises(StateUnavailable) as frozen:
            store.add(scope, "n", 1)
        assert frozen.value.may_have_happened
    finally:
        own_redis.process.send_signal(signal.SIGCONT)
    assert store.add(scope, "n", 1).text == "3"
    store.close()


def test_a_commit_without_an_answer_leaves_a_doubt(
    own_maria: Server, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says that it may have happened. It had, once. What was not yet committed has not."""
    monkeypatch.setattr(database, "PATIENCE", 60)  # a busy machine may answer late
    store = Sql(own_maria.url)
    wait = waiting_of(store)
    store.add(scope, "n", 1)

    def stop(*_: object) -> None:
        freeze(own_maria)
        wait(2)

    assert own_maria.process is not None
    process = psutil.Process(own_maria.process.pid)
    for event, happens in (("commit", True), ("before_cursor_execute", False)):
        wait(60)
        sa.event.listen(store._db._engine, event, stop, once=True)
        try:
            with pytest.raises(StateUnavailable) as frozen:
                store.add(scope, "n", 1)
            assert frozen.value.may_have_happened is happens
        finally:
            process.resume()
    wait(60)
    assert store.add(scope, "n", 1).text == "3"
    store.close()


def test_a_redis_that_may_lose_state_is_named(own_redis: Server, scope: Scope) -> None:
    """Eviction and memory without a file are warnings; a full memory refuses writes and still reads."""
    store = open_store(own_redis.url)
    store.apply(scope, {}, {"k": "1"}, (), None)
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        evicts, forgets = store.check()
        assert "noeviction, not allkeys-lru" in evicts and "appendonly yes" in forgets
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("appendonly", "yes")
        assert store.check() == ()
        # A Redis that begins its file would not end.
        client.config_set("appendonly", "no")
        client.config_set("maxmemory", 1)
        with pytest.raises(StateUnavailable) as full:
            store.apply(scope, {}, {"k": "2"}, (), None)
        assert not full.value.may_have_happened
        assert store.read(scope.id, ["k"])["k"].text == "1"
        client.config_set("maxmemory", 0)
    store.close()
