"""Real browsers on dashboards: two people at once, a lost network, a stranger, and pages that close."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from browsing import Relay, Tab, window
from harness import Server
from playwright.sync_api import Browser, Page
from stage import SLIDER, WHO, eventually, kernels, staging, write

APP = """
app = (create_app(identity_provider=People,
                  on_error=lambda status, request: f"<h1>Not for you ({status})</h1>")
       .with_app(path="/cold", root="page.ipynb", authorize=lambda user, request: user.username != "mallory")
       .with_app(path="/warm", root="page.ipynb", authorize=lambda user, request: user.username != "mallory", warm=1))
"""

KNOCK = """url => new Promise(resolve => {
    const socket = new WebSocket(url), told = [];
    socket.onopen = () => { told.push("open"); socket.close(); };
    socket.onerror = () => told.push("error");
    socket.onclose = event => resolve([...told, event.code]);
})"""
"""Opens a WebSocket from a page's script and tells what became of it."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One notebook under two paths, for everybody but Mallory."""
    home = tmp_path_factory.mktemp("browser")
    write(home / "root" / "page.ipynb", "%md # A page", WHO, SLIDER)
    with staging(home, APP) as server:
        yield server


@pytest.fixture
def relay(server: Server) -> Iterator[Relay]:
    """A wire to the server."""
    relay = Relay(urlsplit(server.url).port or 80)
    yield relay
    relay.close()


@pytest.mark.parametrize("path", ["cold", "warm"])
def test_two_people_at_once_see_themselves(server: Server, browser: Browser, path: str) -> None:
    """Two people open one dashboard at the same moment: each page and each label know their own visitor only."""
    with window(browser, server.url, "alice") as hers, window(browser, server.url, "bob") as his:
        alice = Tab(hers, server.url).start(f"{path}?region=emea")
        bob = Tab(his, server.url).start(f"{path}?region=apac")
        alice.shows("<alice|{'region': 'emea'}|{}|run>")
        bob.shows("<bob|{'region': 'apac'}|{}|run>")
        labels = [alice.move(), bob.move(), alice.move(), bob.move()]
        users, queries, ids, values = zip(*(label.split("|") for label in labels), strict=True)
        assert users == ("alice", "bob", "alice", "bob")
        assert queries == ("{'region': 'emea'}", "{'region': 'apac'}") * 2
        assert values == ("1", "1", "2", "2")
        assert ids[:2] == ids[2:] and ids[0] != ids[1] and all(re.fullmatch("[0-9a-f]{32}", i) for i in ids)
        assert "bob" not in alice.page.content() and "alice" not in bob.page.content()
        assert alice.wrong == [] and bob.wrong == []


def test_reload_shows_the_visitor_and_the_new_query(server: Server, browser: Browser) -> None:
    """A reload is a new page of the same person, and so is the same path with another query."""
    with window(browser, server.url, "alice") as hers:
        tab = Tab(hers, server.url).open("warm?region=emea", "<alice|{'region': 'emea'}|{}|run>")
        first = tab.kernel_id
        assert tab.move().startswith("alice|{'region': 'emea'}|")
        tab.page.reload(wait_until="commit")
        tab.shows("<alice|{'region': 'emea'}|{}|run>")
        assert tab.kernel_id != first
        assert tab.move().startswith("alice|{'region': 'emea'}|")
        tab.open("warm?region=apac", "<alice|{'region': 'apac'}|{}|run>")
        assert tab.move().startswith("alice|{'region': 'apac'}|")
        assert tab.wrong == []


@pytest.mark.parametrize("for_a_while", [False, True])
def test_slider_works_again_after_the_connection_broke(relay: Relay, browser: Browser, for_a_while: bool) -> None:
    """The page reconnects by itself, and is the same tab of the same visitor; what was moved meanwhile is not lost."""
    with window(browser, relay.url, "alice") as hers:
        tab = Tab(hers, relay.url).open("cold?region=emea", "<alice|{'region': 'emea'}|{}|run>")
        before = tab.move().split("|")
        (socket,) = tab.sockets
        with socket.expect_event("close"):
            relay.cut() if for_a_while else relay.drop()
        tab.page.locator(".noUi-handle").press("ArrowRight")
        if for_a_while:
            relay.mend()
        assert tab.label(2, timeout=120_000).split("|") == [*before[:3], "2"]  # its script waits for up to 30 seconds
        assert tab.move().split("|") == [*before[:3], "3"]
        assert len(tab.sockets) > 1
        assert for_a_while or tab.wrong == []


def test_slider_works_again_after_the_browser_was_offline(server: Server, browser: Browser) -> None:
    """A network that falls silent and comes back leaves the page as it was, and loses nothing."""
    with window(browser, server.url, "alice") as hers:
        tab = Tab(hers, server.url).open("cold?region=emea", "<alice|{'region': 'emea'}|{}|run>")
        before = tab.move()
        hers.set_offline(True)
        assert tab.page.evaluate("() => fetch(location.href).then(() => 'answered', () => 'failed')") == "failed"
        tab.page.locator(".noUi-handle").press("ArrowRight")
        assert tab.page.locator("div.widget-label").inner_text() == before
        hers.set_offline(False)
        assert tab.label(2).split("|")[:3] == before.split("|")[:3]


def test_stranger_sees_the_error_page_and_reaches_no_kernel(server: Server, browser: Browser) -> None:
    """A visitor who may not see a dashboard gets the deployer's error page, and no script reaches its kernel."""
    with (
        window(browser, server.url, "alice") as hers,
        window(browser, server.url, "bob") as his,
        window(browser, server.url, "mallory") as theirs,
    ):
        alice = Tab(hers, server.url).open("cold", "<alice|{}|{}|run>")
        bob = Tab(his, server.url).open("cold", "<bob|{}|{}|run>")
        mallory = theirs.new_page()
        refused = mallory.goto(f"{server.url}cold")
        assert refused is not None and refused.status == 403
        assert mallory.locator("h1").inner_text() == "Not for you (403)"
        for page in (mallory, bob.page):
            assert knock(page, server, alice.kernel_id) == (["error", 1006], 403)
        assert knock(alice.page, server, alice.kernel_id) == (["open", 1005], 200)
        assert alice.move().startswith("alice|{}|")


def knock(page: Page, server: Server, kernel_id: str) -> tuple[list[Any], int]:
    """Reach for a kernel from a page's script; return what became of the WebSocket, and the status of its model."""
    address = f"{server.url}api/kernels/{kernel_id}"
    told = page.evaluate(KNOCK, f"{address.replace('http', 'ws')}/channels?session_id=knock")
    status = page.evaluate("url => fetch(url).then(response => response.status)", address)
    return told, status


@pytest.mark.parametrize("leaving", ["close", "navigate", "reload"])
def test_kernel_ends_with_its_page(server: Server, browser: Browser, leaving: str) -> None:
    """A page that is closed, left or reloaded takes its kernel's process with it, long before any timeout."""
    with window(browser, server.url, "alice") as hers:
        tab = Tab(hers, server.url).open("cold", "<alice|{}|{}|run>")
        kernel_id = tab.kernel_id
        tab.move()
        assert kernel_id in kernels(server)
        if leaving == "close":
            tab.page.close(run_before_unload=True)
        elif leaving == "navigate":
            tab.page.goto("about:blank")
        else:
            tab.page.reload(wait_until="commit")
        eventually(lambda: kernel_id not in kernels(server))
        assert f"500 POST /voila/api/shutdown/{kernel_id}" not in server.log


@pytest.mark.parametrize("link", ["mailto:alice@example.com", "download"])
def test_link_that_leads_nowhere_leaves_the_page(server: Server, browser: Browser, link: str) -> None:
    """A page goes on where the browser only writes a mail, or keeps what it was sent as a file."""
    with window(browser, server.url, "alice") as context:
        tab = Tab(context, server.url).open("cold", "<alice|")
        file = {"headers": {"Content-Disposition": "attachment"}, "body": "1"}
        context.route("**/download", lambda route: route.fulfill(**file))
        leaves = "addEventListener('beforeunload', () => { window.asked = true })"
        tab.page.evaluate(f"href => {{ {leaves}; Object.assign(document.createElement('a'), {{href}}).click() }}", link)
        tab.page.wait_for_function("window.asked")
        assert tab.move().startswith("alice|")
        assert tab.wrong == []
        kernel_id = tab.kernel_id
        tab.page.close(run_before_unload=True)
        eventually(lambda: kernel_id not in kernels(server))


def test_back_button_brings_a_page_that_works(server: Server, browser: Browser) -> None:
    """A page that was left has no kernel any more: going back makes it anew, with its query."""
    with window(browser, server.url, "alice") as hers:
        tab = Tab(hers, server.url).open("cold?region=emea", "<alice|{'region': 'emea'}|{}|run>")
        first = tab.kernel_id
        tab.page.goto("about:blank")
        eventually(lambda: first not in kernels(server))
        tab.page.go_back(wait_until="commit")
        tab.shows("<alice|{'region': 'emea'}|{}|run>")
        assert tab.move().startswith("alice|{'region': 'emea'}|")
        assert tab.kernel_id != first and tab.wrong == []


def test_two_tabs_of_one_person_have_two_ids(server: Server, browser: Browser) -> None:
    """Each tab has a kernel and an id of its own, and what one does the other does not see."""
    with window(browser, server.url, "alice") as hers:
        tabs = [Tab(hers, server.url).open("warm", "<alice|{}|{}|run>") for _ in range(2)]
        labels = [tab.move() for tab in tabs]
        assert len({label.split("|")[2] for label in labels}) == 2
        assert len({tab.kernel_id for tab in tabs}) == 2
        tabs[0].move()
        assert tabs[1].label(1) == labels[1]
        assert [tab.wrong for tab in tabs] == [[], []]
