"""How long state is kept, and what is stored about one person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_app_meta.state import keeping
from jupyter_app_meta.state.keys import Identity, Scope, Space, scope_of
from jupyter_app_meta.state.stores.base import Store
from jupyter_app_meta.state.stores.open import open_store

SALES = Space.run("/", "/sales")
ALICE = Identity("hub", "hub", "user", "alice")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store that is empty."""
    opened = open_store(f"sqlite:///{tmp_path}/state.db")
    yield opened
    opened.close()


def test_one_server_sweeps_each_hour(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is over goes, what is not over stays, and the next server finds that it was done."""
    store.apply(Scope("visitor", "s"), {}, {"over": "1"}, (), 0.001)
    store.apply(Scope("visitor", "s"), {}, {"stays": "1"}, (), None)
    while "over" in store.read(Scope("visitor", "s").id, None):
        pass
    monkeypatch.setattr(keeping, "HOUR", 0.05)
    assert keeping.sweep(store)  # the lease itself may be over already, and then counts too
    monkeypatch.setattr(keeping, "HOUR", 3600.0)
    while keeping.sweep(store) is None:
        pass
    assert keeping.sweep(store) is None
    assert set(store.read(Scope("visitor", "s").id, None)) == {"stays"}


def test_an_export_has_what_one_person_put(store: Store) -> None:
    """In tabs, dashboards and preferences; nothing of a namesake, of everybody's, or of the servers' own."""
    mine = [scope_of(audience, SALES, ALICE, "t") for audience in ("session", "visitor", "preferences")]
    others = [scope_of("visitor", SALES, Identity("hub", "hub", "service", "alice")), scope_of("shared", SALES, None)]
    for scope in (*mine, *others, Scope("meta", SALES.text, ALICE.text)):
        store.apply(scope, {}, {"k": '[1, "\\u0000"]'}, (), None)
    found = [json.loads(line) for line in keeping.export(store, "hub:user:alice")]
    told = {(line["audience"], line["dashboard"], line["tab"]) for line in found}
    assert told == {("session", "/sales", "t"), ("visitor", "/sales", None), ("preferences", None, None)}
    assert len(found) == 3 and all(line["key"] == "k" and line["value"] == [1, "\0"] for line in found)
    assert list(keeping.export(store, "hub:user:bob")) == []


def test_an_export_has_an_int_of_any_size(store: Store) -> None:
    """To the letter, although json would not read it."""
    store.apply(scope_of("visitor", SALES, ALICE), {}, {"k": "9" * 5000}, (), None)
    assert f'"value": {"9" * 5000}}}' in next(keeping.export(store, "hub:user:alice"))


@pytest.mark.parametrize("person", ["", "alice", "hub:alice", "hub:user:", ":user:alice", "hub:owner:alice", "hub:x:a"])
def test_a_person_who_is_not_named_fully_is_refused(store: Store, person: str) -> None:
    """A username alone may be several persons'."""
    with pytest.raises(ValueError, match="such as hub:user:alice"):
        list(keeping.export(store, person))


def test_names_may_have_colons_and_the_owner_has_none() -> None:
    """Only the first two colons part a name."""
    assert {found.username for found in keeping.named("hub:user:a:b")} == {"a:b"}
    assert {found.kind for found in keeping.named("Provider:owner")} == {"owner"}
