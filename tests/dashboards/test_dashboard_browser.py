"""Real browsers on dashboards: two people at once, a lost network, a stranger, and pages that close."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from harness import Server, free_port
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Response,
    WebSocket,
    expect,
)
from stage import SLIDER, WHO, eventually, kernels, staging, write
from tornado.iostream import IOStream, StreamClosedError
from tornado.tcpserver import TCPServer

PATIENCE = 60_000
"""Milliseconds that a slow machine may take for one step."""

APP = """
app = (create_app(identity_provider=People,
                  on_error=lambda status, request: f"<h1>Not for you ({status})</h1>",
                  config={"VoilaConfiguration": {"extension_denylist": ["@jupyter-notebook/lab-extension"]}})
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


@contextmanager
def window(browser: Browser, url: str, person: str) -> Iterator[BrowserContext]:
    """Open a browser window of its own, in which this person is logged in."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    context.add_cookies([{"name": "person", "value": person, "url": url}])
    yield context
    context.close()


class Tab:
    """A tab with a dashboard, and everything of our server that went wrong in it."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.page, self._url = context.new_page(), url
        self.wrong: list[str] = []
        self.sockets: list[WebSocket] = []
        self.page.on("response", self._answered)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(f"uncaught: {error}"))
        self.page.on("websocket", self._connected)

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.url.startswith(self._url):
            self.wrong.append(f"{response.status} {response.request.method} {response.url}")

    def _connected(self, socket: WebSocket) -> None:
        self.sockets.append(socket)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and message.location["url"].startswith(self._url):
            self.wrong.append(f"console: {message.text}")

    def start(self, path: str) -> Tab:
        """Begin to load a dashboard, and wait for nothing."""
        self.page.evaluate("url => { setTimeout(() => { location.href = url }) }", f"{self._url}{path}")
        return self

    def shows(self, text: str) -> None:
        """Wait until the page has this text, and its slider."""
        expect(self.page.locator("#rendered_cells")).to_contain_text(text, timeout=PATIENCE)
        self.page.locator(".noUi-handle").wait_for()

    def open(self, path: str, text: str) -> Tab:
        """Load a dashboard until it shows this text, and its slider."""
        self.start(path).shows(text)
        return self

    def move(self) -> str:
        """Move the slider by one with the keyboard and return what the callback wrote into the label."""
        handle = self.page.locator(".noUi-handle")
        value = int(float(handle.get_attribute("aria-valuenow") or 0)) + 1
        handle.press("ArrowRight")
        return self.label(value)

    def label(self, value: int, timeout: float = PATIENCE) -> str:
        """Return the label that the callback writes for this value of the slider."""
        label = self.page.locator("div.widget-label")
        expect(label).to_have_text(re.compile(rf"\|{value}$"), timeout=timeout)
        return label.inner_text()

    @property
    def kernel_id(self) -> str:
        """The kernel that the page tells its script to connect to."""
        found = self.page.evaluate("() => JSON.parse(document.getElementById('jupyter-config-data').text).kernelId")
        return str(found)


class Wire(TCPServer):
    """The connections that pass a relay; unlike asyncio's own server it owns each of them from its accept on."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port
        self._ends: set[IOStream] = set()

    async def handle_stream(self, stream: IOStream, address: object) -> None:
        """Pass on what comes from either end until one of them closes."""
        ends = {stream, IOStream(socket.socket())}
        (far,) = ends - {stream}
        self._ends |= ends
        with suppress(StreamClosedError):
            await far.connect(("127.0.0.1", self._port))
            await asyncio.gather(self._pass(stream, far), self._pass(far, stream))
        for end in ends:
            end.close()
        self._ends -= ends

    async def _pass(self, source: IOStream, sink: IOStream) -> None:
        with suppress(StreamClosedError):
            while True:
                await sink.write(await source.read_bytes(65536, partial=True))
        sink.close()

    async def drop(self) -> None:
        """Break every connection there is."""
        broken = frozenset(self._ends)
        for end in broken:
            end.close()
        while broken & self._ends:
            await asyncio.sleep(0.01)


class Relay:
    """A wire between browsers and the server that can be cut and mended."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._own = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.mend()

    @property
    def url(self) -> str:
        """The server's address at this end of the wire."""
        return f"http://127.0.0.1:{self._own}/"

    def drop(self) -> None:
        """Break every connection there is; new ones pass."""
        self._run(self._wire.drop())

    def cut(self) -> None:
        """Break every connection, and refuse new ones."""
        self._run(self._cut())

    def mend(self) -> None:
        """Let connections pass."""
        self._run(self._mend())

    def close(self) -> None:
        """Be gone."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _mend(self) -> None:
        self._wire = Wire(self._port)
        self._wire.listen(self._own, "127.0.0.1")

    async def _cut(self) -> None:
        self._wire.stop()
        await self._wire.drop()


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
    """Who may not see a dashboard gets the deployer's error page; their scripts, and other visitors', get no kernel."""
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
