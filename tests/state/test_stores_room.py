"""What a write asks of the whole scope, on every store: no other keys, and room within its limits."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import empty_store
from texts import put, texts, until

from jupyter_app_meta.errors import Conflict, TooLarge
from jupyter_app_meta.state.keys import Scope
from jupyter_app_meta.state.stores.base import Store
from jupyter_app_meta.state.stores.open import open_store
from jupyter_app_meta.state.values import Limits

FILLER = Path(__file__).with_name("filler.py")
KEYS = 20


@pytest.fixture(scope="module", params=["sqlite", "sqlalchemy", "postgresql", "mariadb", "redis"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a store that is empty."""
    with empty_store(request.param, tmp_path_factory.mktemp("stores")) as url:
        yield url


@pytest.fixture(scope="module")
def store(url: str) -> Iterator[Store]:
    """A store object of this server."""
    opened = open_store(url)
    yield opened
    opened.close()


@pytest.fixture
def scope() -> Scope:
    """A scope that no other test uses."""
    return Scope("visitor", f'["d","run","/{uuid.uuid4().hex}"]', '["hub","cookie","user","alice"]')


def test_a_key_that_was_added_is_a_conflict_for_a_write_to_the_whole(store: Store, scope: Scope) -> None:
    """Its name is in the error, and nothing has changed. A key whose time is over does not count."""
    version = put(store, scope, a="1")
    put(store, scope, ttl=0.05, brief="1")
    until(lambda: "brief" not in store.read(scope.id, None))
    store.apply(scope, {"a": version, "b": 0}, {"c": "1"}, (), None, whole=True)
    with pytest.raises(Conflict) as conflict:
        store.apply(scope, {"a": version}, {"d": "1"}, ("a",), None, whole=True)
    assert (conflict.value.key, texts(store, scope)) == ("c", {"a": "1", "c": "1"})
    with pytest.raises(Conflict):
        store.apply(scope, {}, {"d": "1"}, (), None, whole=True)


def test_limits_of_a_scope_hold_to_the_last_byte(store: Store, scope: Scope) -> None:
    """For puts and sums, whatever is replaced, dropped or over; a refused write has changed nothing."""
    limits = Limits(keys=3, scope=12)
    store.apply(scope, {}, {"a": '"1234"', "b": "1"}, (), None, limits=limits)
    put(store, scope, ttl=0.05, brief='"a long text"')
    until(lambda: "brief" not in store.read(scope.id, None))
    store.apply(scope, {}, {"c": "12345"}, (), None, limits=limits)
    held = texts(store, scope)
    for puts in ({"c": "123456"}, {"d": "1"}, {"a": '"12345"'}):
        with pytest.raises(TooLarge):
            store.apply(scope, {}, puts, (), None, limits=limits)
    for key, amount in (("d", 1), ("b", 9), ("c", 0.5), ("d", 0.5)):
        with pytest.raises(TooLarge):
            store.add(scope, key, amount, limits=limits)
    with pytest.raises(TooLarge):
        store.replace(scope, "b", store.read(scope.id, ("b",))["b"].version, "12", limits=limits)
    assert texts(store, scope) == held
    assert store.add(scope, "b", 8, limits=limits).text == "9"
    store.apply(scope, {}, {"d": "1"}, ("c", "absent"), None, limits=limits)
    assert {*texts(store, scope)} == {"a", "b", "d"}


def test_a_scope_above_lowered_limits_can_be_made_smaller(store: Store, scope: Scope) -> None:
    """A write that lets it grow is refused, in keys as well as in bytes."""
    put(store, scope, a='"123"', b='"123"', c="1")
    limits = Limits(keys=2, scope=5)
    store.apply(scope, {}, {"a": "1"}, (), None, limits=limits)
    store.apply(scope, {}, {"d": "1"}, ("c",), None, limits=limits)
    for puts in ({"a": "12"}, {"e": "1"}):
        with pytest.raises(TooLarge):
            store.apply(scope, {}, puts, (), None, limits=limits)
    assert {*texts(store, scope)} == {"a", "b", "d"}


def test_two_processes_cannot_exceed_a_limit_together(store: Store, url: str, scope: Scope) -> None:
    """Each fills the scope with keys of its own: as many writes are done as there is room for, and no more."""
    parts = json.dumps([scope.audience, scope.space, scope.identity])
    command = [sys.executable, str(FILLER), url, parts, str(KEYS)]
    fillers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for filler in fillers:
            assert filler.stdout is not None and filler.stdout.readline() == "ready\n"
        for name, filler in enumerate(fillers):
            assert filler.stdin is not None
            print(name, file=filler.stdin, flush=True)
        done = [int(filler.communicate(timeout=60)[0]) for filler in fillers]
    finally:
        for filler in fillers:
            filler.kill()
            filler.communicate()
    assert sum(done) == len(texts(store, scope)) == KEYS
