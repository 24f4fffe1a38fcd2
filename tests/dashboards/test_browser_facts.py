"""What a page's script says of the browser: which forms are believed, and what code under a fake finds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_app_meta import AppMeta, Browser, NoPage, app_meta
from jupyter_app_meta.browser import Viewport
from jupyter_app_meta.dashboards.commands.allowed import Allowed
from jupyter_app_meta.dashboards.commands.service import PageCommands
from jupyter_app_meta.dashboards.visits import Visits
from jupyter_app_meta.state.paging.operations import NoPageService
from jupyter_app_meta.state.tabs import Told
from jupyter_app_meta.testing import fake_request

SAID = {"timezone": "Europe/Zurich", "locale": "de-ch", "theme": "dark", "viewport": [390, 844]}
KNOWN = Browser("Europe/Zurich", "de-CH", "dark", Viewport(390, 844))


def test_what_a_browser_says_comes_back() -> None:
    """It survives JSON, and is read like a mapping too."""
    assert Browser.read(SAID) == Browser.read(json.loads(json.dumps(KNOWN.plain))) == KNOWN
    assert KNOWN["timezone"] == KNOWN.timezone == "Europe/Zurich"
    assert KNOWN.viewport and (KNOWN.viewport.width, KNOWN.viewport.height) == (390, 844)
    assert Told.read(json.dumps({"tab": "1" * 32, "browser": SAID}).encode()).browser == KNOWN


@pytest.mark.parametrize("zone", ["UTC", "Etc/GMT+3", "America/Argentina/Buenos_Aires", "America/Port-au-Prince"])
def test_timezones(zone: str) -> None:
    """The forms that IANA's names have are believed."""
    assert Browser.read({"timezone": zone}).timezone == zone


ODD: dict[str, list[Any]] = {
    "timezone": ["", "../UTC", "/UTC", "a/b/c/d/e", "U" * 65, "UTC\n", "Zürich", 5, None],
    "locale": ["d", "de_CH", "de-CH\r\n", "a" * 36, "<b>", ["de"], {}],
    "theme": ["sepia", "", True, ["dark"], None],
    "viewport": [[390], [0, 1], [1, -1], [1.5, 2], [True, 2], [1, 10**6], "12", {}, ["1", "2"]],
    "user": ["root"],
}
JSON = st.recursive(
    st.none() | st.text() | st.integers(), lambda each: st.lists(each) | st.dictionaries(st.text(), each)
)


@pytest.mark.parametrize("said", [{name: odd} for name, some in ODD.items() for odd in some], ids=repr)
def test_other_forms_are_not_known(said: dict[str, Any]) -> None:
    """A field of another form is None, and a name that there is not has no effect."""
    assert Browser.read(said) == Browser()


@given(JSON)
def test_no_word_of_a_browser_does_harm(said: Any) -> None:
    """An object is read, and anything else is a ValueError."""
    if isinstance(said, dict):
        assert set(Browser.read(said).plain) == set(SAID)
    else:
        with pytest.raises(ValueError, match="not an object"):
            Browser.read(said)


def test_code_under_a_fake_finds_the_made_up_browser() -> None:
    """Also through a decorated function; without one, nothing is known."""

    @fake_request(browser=SAID)
    def seen() -> Browser:
        return app_meta().browser

    assert seen() == KNOWN
    with fake_request() as meta:
        assert app_meta().browser == meta.browser == Browser()
    for odd in ({"timezone": "../x"}, {"screen": 1}, 5):
        with pytest.raises(TypeError, match="browser"):
            fake_request(browser=odd)  # type: ignore[arg-type]  # as an author might


def test_nothing_is_known_where_no_page_is() -> None:
    """In a script, in an editor, and where no server answers, each field is None."""
    for meta in (app_meta(), AppMeta(mode="edit"), AppMeta(mode="run")):
        assert dict(meta.browser) == dict.fromkeys(SAID)
    for service in (NoPageService(), PageCommands(Visits(), Allowed())):
        with pytest.raises(NoPage, match="in tests use fake_request"):
            service.browser("k1")
