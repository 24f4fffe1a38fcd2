"""``UserBadge()``: what it says of a visitor."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from jupyter_app_meta import AppMeta, UserBadge
from jupyter_app_meta.errors import RequirementMissing
from jupyter_app_meta.kernel.page import badge
from jupyter_app_meta.testing import fake_request


def test_badge_says_who_the_visitor_is() -> None:
    """The name to show, initials, groups and the logout; of a stranger, only the login."""
    ada = {"username": "ada", "name": "Ada King Lovelace", "groups": ["editors"], "color": "#123456"}
    meta = replace(fake_request(user=ada).meta, login_url="/login", logout_url="/logout")
    expected = {
        "name": "Ada King Lovelace",
        "initials": "AL",
        "color": "#123456",
        "groups": ["editors"],
        "url": "/logout",
    }
    assert badge.shown(meta) == expected
    stranger = replace(fake_request(user={"kind": "anonymous"}).meta, login_url="/login", logout_url="/logout")
    nothing = {"name": "", "initials": "", "color": "", "groups": [], "url": "/login"}
    assert badge.shown(stranger) == nothing
    assert badge.shown(AppMeta()) == {**nothing, "url": ""}
    assert badge.shown(fake_request(user={"username": "bob", "groups": None}).meta)["groups"] == []


def test_badge_is_a_widget() -> None:
    """Its state has what it shows."""
    pytest.importorskip("anywidget")
    with fake_request(user="alice"):
        made = UserBadge()
    assert (made.name, made.initials, made.url) == ("alice", "A", "")
    assert "innerHTML" not in made._esm


def test_badge_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without anywidget, the error says what to install."""
    monkeypatch.setitem(sys.modules, "anywidget", None)
    badge._kind.cache_clear()
    with fake_request(user="alice"), pytest.raises(RequirementMissing, match=r"jupyter-app-meta\[badge\]"):
        UserBadge()
