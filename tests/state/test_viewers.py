"""Who is looking, as a kernel may know it: of its own dashboard only, from the rows of all servers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jupyter_app_meta import StateUnavailable, shared, visitor
from jupyter_app_meta.kernel.state import presence
from jupyter_app_meta.kernel.state.presence import PageInfo, Viewer
from jupyter_app_meta.state.grants import Claims
from jupyter_app_meta.state.keys import Identity, Space
from jupyter_app_meta.state.live.viewers import FRESH, MOST, Viewers
from jupyter_app_meta.state.sessions import Session, Sessions
from jupyter_app_meta.state.stores.base import Store
from jupyter_app_meta.state.stores.open import open_store
from jupyter_app_meta.state.stores.servers import Lease
from jupyter_app_meta.testing import fake_request

SALES, STOCK = (Space.run("prod", path) for path in ("/sales", "/stock"))
ALICE, BOB = (Identity("hub", "hub", "user", name) for name in ("alice", "bob"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store in a file of its own."""
    store = open_store(f"sqlite:///{tmp_path}/state.db")
    yield store
    store.close()


@pytest.fixture
def two(store: Store) -> tuple[Sessions, Sessions]:
    """The pages of two servers that live."""
    servers = Sessions(store, "aaaa"), Sessions(store, "bbbb")
    for server in servers:
        Lease(store, server.server).take()
    return servers


def page(who: Identity | None, since: float, space: Space = SALES, name: str = "") -> Session:
    """A page that a server is about to open."""
    text, shown = (who.text, who.username.title()) if who else (None, name)
    return Session("", "", text, "secret", "user", space.text, f"{space.place}?x=1", f"k-{since}", "tab", since, shown)


def claims(who: Identity | None = ALICE, space: Space = SALES) -> Claims:
    """What a grant says."""
    return Claims("k-1", space, who, "tab", "link")


def test_a_kernel_is_told_of_the_people_on_its_dashboard(store: Store, two: tuple[Sessions, Sessions]) -> None:
    """Of all servers, each person once, those that came first in front; of other dashboards it is told nothing."""
    here, there = two
    here.open(page(ALICE, 5))
    there.open(page(BOB, 3))
    there.open(page(ALICE, 2))
    here.open(page(BOB, 1, STOCK))
    here.open(page(None, 6, name="Anonymous"))
    here.open(page(None, 7, name="Anonymous"))
    viewers = Viewers(store)
    people = [["Alice", 2, 2], ["Bob", 3, 1], ["Anonymous", 6, 1], ["Anonymous", 7, 1]]
    assert viewers.of(claims()) == viewers.of(claims(None)) == people
    assert viewers.own(claims()) == [["/sales?x=1", 2, "k-2"], ["/sales?x=1", 5, "k-5"]]
    assert viewers.own(claims(BOB, STOCK)) == [["/stock?x=1", 1, "k-1"]]
    assert viewers.own(claims(None)) == viewers.of(claims(space=Space.edit("prod", "/sales"))) == []


def test_rows_are_read_once_a_second(store: Store, two: tuple[Sessions, Sessions]) -> None:
    """A cell that asks in a loop costs the store nothing."""
    now = 0.0
    viewers = Viewers(store, clock=lambda: now)
    assert viewers.of(claims()) == []
    opened = two[0].open(page(ALICE, 1))
    assert viewers.of(claims()) == []
    now = FRESH
    assert viewers.of(claims()) == [["Alice", 1, 1]]
    two[0].close(opened.id)
    assert len(viewers.of(claims())) == 1


def test_an_answer_has_a_bound(store: Store, two: tuple[Sessions, Sessions], monkeypatch: pytest.MonkeyPatch) -> None:
    """Many people on one dashboard do not fill a message."""
    monkeypatch.setattr("jupyter_app_meta.state.live.viewers.MOST", 2)
    for since in range(3):
        two[0].open(page(Identity("hub", "hub", "user", f"u{since}"), since))
    assert len(Viewers(store).of(claims())) == 2 < MOST


def test_a_deployer_may_tell_kernels_nothing(store: Store) -> None:
    """The error names the option."""
    for ask in (Viewers(store, is_on=False).of, Viewers(store, is_on=False).own):
        with pytest.raises(StateUnavailable, match="presence is 'off'"):
            ask(claims())


def test_authors_see_names_and_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """As frozen values; a fake request has no pages."""
    with fake_request(user="alice"):
        assert (visitor.pages(), shared.viewers()) == ((), ())
    answers: dict[str, Any] = {"visitor": [["/sales", 0.5, "k-1"]], "shared": [["Alice", 0, 2]]}
    monkeypatch.setattr(presence, "Asked", lambda audience: lambda _: answers[audience])
    moment = datetime(1970, 1, 1, tzinfo=UTC)
    assert visitor.pages() == (PageInfo("/sales", moment.replace(microsecond=500_000), "k-1"),)
    assert shared.viewers() == (Viewer("Alice", moment, 2),)
