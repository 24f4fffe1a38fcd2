"""In which tab a page is: what its script says to the server, in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from browsing import PATIENCE, window
from harness import Server, Visitor
from playwright.sync_api import Browser, BrowserContext, Page, Request
from stage import WHO, staging, write

PATIENT = """
from jupyter_app_meta.state import tabs
tabs.PATIENCE = 60.0  # a browser that has just started may need longer than a visitor should wait
"""
APP = """
config = {"AppMetaExtension": {"state_timeout": 60}}
app = (create_app(identity_provider=People, local_hostnames=["plain.test"], config=config)
       .with_app(path="/page", root="page.ipynb"))
"""
BARE = """
app = app.with_app(path="/bare", root="bare.ipynb")
"""
LINKS = """%md <a id="here" href="page?way=link">here</a> <a id="there" href="page" target="_blank">there</a>"""
KERNEL_ID = re.compile(r'"kernelId": *"([0-9a-f-]{36})"')
COUNT = """from jupyter_app_meta import session, shared, visitor
print("loads", session.state.add("n"), visitor.state.add("n"), shared.state.add("n"))"""
LOADS = re.compile(r"loads (\d+) (\d+)")
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--restore-last-session",
)
"""How a browser is started that reaches nothing but this machine, and opens again what was open."""

SANDBOX = "Object.defineProperty(window, 'sessionStorage', { get() { throw new DOMException('', 'SecurityError') } })"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a page that has links to itself, and of one with Voila's own template."""
    home = tmp_path_factory.mktemp("tabs")
    write(home / "root" / "page.ipynb", LINKS, WHO, COUNT)
    write(home / "root" / "bare.ipynb", LINKS, WHO, COUNT, voila={"template": "lab"})
    with staging(home, PATIENT + APP + BARE) as server:
        yield server


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Server]:
    """A server that waits no longer than usual for the tab of a page, which a client without scripts never says."""
    write(tmp_path / "root" / "page.ipynb", WHO, COUNT)
    with staging(tmp_path, APP) as server:
        yield server


class Said(NamedTuple):
    """What a page said of its tab, and which number its first cell found in the tab's state."""

    tab: str
    copy_of: str | None
    loads: int


def is_word(request: Request) -> bool:
    """Whether a page says its tab by this request."""
    return "/api/app-meta/tab/" in request.url


def heard(request: Request) -> Said:
    """Return what a page said and shows. The server has taken its word."""
    answer, page = request.response(), request.frame.page
    assert answer and answer.status == 204
    page.locator("#app-meta-end").wait_for(state="attached")
    word, loads = json.loads(request.post_data or ""), LOADS.search(page.content())
    assert loads, page.content()[-2000:]
    return Said(word["tab"], word.get("copy_of"), int(loads[1]))


class Book:
    """The tabs of one browser window. Each of its methods waits until a page has said in which tab it is."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context, self.url = context, f"{url}page"

    def new(self) -> tuple[Page, Said]:
        """Open the page in a new tab."""
        page = self.context.new_page()
        return page, self.after(page, f"location.href = {self.url!r}")

    def after(self, page: Page, deed: str) -> Said:
        """Do something that loads the page once more in its tab."""
        with page.expect_request(is_word, timeout=PATIENCE) as word:
            page.evaluate(f"() => {{ setTimeout(() => {{ {deed} }}) }}")
        return heard(word.value)

    def opened(self, page: Page, deed: str) -> tuple[Page, Said]:
        """Do something in a page that opens another tab."""
        with self.context.expect_event("request", is_word, timeout=PATIENCE) as word:
            page.evaluate(f"() => {{ {deed} }}")
        request = word.value
        return request.frame.page, heard(request)


@pytest.fixture(params=["127.0.0.1", "plain.test"])
def book(server: Server, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Book]:
    """A browser window: at an address that it trusts, as with TLS, and over plain http, where it offers no locks."""
    url = server.url.replace("127.0.0.1", request.param)
    with window(browser, url, "alice") as hers:
        yield Book(hers, url)


def test_tab_is_known_although_a_style_sheet_does_not_come(server: Server, browser: Browser) -> None:
    """A browser waits for it with the rest of the page, and until then the cells wait for the tab's state."""
    with window(browser, server.url, "bob") as his:
        his.route("**/*.css*", lambda route: None)  # neither an answer nor an error
        page = his.new_page()
        with page.expect_request(is_word) as word:
            page.goto(f"{server.url}bare", wait_until="commit")
        answer = word.value.response()
        assert answer and answer.status == 204
        assert page.evaluate("document.readyState") != "complete"  # the style sheet is still waited for


def test_tab_is_known_while_the_page_is_made(book: Book) -> None:
    """It is the same over reloads, links and the way back, another one in each new tab, and a copy in a duplicate.

    The first cell of each page already finds the state of its tab.
    """
    page, first = book.new()
    assert (first.copy_of, first.loads) == (None, 1)
    assert page.evaluate("() => [isSecureContext, Boolean(navigator.locks)]") == 2 * ["plain.test" not in book.url]
    again = [
        book.after(page, deed)
        for deed in ("location.reload()", f"location.href = {book.url!r}", "document.querySelector('#here').click()")
    ]
    assert again == [Said(first.tab, None, loads) for loads in (2, 3, 4)]
    assert book.after(page, "history.back()") == Said(first.tab, None, 5)
    other, second = book.opened(page, "document.querySelector('#there').click()")
    assert (second.copy_of, second.loads) == (None, 1) and second.tab != first.tab
    copy, third = book.opened(page, f"window.open({book.url!r})")  # as a duplicated tab, it has the session's storage
    assert (third.copy_of, third.loads) == (first.tab, 6) and third.tab not in (first.tab, second.tab)
    for tab, said, loads in ((page, first, 6), (other, second, 2), (copy, third, 7)):
        assert book.after(tab, "location.reload()") == Said(said.tab, None, loads)
    page.close()
    assert book.new()[1].tab not in {first.tab, second.tab, third.tab}


def test_page_that_may_keep_nothing_is_in_a_tab_of_its_own(server: Server, browser: Browser) -> None:
    """Without the session's storage, each load is a new tab, and nothing fails."""
    with window(browser, server.url, "alice") as hers:
        hers.add_init_script(SANDBOX)
        book = Book(hers, server.url)
        wrong: list[str] = []
        page = hers.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        first, second = (book.after(page, f"location.href = {book.url!r}") for _ in range(2))
        assert first.tab != second.tab and first[1:] == second[1:] == (None, 1)
        assert wrong == []


def test_page_without_a_script_is_in_a_tab_of_its_own(browser: Browser, tmp_path: Path) -> None:
    """Where no script runs, each load is a new tab, and its person is known; the cells wait a while, and run."""
    write(tmp_path / "root" / "page.ipynb", COUNT)
    with staging(tmp_path, APP) as server, window(browser, server.url, "carol", java_script_enabled=False) as hers:
        page, found = hers.new_page(), []
        for _ in range(2):
            page.goto(f"{server.url}page")
            found += LOADS.findall(page.content())
    assert found == [("1", "1"), ("1", "2")]


def test_browser_that_opens_its_tabs_again_is_in_them(server: Server, browser: Browser, tmp_path: Path) -> None:
    """A browser that was closed, and begins where it left off: the tab finds what it stored."""
    for loads in ("1", "2"):
        with at_home(browser, server.url, tmp_path) as hers:
            page = restored(hers) if loads == "2" else hers.new_page()
            if loads == "1":
                page.goto(f"{server.url}page")
            page.locator("#app-meta-end").wait_for(state="attached")
            assert LOADS.findall(page.content()) == [(loads, loads)]


@contextmanager
def at_home(browser: Browser, url: str, folder: Path) -> Iterator[BrowserContext]:
    """Start a browser that keeps in a folder what it had open when it was closed."""
    kind, path = browser.browser_type, shutil.which("chromium") or shutil.which("google-chrome")
    context = kind.launch_persistent_context(folder, executable_path=path, args=[*OPTIONS])
    context.set_default_timeout(PATIENCE)
    context.add_cookies([{"name": "person", "value": "dora", "url": url, "expires": time.time() + 3600}])
    yield context
    context.close()


def restored(context: BrowserContext) -> Page:
    """Wait for the page that a browser opens by itself."""
    deadline = time.monotonic() + 60
    while True:
        for page in context.pages:
            if page.url.endswith("/page"):
                return page
        assert time.monotonic() < deadline, [page.url for page in context.pages]
        context.pages[0].wait_for_timeout(50)


def test_only_the_page_itself_says_its_tab(impatient: Server) -> None:
    """A word without a token, from another site, another visitor, a form, or of another form is refused."""
    alice, bob = (impatient.visitor(cookies={"person": name}) for name in ("alice", "bob"))
    pages = {visitor: KERNEL_ID.search(visitor.get("page").text) for visitor in (alice, bob)}
    ids = {visitor: found[1] for visitor, found in pages.items() if found}

    def say(speaker: Visitor, owner: Visitor, body: object = None, **headers: str) -> int:
        given = {"Content-Type": "application/json", "X-XSRFToken": speaker.http.cookies["_xsrf"], **headers}
        content = json.dumps({"tab": "1" * 32} if body is None else body)
        return speaker.http.post(f"api/app-meta/tab/{ids[owner]}", content=content, headers=given).status_code

    assert say(alice, alice, **{"X-XSRFToken": ""}) == 403
    assert say(alice, alice, Origin="http://evil.test") in (403, 404)
    assert say(alice, alice, **{"Content-Type": "text/plain"}) == 403
    assert say(alice, alice, {"tab": "alice"}) == 400
    assert say(bob, alice) == 403
    assert alice.http.post(f"api/app-meta/tab/{'0-' * 4}0").status_code == 403
    assert say(alice, alice) == 204
