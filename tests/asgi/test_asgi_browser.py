"""Real browsers on dashboards inside a FastAPI application with a login: three people, at three places."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from browsing import Tab, window
from harness import Server
from journeys import hosting
from playwright.sync_api import Browser, Request
from stage import SLIDER, WHO, eventually, kernels, write

DASHBOARDS = """
mounted(
    builder.with_app(path="/cold", root="page.ipynb").with_app(path="/warm", root="page.ipynb", warm=1),
    *("/dash", "/t/{tenant}/d", "/"),
)
"""

PEOPLE = {"alice": ("", "{}"), "bob": ("dash/", "{}"), "carol": ("t/acme/d/", "{'tenant': 'acme'}")}
"""Where each person looks at the dashboards, and the parameters of the place."""

UNKNOWN = "00000000-0000-4000-8000-000000000000"

KNOCK = """async ([channels, model]) => {
    const told = await new Promise(resolve => {
        const socket = new WebSocket(channels);
        socket.onopen = () => { socket.close(); resolve("open"); };
        socket.onerror = () => resolve("error");
    });
    const answer = await fetch(model);
    return [told, answer.status, answer.ok ? "" : await answer.text()];
}"""
"""Reaches for a kernel from a page's script, by its socket and for its model."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A FastAPI application that serves one dashboard cold and warm, at several places."""
    home = tmp_path_factory.mktemp("browser")
    write(home / "root" / "page.ipynb", "%md # A page", WHO, SLIDER)
    with hosting(home, DASHBOARDS) as server:
        yield server


def strayed(tab: Tab, host: Server, place: str) -> list[str]:
    """Return the requests of a tab to the host that leave its place, as they come."""
    found: list[str] = []

    def asked(request: Request) -> None:
        if request.url.startswith(host.url) and not request.url.startswith(f"{host.url}{place}"):
            found.append(request.url)

    tab.page.on("request", asked)
    return found


def knock(tab: Tab, place: str, kernel_id: str) -> list[Any]:
    """Reach for a kernel below a place; return what became of the socket, and the status and text of its model."""
    address = f"{place}api/kernels/{kernel_id}"
    channels = f"{address.replace('http', 'ws')}/channels?session_id=knock"
    told: list[Any] = tab.page.evaluate(KNOCK, [channels, address])
    return told


@pytest.mark.parametrize("path", ["cold", "warm"])
def test_three_people_at_three_places_see_themselves(host: Server, browser: Browser, path: str) -> None:
    """Each page, each callback and each label know their own visitor, and each kernel ends with its page."""
    with ExitStack() as windows:
        tabs = {name: Tab(windows.enter_context(window(browser, host.url, name)), host.url) for name in PEOPLE}
        outside = [strayed(tabs[name], host, place) for name, (place, _) in PEOPLE.items()]
        for name, (place, _) in PEOPLE.items():
            tabs[name].start(f"{place}{path}?of={name}")
        for name, (_, params) in PEOPLE.items():
            tabs[name].shows(f"<{name}|{{'of': '{name}'}}|{params}|run>")
        labels = [(name, tabs[name].move().split("|")) for _ in range(2) for name in PEOPLE]
        assert all(label[:2] == [name, f"{{'of': '{name}'}}"] for name, label in labels)
        assert [label[-1] for _, label in labels] == ["1"] * 3 + ["2"] * 3
        assert len({label[2] for _, label in labels}) == 3
        for name, tab in tabs.items():
            assert not any(other in tab.page.content() for other in PEOPLE if other != name)
        assert [tab.wrong for tab in tabs.values()] == [[]] * 3 and outside == [[]] * 3
        ids = {tab.kernel_id for tab in tabs.values()}
        assert ids <= set(kernels(host))
        for tab in tabs.values():
            tab.page.close(run_before_unload=True)
        eventually(lambda: not ids & set(kernels(host)))


def test_kernel_of_another_is_refused_as_an_unknown_one(host: Server, browser: Browser) -> None:
    """A page's script reaches no kernel of another visitor, and learns nothing of it, and its own goes on."""
    with window(browser, host.url, "alice") as hers, window(browser, host.url, "bob") as his:
        alice, bob = Tab(hers, host.url), Tab(his, host.url)
        dash, tenant = f"{host.url}dash/", f"{host.url}t/acme/d/"
        alice.open("dash/cold", "<alice|")
        bob.open("dash/cold", "<bob|")
        unknown = knock(alice, dash, UNKNOWN)
        assert unknown[:2] == ["error", 403]
        assert knock(alice, dash, bob.kernel_id) == unknown
        assert knock(bob, tenant, bob.kernel_id)[:2] == ["error", 403]
        assert knock(bob, dash, bob.kernel_id) == ["open", 200, ""]
        his.clear_cookies(name="person")
        assert knock(bob, dash, bob.kernel_id) == ["error", 401, "please log in"]
        assert alice.move().startswith("alice|{}|") and bob.move().startswith("bob|{}|")


def test_the_log_has_no_surprise(host: Server) -> None:
    """Nothing of all this was an error of the server's."""
    assert "Traceback" not in host.log
