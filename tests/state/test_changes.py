"""Watchers: nothing waits for itself, whatever a store's feed does while it begins and ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_app_meta.state.changes import Changes
from jupyter_app_meta.state.grants import Claims
from jupyter_app_meta.state.keys import Identity, Scope, Space
from jupyter_app_meta.state.live.events import Changed
from jupyter_app_meta.state.stores.base import RESYNC, Notice, Store
from jupyter_app_meta.state.stores.open import open_store

SPACE = Space.run("/", "/page")
SCOPE = Scope("shared", SPACE.text)


def claims(name: str) -> Claims:
    """Return what a grant of this person says."""
    return Claims("kernel", SPACE, Identity("hub", "hub", "user", name), None, "link")


class Heard:
    """A feed that tells of a gap from a thread of its own, and waits for that while it begins and while it ends."""

    def __init__(self, heard: Callable[[Notice], None]) -> None:
        self._heard = heard
        self._tell()

    def _tell(self) -> None:
        teller = threading.Thread(target=self._heard, args=(RESYNC,))
        teller.start()
        teller.join(60)
        assert not teller.is_alive(), "the notice waits for the feed, and the feed for the notice"

    def close(self) -> None:
        """End."""
        self._tell()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A real store whose feed has gaps at its beginning and end."""
    opened: Any = open_store(f"sqlite:///{tmp_path}/state.db")
    monkeypatch.setattr(type(opened), "feed", lambda _, heard: Heard(heard))
    yield opened
    opened.close()


def test_a_gap_while_a_feed_begins_or_ends_is_told(store: Store) -> None:
    """A watcher that is there hears of it, and all others go on."""
    told: list[tuple[str, Changed]] = []
    changes = Changes(store, lambda kernel_id, event: told.append((kernel_id, event)))
    name = changes.watch(claims("alice"), SCOPE)
    assert [(kernel_id, event.scope, event.keys) for kernel_id, event in told] == [("kernel", name, None)]
    changes.done(claims("bob"), Notice(SCOPE.id, frozenset({"votes"})))
    assert (told[-1][1].keys, told[-1][1].by) == (("votes",), "bob")
    changes.done(claims("oidc:https%3A%2F%2Fissuer:subject-7"), Notice(SCOPE.id, frozenset({"votes"})))
    assert told[-1][1].by is None  # it is known to the provider and the server, and to no other visitor
    changes.unwatch(claims("alice"), SCOPE)
    changes.watch(claims("alice"), SCOPE)
    changes.close()
