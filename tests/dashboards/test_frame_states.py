"""Each state in which a visitor may find a page: readable, on the screen and of one look; light, dark, on a phone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from browsing import PATIENCE, Seen, contrast, faults, window
from harness import Server
from playwright.sync_api import Browser, Page, expect
from stage import eventually, serving_folder, staging, visit, write

from jupyter_app_meta.providers.users import passwords

APP = """
app = (create_app(identity_provider=People, max_pages=4, max_pages_per_visitor=0, idle_timeout=600,
                  config={"AppMetaExtension": {"admins": ["alice"]}})
       .with_index()
       .with_app(path="/page", root="page.ipynb")
       .with_app(path="/slow", root="slow.ipynb", fork=False)
       .with_app(path="/broken", root="broken.ipynb")
       .with_app(path="/torn", root="torn.ipynb")
       .with_app(path="/closed", root="page.ipynb", authorize=lambda user, request: user.username != "alice"))
"""

PAGE = (
    "%md # Sales of the year\n\nThe figures of each region, see [the index](/). And more.\n\n- `code`\n- $a^2$",
    """html = '<table><tr><th>Region</th><th>Sales</th></tr><tr><td>EMEA</td><td>42</td></tr></table>'
display({'text/html': html}, raw=True)""",
    """import ipywidgets as w, threading
slider, region = w.IntSlider(description="Months"), w.Dropdown(options=["all", "emea"], description="Region")
compute, fail = w.Button(description="Compute", button_style="primary"), w.Button(description="Fail")
compute.on_click(lambda _: threading.Event().wait(600))
fail.on_click(lambda _: 1 / 0)
w.VBox([slider, region, w.HBox([compute, fail])])""",
    "w.HTML('Looking now: Alice.')",
)
SLOW = ("%md # A slow page", "print('first output')", "import threading; threading.Event().wait(600)", "1")
BROKEN = ("%md # A broken page", "print('before')", "1 / 0")
MEMBERS = ("%md # Members", "from jupyter_app_meta import app_meta\nprint('hello', app_meta().require_user().username)")

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1100, "height": 800}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1100, "height": 800}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    "dark phone": {"color_scheme": "dark", "viewport": {"width": 360, "height": 740}, "is_mobile": True},
}

FONT = "getComputedStyle(document.querySelector('h1') ?? document.body).fontFamily"


@dataclass(frozen=True)
class Servers:
    """One server of pages, one with a login, and one whose visitors a proxy must name."""

    pages: Server
    users: Server
    proxied: Server


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers whose pages have each state."""
    homes = [tmp_path_factory.mktemp(name) for name in ("pages", "users", "proxied")]
    for name, cells in {"page": PAGE, "slow": SLOW, "broken": BROKEN}.items():
        write(homes[0] / "root" / f"{name}.ipynb", *cells)
    (homes[0] / "root" / "torn.ipynb").write_text('{"cells": [')
    for home in homes[1:]:
        write(home / "root" / "members.ipynb", *MEMBERS)
    people = f'[alice]\nname = "Alice Andrews"\ngroups = ["sales"]\npassword = "{passwords.hashed("correct horse")}"\n'
    (homes[1] / "root" / "people.toml").write_text(people)
    proxy = ("--proxy-header=X-Forwarded-User", "--trusted-proxy=127.0.0.0/8")
    with ExitStack() as stack:
        yield Servers(
            stack.enter_context(staging(homes[0], APP)),
            stack.enter_context(
                serving_folder(homes[1], ".", "--users=people.toml", "--UsersIdentityProvider.login_required=False")
            ),
            stack.enter_context(serving_folder(homes[2], ".", *proxy)),
        )


class Album:
    """Looks at each state, and keeps a picture of it."""

    def __init__(self, look: str, folder: Path) -> None:
        self.width: int = LOOKS[look]["viewport"]["width"]
        self._folder = Path(os.environ.get("APP_META_PICTURES", folder)) / look.replace(" ", "-")
        self._fonts: set[str] = set()

    def look(self, page: Page, name: str) -> None:
        """Expect that a state is readable, fits the screen and has the one font."""
        page.screenshot(path=self._folder / f"{name}.png")
        assert (name, faults(page)) == (name, [])
        assert (name, page.evaluate("document.documentElement.scrollWidth")) == (name, self.width)
        self._fonts.add(page.evaluate(FONT))
        assert len(self._fonts) == 1, (name, self._fonts)


@pytest.mark.unforked("a cell failed")
@pytest.mark.parametrize("look", LOOKS)
def test_states_of_a_page(servers: Servers, browser: Browser, look: str, tmp_path: Path) -> None:
    """The index, a page, its menu, its work, errors, a lost connection, an end, refusals, and who is looking."""
    album, server = Album(look, tmp_path), servers.pages
    with window(browser, server.url, "alice", **LOOKS[look]) as context:
        seen = Seen(context, server.url)
        page = seen.open("", ".am-cards")
        expect(page.get_by_text("Not available at the moment")).to_be_visible()
        album.look(page, "index")
        page = seen.open("page", ".noUi-handle")
        expect(page.get_by_text("Looking now")).to_be_visible()
        assert len(_left_edges(page)) == 1
        album.look(page, "page")
        page.locator("summary").click()
        album.look(page, "menu")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Fail").click()
        _says(page, "Something went wrong (E-")
        album.look(page, "error-of-a-callback")
        page.get_by_role("button", name="Dismiss").click()
        context.set_offline(True)
        _says(page, "Connection lost, reconnecting…")
        album.look(page, "lost")
        context.set_offline(False)
        expect(page.get_by_role("alert")).to_be_hidden()
        page.get_by_role("button", name="Compute").click()
        expect(page.get_by_role("progressbar", name="Working")).to_be_visible()
        album.look(page, "busy")
        _end(server, page)
        _says(page, "This page has ended.")
        album.look(page, "ended")
        page = seen.open("slow", "text=first output")
        expect(page.locator("#app-meta-count")).to_have_text("2 of 4")
        album.look(page, "first-render")
        for path, name, text in (
            ("broken", "error", "Something went wrong (E-"),
            ("torn", "500", "Something went wrong (E-"),
            ("closed", "403", "You are logged in as Alice."),
            ("nowhere", "404", "There is no such page"),
            ("logout", "logout", "Log out of these dashboards?"),
        ):
            page = seen.open(path)
            expect(page.locator("main")).to_contain_text(text)
            album.look(page, name)
        other = visit(server, "bob", "broken")
        page = seen.open("api/app-meta/sessions/page")
        expect(page.locator("main")).to_contain_text("bob")
        album.look(page, "who")
        other.close()
        album.look(_full(server, seen), "503")
        assert seen.foreign == []


def test_pages_are_printed_on_white_paper(servers: Servers, browser: Browser) -> None:
    """A page whose theme is dark is printed with dark text, without the header and without what moves."""
    with window(browser, servers.pages.url, "alice", **LOOKS["dark"]) as context:
        page = Seen(context, servers.pages.url).open("page", ".noUi-handle")
        assert contrast(*_paint(page)) >= 4.5 and _paint(page)[1] == "rgb(18, 22, 28)"
        page.emulate_media(media="print", color_scheme="dark")
        expect(page.locator("header")).to_be_hidden()
        text, paper = _paint(page)
        assert paper == "rgb(255, 255, 255)" and contrast(text, paper) >= 7
        assert (
            page.locator("link[data-app-meta-theme=dark]").evaluate("link => matchMedia(link.media).matches") is False
        )


@pytest.mark.unforked("a cell failed")
@pytest.mark.parametrize("look", LOOKS)
def test_states_of_a_login(servers: Servers, browser: Browser, look: str, tmp_path: Path) -> None:
    """The index of a stranger, the form, a wrong password, a page for members, the way out; and no login at all."""
    album, server = Album(look, tmp_path), servers.users
    with window(browser, server.url, "alice", **LOOKS[look]) as context:
        seen = Seen(context, server.url)
        page = seen.open("", ".am-cards")
        album.look(page, "index-of-a-stranger")
        page.goto(f"{server.url}members")
        expect(page.get_by_label("Name")).to_be_visible()
        album.look(page, "login")
        page = seen.open("members", "#app-meta-members")
        album.look(page, "members")
        page.locator("#app-meta-members a").click()
        for password in ("a wrong one", "correct horse"):
            page.get_by_label("Name").fill("alice")
            page.get_by_label("Password").fill(password)
            page.get_by_role("button", name="Log in").click()
            if password == "a wrong one":
                expect(page.get_by_role("alert")).to_be_visible()
                album.look(page, "login-refused")
        expect(page.locator("#rendered_cells")).to_contain_text("hello alice")
        page.locator("summary").click()
        expect(page.locator(".am-menu")).to_contain_text("Alice Andrews")
        expect(page.get_by_role("list", name="Your groups")).to_have_text("sales")
        assert page.get_by_role("link", name="Log out").get_attribute("target") is None
        seen.open("logout").get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading")).to_have_text("You are logged out.")
        album.look(page, "logged-out")
        page.goto(servers.proxied.url)
        expect(page.get_by_role("heading")).to_have_text("Please log in")
        album.look(page, "401")


def test_logout_leads_the_other_tabs_to_the_login(servers: Servers, browser: Browser) -> None:
    """A page that its visitor has open in another tab ends with the session, and asks who one is."""
    server = servers.users
    with window(browser, server.url, "alice", **LOOKS["light"]) as context:
        page, other = context.new_page(), context.new_page()
        page.goto(f"{server.url}login")
        page.get_by_label("Name").fill("alice")
        page.get_by_label("Password").fill("correct horse")
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("summary")).to_be_visible()
        with other.expect_websocket() as opened:
            other.goto(f"{server.url}members")
        opened.value.wait_for_event("framereceived")
        expect(other.locator("#rendered_cells")).to_contain_text("hello alice")
        page.goto(f"{server.url}logout")
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading")).to_have_text("You are logged out.")
        other.bring_to_front()
        expect(other.get_by_label("Password")).to_be_visible(timeout=PATIENCE)


def _paint(page: Page) -> tuple[str, str]:
    """Return the colours of a page's text and of what it stands on."""
    found = page.evaluate(
        """() => [document.querySelector("#rendered_cells p"), document.body].map(
            (element, index) => getComputedStyle(element)[index ? "backgroundColor" : "color"])"""
    )
    return found[0], found[1]


TEXTS = "#rendered_cells p, .widget-inline-hbox > .widget-label, .widget-html"


def _left_edges(page: Page) -> set[float]:
    """Return where the texts of a page's cells and the labels of its widgets begin."""
    places = page.evaluate(
        """texts => [...document.querySelectorAll(texts)].map((element) => {
            const range = document.createRange();
            range.selectNodeContents(element);
            return range.getBoundingClientRect();
        }).filter((rectangle) => rectangle.width).map((rectangle) => Math.round(rectangle.x))""",
        TEXTS,
    )
    assert len(places) >= 4
    return set(places)


def _end(server: Server, page: Page) -> None:
    """End a page on the server, as if it had been closed elsewhere."""
    kernel_id = page.evaluate("() => JSON.parse(document.getElementById('jupyter-config-data').text).kernelId")
    http = server.visitor(cookies={"person": "alice"}).http
    http.post(f"voila/api/shutdown/{kernel_id}", data={"_xsrf": ""}).raise_for_status()


def _full(server: Server, seen: Seen) -> Page:
    """Return a page that found no room, on a server that has room again."""
    opened = []
    while (page := visit(server, "bob", "broken")).response.status_code == 200:
        opened.append(page)
    shown = seen.open("page")
    expect(shown.locator("main")).to_contain_text("There is no room right now")
    for page in opened:
        page.close()
    eventually(lambda: server.visitor(cookies={"person": "bob"}).http.head("broken").status_code == 200)
    return shown


def _says(page: Page, text: str) -> None:
    """Wait until the page's banner says this."""
    expect(page.get_by_role("alert")).to_contain_text(text, timeout=PATIENCE)
