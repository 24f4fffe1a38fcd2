"""Servers that share a store: one name for each, and one secret for all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import asdict

import pytest
from databases import empty_store

from jupyter_app_meta.errors import StateUnavailable
from jupyter_app_meta.state.stores import secret, servers
from jupyter_app_meta.state.stores.base import Store
from jupyter_app_meta.state.stores.open import open_store
from jupyter_app_meta.state.stores.servers import (
    NO_DASHBOARDS,
    SERVERS,
    Lease,
    NameTaken,
    Process,
    Served,
    alive,
    holder,
    mixed,
)

DIES = (
    "import sys; from jupyter_app_meta.state.stores.open import open_store; "
    "from jupyter_app_meta.state.stores.servers import Lease; Lease(open_store(sys.argv[1]), sys.argv[2]).take()"
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb", "redis"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a store that is empty."""
    with empty_store(request.param, tmp_path_factory.mktemp("servers")) as url:
        yield url


@pytest.fixture(scope="module")
def store(url: str) -> Iterator[Store]:
    """A store."""
    opened = open_store(url)
    yield opened
    opened.close()


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return uuid.uuid4().hex


def row(store: Store, name: str, **changes: object) -> None:
    """Put a row as another server would."""
    text = json.dumps({**json.loads(Process.own().text), **changes})
    store.apply(SERVERS, {}, {name: text}, (), 60)


def test_a_name_belongs_to_one_living_server(store: Store, name: str) -> None:
    """Its server renews it, another one is told who has it, and when it is given back anyone may take it."""
    first, second = Lease(store, name), Lease(store, name)
    first.take()
    first.take()
    with pytest.raises(NameTaken, match=f"process {os.getpid()} on "):
        second.take()
    assert name in alive(store)
    first.end()
    first.end()
    assert name not in alive(store)
    second.take()
    with pytest.raises(NameTaken):
        first.take()
    first.end()
    assert name in alive(store)


def test_a_killed_servers_name_is_free_on_its_machine(store: Store, url: str, name: str) -> None:
    """The next server sees that the process has ended, and need not wait."""
    subprocess.run([sys.executable, "-c", DIES, url, name], check=True, timeout=60)
    assert name in alive(store)
    Lease(store, name).take()


@pytest.mark.parametrize("changes", [{"machine": "another"}, {"machine": ""}])
def test_a_server_of_another_machine_is_believed_to_live(store: Store, name: str, changes: dict[str, str]) -> None:
    """Until its row is over, because its process cannot be seen from here."""
    row(store, name, pid=2**22 + 1, began="1", **changes)
    with pytest.raises(NameTaken, match=f"process {2**22 + 1} on "):
        Lease(store, name).take()


def test_a_server_of_other_dashboards_is_named_while_it_lives(store: Store, name: str) -> None:
    """With a place whose state both have. A row of another release, or of a process that has ended, does not count."""
    ours = Served.of(name, {"/a": "a", "/b": "b"})
    theirs = asdict(Served.of(name, {"/b": "b", "/c": "c"}))
    row(store, f"{name}1", served={"deployment": name, "another": 1}, newer=1)
    row(store, f"{name}2", served=theirs, began="1")
    assert mixed(store, ours) is None
    row(store, f"{name}3", served=theirs)
    assert mixed(store, ours) == ("/b", str(Process.own()))
    assert mixed(store, ours, f"{name}3") is None and mixed(store, NO_DASHBOARDS) is None
    assert holder(store, f"{name}1") == str(Process.own())


@pytest.mark.parametrize("text", ["e1:0a1b2c3d:AAAA", "[]", "{}", '{"served": 1}', "[" * 100_000])
def test_a_row_that_cannot_be_read_is_an_error_of_its_name_alone(store: Store, name: str, text: str) -> None:
    """Its own server is told, and never by an error that ends the renewals. The other rows are still found."""
    store.apply(SERVERS, {}, {f"{name}1": text}, (), 60)
    row(store, f"{name}2", served=asdict(Served.of(name, {"/a": "b"})))
    assert mixed(store, Served.of(name, {"/a": "a"})) == ("/a", str(Process.own()))
    with pytest.raises(StateUnavailable, match="row of a server"):
        Lease(store, f"{name}1").take()
    with pytest.raises(StateUnavailable, match="row of a server"):
        holder(store, f"{name}1")
    store.apply(SERVERS, {}, {}, (f"{name}1", f"{name}2"), None)


def test_a_lease_that_has_lapsed_is_taken_again(store: Store, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that was frozen, or whose store was away, has its name again; it does not take another's."""
    monkeypatch.setattr(servers, "DEAD", 0.02)
    first, second = Lease(store, name), Lease(store, name)
    first.take()
    while name in alive(store):
        pass
    first.take()
    while name in alive(store):
        pass
    monkeypatch.setattr(servers, "DEAD", 60)
    second.take()
    with pytest.raises(NameTaken):
        first.take()


def test_a_renewal_whose_answer_was_lost_is_not_another_server(store: Store, name: str) -> None:
    """The row has a version that its server does not know, and is still its own."""
    lease = Lease(store, name)
    lease.take()
    row_text = store.read(SERVERS.id, (name,))[name].text
    store.apply(SERVERS, {}, {name: row_text}, (), 60)
    lease.take()
    lease.end()
    assert name not in alive(store)


def test_the_first_secret_is_everybodys(store: Store) -> None:
    """Whichever server comes first; a restarted one has it too."""
    assert secret.agreed(store, b"1" * 32) == b"1" * 32
    assert secret.agreed(store, b"2" * 32) == b"1" * 32
    for damaged in ("e1:0a1b2c3d:AAAA", "", "31" * 15):  # a short one could be guessed
        store.apply(secret.META, {}, {secret.COOKIES: damaged}, (), None)
        with pytest.raises(StateUnavailable, match="secret in the store cannot be read"):
            secret.agreed(store, b"2" * 32)


def test_a_store_that_is_away_is_an_error(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The server decides what follows."""
    away = open_store(f"unix://{tmp_path_factory.getbasetemp()}/no-redis")
    with pytest.raises(StateUnavailable):
        Lease(away, "aaaa").take()
    with pytest.raises(StateUnavailable):
        secret.agreed(away, bytes(32))
    away.close()
