"""How many connections to a database a server needs: as many for all of its kernels as for a few."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import pytest
import redis
from databases import MariaServer, PostgresServer, RedisServer, Server, asked, outside, running
from texts import until

from jupyter_app_meta.state.keys import Scope
from jupyter_app_meta.state.stores.base import Notice
from jupyter_app_meta.state.stores.open import open_store
from jupyter_app_meta.state.stores.redis import server as redis_server
from jupyter_app_meta.state.stores.sql import database

MOST = 16 + 1
"""Connections at most: those that are used at once, and the one on which a server hears of changes."""

PEOPLE, ROUNDS = 60, 5


@pytest.fixture(params=[PostgresServer, MariaServer, RedisServer])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A database server of this test alone."""
    with running(request.param) as started:
        yield started


def connections(server: Server) -> int:
    """Return how many connections a database server has, without the one that asks."""
    if isinstance(server, RedisServer):
        with redis.Redis.from_url(server.url) as client:
            return len(client.client_list()) - 1
    counted = {
        PostgresServer: "pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
        MariaServer: "information_schema.processlist WHERE id <> connection_id()",
    }
    with closing(outside(server)) as db:
        ((count,),) = asked(db, f"SELECT count(*) FROM {counted[type(server)]}")
    return int(count)


def test_many_people_at_once_share_a_few_connections(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap: a connection for each request or person, until the database takes no more. None is left in the end."""
    for module in (redis_server, database):
        monkeypatch.setattr(module, "PATIENCE", 60)  # a busy machine may keep a thread waiting for a connection
    store, seen = open_store(server.url), list[int]()
    before = connections(server)
    heard: list[Notice] = []
    feed = store.feed(heard.append)

    def come(number: int) -> str:
        scope = Scope("visitor", uuid.uuid4().hex)
        for _ in range(ROUNDS):
            total = store.add(scope, "n", 1).text
        if number % 10 == 0:
            seen.append(connections(server))
        return total

    with ThreadPoolExecutor(PEOPLE) as people:
        assert set(people.map(partial(come), range(PEOPLE))) == {str(ROUNDS)}
    seen.append(connections(server))
    print(f"connections: {seen}")
    assert max(seen) - before <= MOST + PEOPLE // 10  # those that other threads ask with
    assert seen[-1] - before <= MOST
    feed.close()
    store.close()
    until(lambda: connections(server) <= before)
