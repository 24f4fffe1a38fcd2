"""Which connections of editors a server counts, when the last one has left, and that it does not come back."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from jupyter_app_meta.server.connections import wrap_connection
from jupyter_app_meta.server.live.editors import Editors


class Noted:
    """The board and the links of a server, which note what they are told."""

    def __init__(self) -> None:
        self.left: list[str] = []

    def leave(self, kernel_id: str) -> None:
        """Note that the last editor has left a kernel."""
        self.left.append(kernel_id)

    def closed(self, key: str) -> None:
        """Take a connection from the board."""


@pytest.fixture
def noted() -> Noted:
    """What is told."""
    return Noted()


@pytest.fixture
def editors(noted: Noted) -> Editors:
    """The editors of a server."""
    board: Any = noted
    kept: Any = SimpleNamespace(links=noted)
    origins: Any = None
    return Editors(board, kept, origins)


def connection() -> Any:
    """Return a connection of an editor of which nothing is known."""
    return SimpleNamespace(kernel_id="k-1", app_meta_raw=None)


def test_the_last_of_several_editors_leaves(editors: Editors, noted: Noted) -> None:
    """In whichever order they leave, also twice."""
    one, other = connection(), connection()
    for opened in (one, other, one):
        editors.opened(opened)
    for closed in (one, one):
        editors.closed(closed)
    assert noted.left == []
    editors.closed(other)
    assert noted.left == ["k-1"]


def test_an_editor_whose_connection_failed_does_not_count(editors: Editors, noted: Noted) -> None:
    """A connection that was never opened is closed: the next one is still seen to leave."""
    editors.closed(connection())
    for _ in range(2):
        editors.opened(later := connection())
        noted.left.clear()
        editors.closed(later)
        assert noted.left == ["k-1"]


class Lost:
    """A connection to a gateway, which is made again after a while. The base class makes it."""

    def __init__(self) -> None:
        self.log: Any = logging.getLogger("editors")
        self.connected = 0

    def connect(self) -> None:
        """Count it."""
        self.connected += 1

    def disconnect(self) -> None:
        """Do nothing."""


def test_a_connection_that_has_ended_is_not_made_again() -> None:
    """jupyter_server does so if an editor leaves while it waits for its gateway. No other code would end it."""
    context: Any = SimpleNamespace(live=None)
    made = wrap_connection(Lost, context)()
    made.connect()
    made.connect()
    made.disconnect()
    made.connect()
    assert made.connected == 2
