"""The moments of revocation in a store, and the grants that two servers make after them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_app_meta.model import SessionInfo, User
from jupyter_app_meta.policy import RawRequest
from jupyter_app_meta.server.links.granting import Grants, Places
from jupyter_app_meta.state import grants, revoked
from jupyter_app_meta.state.grants import BadGrant
from jupyter_app_meta.state.keys import Identity
from jupyter_app_meta.state.revoked import MOMENT, Revoked
from jupyter_app_meta.state.stores.base import Store
from jupyter_app_meta.state.stores.open import open_store

KEY = grants.derive_key(b"a secret that servers share")
ALICE, BOB = (Identity("hub", "hub", "user", name) for name in ("alice", "bob"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Yield a store in a file of its own."""
    store = open_store(f"sqlite:///{tmp_path / 'state.db'}")
    yield store
    store.close()


def test_what_was_not_asked_lately_is_not_known(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop never takes an old answer for a new one."""
    mine = Revoked(store)
    with pytest.raises(LookupError):
        mine.lately(ALICE)
    assert mine.not_before(ALICE) is None and mine.lately(ALICE) is None
    mine.revoke(ALICE)
    assert mine.lately(ALICE) == mine.not_before(ALICE) is not None
    monkeypatch.setattr(revoked, "REMEMBERED", 0.0)
    with pytest.raises(LookupError):
        mine.lately(ALICE)


def test_each_server_learns_of_a_revocation(store: Store) -> None:
    """The moment is the store's, another visitor has none, and each server notices once that grants may be over."""
    mine, other = Revoked(store), Revoked(store)
    before = time.time()
    assert (mine.not_before(ALICE), mine.turn) == (None, 0)
    mine.revoke(ALICE)
    moment = mine.not_before(ALICE)
    assert moment is not None and before <= moment <= time.time() and mine.turn == 1
    assert (other.not_before(BOB), other.turn) == (None, 0)
    assert [other.not_before(ALICE), other.not_before(ALICE), other.turn] == [moment, moment, 1]


def test_a_grant_is_later_than_a_revocation_by_a_clock_that_is_ahead(store: Store) -> None:
    """A visitor who was forgotten is not shut out until the server's clock has caught up with the store's."""
    revoked = Revoked(store)
    assert revoked.after(ALICE, 5.0) == 5.0
    revoked.revoke(ALICE)
    moment = revoked.not_before(ALICE)
    assert moment is not None
    assert revoked.after(ALICE, moment - 1) == moment + MOMENT
    assert revoked.after(ALICE, moment + 1) == moment + 1
    assert revoked.after(ALICE, moment - 1000) == moment - 1000 + grants.CLOCK_SKEW  # no clock is so far away


def test_the_next_grant_after_a_revocation_is_good_and_the_last_is_not(store: Store) -> None:
    """The grant that a server makes right after the revocation is not taken for one from before."""
    revoked = Revoked(store)
    makes = Grants(KEY, Places("d", "hub"), lambda kernel_id: "link", revoked)
    raw = RawRequest(
        "GET",
        "http://h/",
        "http://h/",
        user=User(is_authenticated=True, username="alice", kind="user", assurance="provider"),
        browser="b" * 32,
    )
    session = SessionInfo(kernel_id="k-1", path="a.ipynb")

    def token() -> str:
        made = makes.token("k-1", raw, "", session, "edit")
        assert made is not None
        return made

    def check(text: str) -> None:
        grants.read(KEY, text, "k-1", time.time()).check_revoked(revoked.not_before)

    old = token()
    claims = grants.read(KEY, old, "k-1", time.time())
    assert claims.identity is not None
    revoked.revoke(claims.identity)
    check(token())
    with pytest.raises(BadGrant, match="revoked"):
        check(old)
