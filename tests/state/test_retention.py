"""How long what is stored is kept, and what a deployer may not allow."""

from __future__ import annotations

import pytest
from traitlets import TraitError

from jupyter_app_meta.model import SessionInfo
from jupyter_app_meta.server.app import AppMetaExtension
from jupyter_app_meta.server.links.granting import Places
from jupyter_app_meta.server.links.options import DAY
from jupyter_app_meta.state.keys import Identity, Scope, Space, scope_of

SALES = Space.run("/", "/sales")
ALICE, BROWSER = Identity("hub", "hub", "user", "alice"), Identity("r", "none", "browser", "b" * 32)


def kept(**options: float | None) -> dict[str, float | None]:
    """Return for how many days the state of each kind is kept under these options."""
    extension = AppMetaExtension(state_retention=options)
    scopes = {
        "tab": scope_of("session", SALES, ALICE, "t"),
        "visitor": scope_of("visitor", SALES, ALICE),
        "preferences": scope_of("preferences", SALES, ALICE),
        "anonymous": scope_of("visitor", SALES, BROWSER),
        "anonymous tab": scope_of("session", SALES, BROWSER, "t"),
        "shared": scope_of("shared", SALES, None),
        "of servers": Scope("meta", ""),
    }
    found = {name: extension.keep(scope) for name, scope in scopes.items()}
    return {name: seconds if seconds is None else seconds / DAY for name, seconds in found.items()}


def test_each_kind_of_state_has_its_time() -> None:
    """A tab's is the shortest; what is shared, and what servers keep for themselves, stays."""
    tabs = {"tab": 7, "anonymous tab": 7}
    people = {"visitor": 365, "preferences": 365, "anonymous": 30}
    assert kept() == {**tabs, **people, "shared": None, "of servers": None}


def test_the_deployer_sets_each_time() -> None:
    """None is for ever; a tab's state never outlives its visitor's."""
    assert kept(visitor=None, shared=10, session=40) == {
        "tab": 40,
        "visitor": None,
        "preferences": None,
        "anonymous": 30,
        "anonymous tab": 30,
        "shared": 10,
        "of servers": None,
    }
    with pytest.raises(TraitError, match="state_retention has no 'visitors': use one of session, visitor, anonymous"):
        AppMetaExtension(state_retention={"visitors": 1})


def test_what_a_console_shares_is_not_kept_for_ever() -> None:
    """A console has no path, so nothing finds its state once its kernel has ended; a notebook's is kept."""
    places, extension = Places("/home", "hub"), AppMetaExtension()
    console, notebook = (places.space("k-1", SessionInfo(path=path).path, "edit") for path in (None, "a.ipynb"))
    assert extension.keep(scope_of("shared", console, None)) == 7 * DAY
    assert extension.keep(scope_of("shared", notebook, None)) is None


def test_limits_that_no_message_can_have_are_refused() -> None:
    """A deployer cannot allow what a kernel and its server would not read: the option would do nothing."""
    with pytest.raises(TraitError, match="state_limits"):
        AppMetaExtension(state_limits={"keys": 10_001})
    assert AppMetaExtension(state_limits={"keys": 10_000, "scope": 2**40}).limits().scope == 2**40
    assert "at most key: 1000, value: 16777216, keys: 10000 can be set" in str(AppMetaExtension.state_limits.help)
