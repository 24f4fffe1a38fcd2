"""What a page's script tells the kernel of the browser, and what code in the kernel does to the page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx
import pytest
from browsing import PATIENCE, window
from harness import Server
from playwright.sync_api import Browser, Page, Response, expect
from stage import Opened, staging, visit, write

APP = """
app = (create_app(identity_provider=People, page_cookies=["region"], redirect_origins=["https://portal.example.org"],
                  config={"AppMetaExtension": {"cookies_allow": ["region"]}})
       .with_app(path="/page", root="page.ipynb")
       .with_app(path="/changed", root="changed.ipynb")
       .with_app(path="/gone", root="gone.ipynb")
       .with_app(path="/warm", root="warm.ipynb", warm=1)
       .with_app(path="/badge", root="badge.ipynb"))
"""

FACTS = """from jupyter_app_meta import app_meta
def facts():
    b = app_meta().browser
    return f"<{b.timezone}|{b.locale}|{b.theme}|{b.viewport and tuple(b.viewport)}>"
print("first", facts())"""

BUTTON = """import ipywidgets
button, label = ipywidgets.Button(description="look"), ipywidgets.Label("untouched")
def look(_):
    label.value = f"now {facts()}"
button.on_click(look)
display(ipywidgets.VBox([button, label]))"""

CHANGES = """from jupyter_app_meta import app_meta
page = app_meta().page
page.title = "Sales </script> & more"
page.query.set(region="emea")
page.set_cookie("region", "SECRET-emea", max_age=3600)"""

SEEN = "print('query', dict(app_meta().request.query_params))"

BUTTONS = """import ipywidgets
label = ipywidgets.Label("untouched")
REFUSED = ("//evil.test", "https://evil.test", "javascript:alert(1)")
REFUSED += ("\\\\\\\\evil.test", "/\\\\evil.test", "https:evil.test")
def attempt(call, *given):
    try:
        call(*given)
    except Exception as error:
        return type(error).__name__
    return "done"
def share(_):
    page.query.set({"q&a": "x=1"}, region=None, tag=["a", "b"])
    page.title = "Shared"
def look(_):
    label.value = f"now {dict(app_meta().request.query_params)}"
def forbidden(_):
    found = [attempt(page.redirect, url) for url in REFUSED]
    cookies = [("theme", "x"), ("_xsrf", "x"), ("region", "x\\r\\nSet-Cookie: a=b"), ("region", "x; Domain=evil.test")]
    found += [attempt(page.set_cookie, *given) for given in cookies]
    label.value = " ".join(["refused", *found])
def keep(_):
    page.set_cookie("region", "SECRET-apac")
    label.value = "kept"
def leave(_):
    page.redirect("page?left=1")
made = [ipywidgets.Button(description=f.__name__) for f in (share, look, forbidden, keep, leave)]
for button, function in zip(made, (share, look, forbidden, keep, leave)):
    button.on_click(function)
display(ipywidgets.VBox([*made, label]))"""

GONE = """from jupyter_app_meta import app_meta
app_meta().page.redirect("/page?from=render")"""

WARM = """from jupyter_app_meta import app_meta
page = app_meta().page
page.title = app_meta().user.username
page.set_cookie("region", "", max_age=0)"""

TICKET = r'"cookie", "given": "([^"]+)"'

PHONE = {
    "timezone_id": "Asia/Tokyo",
    "locale": "hi-IN",
    "color_scheme": "dark",
    "viewport": {"width": 390, "height": 844},
    "screen": {"width": 390, "height": 844},
    "is_mobile": True,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a page that says what it knows of its browser, and of others that do something to it."""
    home = tmp_path_factory.mktemp("facts")
    write(home / "root" / "page.ipynb", FACTS, BUTTON)
    write(home / "root" / "changed.ipynb", CHANGES, SEEN, BUTTONS)
    write(home / "root" / "gone.ipynb", GONE)
    write(home / "root" / "warm.ipynb", WARM)
    write(
        home / "root" / "badge.ipynb", "from jupyter_app_meta import UserBadge\nUserBadge()", voila={"template": "lab"}
    )
    with staging(home, APP) as server:
        yield server


def shows(page: Page, text: str) -> None:
    """Wait until a page has this text."""
    expect(page.locator("#rendered_cells")).to_contain_text(text, timeout=PATIENCE)


def press(page: Page, name: str) -> None:
    """Press a button of the page as soon as it is there."""
    page.get_by_role("button", name=name).click()


def says(answer: Response, text: str) -> bool:
    """Whether the server has heard from a page's script a description of the browser that has this text."""
    return "/api/app-meta/tab/" in answer.url and text in (answer.request.post_data or "")


def test_code_knows_its_browser(server: Server, browser: Browser) -> None:
    """The first cell knows it, on a phone too. A callback knows what is so by then."""
    with window(browser, server.url, "alice", **PHONE) as hers:
        page = hers.new_page()
        page.goto(f"{server.url}page")
        shows(page, "first <Asia/Tokyo|hi-IN|dark|(390, 844)>")
        with page.expect_response(lambda answer: says(answer, "[844,390]")):
            page.set_viewport_size({"width": 844, "height": 390})
        with page.expect_response(lambda answer: says(answer, '"light"')):
            page.locator("[data-app-meta-toggle]").click()
        press(page, "look")
        shows(page, "now <Asia/Tokyo|hi-IN|light|")


@pytest.mark.parametrize("missing", ["Intl.DateTimeFormat", "window.Temporal"])
def test_either_of_two_ways_gives_the_time_zone(server: Server, browser: Browser, missing: str) -> None:
    """Temporal does it in less than a millisecond, and Intl, which takes many, is only for browsers without it."""
    with window(browser, server.url, "alice", **PHONE) as hers:
        hers.add_init_script(f"{missing} = undefined")
        page = hers.new_page()
        page.goto(f"{server.url}page")
        shows(page, "first <Asia/Tokyo|")


BEHIND = """(() => {
  const wait = window.setTimeout;
  Object.defineProperty(document, "hidden", { value: true });
  window.setTimeout = (callback, ms, ...given) => (ms ? wait(callback, ms, ...given) : 0);
})()"""
"""A tab in the background, whose timers a browser delays."""


def test_tab_in_the_background_is_told_without_a_timer(server: Server, browser: Browser) -> None:
    """Only a page that is painted tells its tab a moment later."""
    with window(browser, server.url, "alice", **PHONE) as hers:
        hers.add_init_script(BEHIND)
        page = hers.new_page()
        page.goto(f"{server.url}page", wait_until="commit")
        shows(page, "first <Asia/Tokyo|")


def query(page: Page) -> str:
    """Return the query in a page's address bar."""
    return str(page.evaluate("location.search"))


def test_code_changes_its_own_page(server: Server, browser: Browser) -> None:
    """In the first render and in a callback, the address bar and the title of this tab change, and of no other.

    A page that is loaded again keeps the query.
    """
    with window(browser, server.url, "alice") as hers:
        page, other = hers.new_page(), hers.new_page()
        for each in (page, other):
            each.goto(f"{server.url}changed?region=old&keep=1")
            shows(each, "query {'keep': '1', 'region': 'emea'}")
            expect(each).to_have_title("Sales </script> & more")
            assert query(each) == "?keep=1&region=emea"
        press(page, "share")
        expect(page).to_have_title("Shared")
        expect(page.locator(".am-title")).to_have_text("Shared")
        assert query(page) == "?keep=1&q%26a=x%3D1&tag=a&tag=b"
        press(page, "look")
        shows(page, "now {'keep': '1', 'q&a': 'x=1', 'tag': 'b'}")
        press(other, "look")
        shows(other, "now {'keep': '1', 'region': 'emea'}")
        assert (other.title(), query(other)) == ("Sales </script> & more", "?keep=1&region=emea")
        other.close()
        page.reload()
        shows(page, "query {'keep': '1', 'q&a': 'x=1', 'tag': 'b', 'region': 'emea'}")
        press(page, "forbidden")
        shows(page, "refused" + 6 * " RedirectRefused" + 4 * " CookieRefused")
        cookie = {each["name"]: each for each in hers.cookies()}["region"]
        assert cookie["value"] == "SECRET-emea" and cookie["httpOnly"] and cookie["sameSite"] == "Lax"
        assert "region" not in page.evaluate("document.cookie")
        with page.expect_response(lambda answer: "/api/app-meta/cookie/" in answer.url):
            press(page, "keep")
        kept = {each["name"]: each for each in hers.cookies()}["region"]
        assert (kept["value"], kept["httpOnly"]) == ("SECRET-apac", True)
        press(page, "leave")
        page.wait_for_url(f"{server.url}page?left=1")


def test_first_cell_redirects(server: Server, browser: Browser) -> None:
    """The page goes on to the address, without a click."""
    with window(browser, server.url, "alice") as hers:
        page = hers.new_page()
        page.goto(f"{server.url}gone", wait_until="commit")
        page.wait_for_url(f"{server.url}page?from=render")


def fetch(who: Opened, whose: Opened, ticket: object, **headers: str) -> httpx.Response:
    """Fetch a cookie with a ticket, as the script of a page does."""
    given = {"Content-Type": "application/json", "X-XSRFToken": who.visitor.http.cookies["_xsrf"], **headers}
    url = f"api/app-meta/cookie/{whose.kernel_id}"
    return who.visitor.http.post(url, content=json.dumps({"ticket": ticket}), headers=given)


def test_warm_page_is_changed_for_its_visitor(server: Server) -> None:
    """The cells that a kernel has run ahead wait for the visitor, whose page is changed; a cookie can be removed."""
    page = visit(server, "alice", "warm")
    told = page.response.text.partition('id="rendered_cells"')[2]
    assert '{"do": "title", "given": "alice"}' in told.partition("app-meta-end")[0]
    answer = fetch(page, page, *re.findall(TICKET, told))
    assert answer.status_code == 204
    assert re.match('region=("")?; expires=.*; Path=/', answer.headers["set-cookie"])


def test_only_the_page_itself_gets_its_cookie(server: Server) -> None:
    """A ticket is good once, for the visitor of the page that has it; the page's text has the ticket and no value."""
    alice, bob = (visit(server, name, "changed") for name in ("alice", "bob"))
    tickets = {page: re.findall(TICKET, page.response.text) for page in (alice, bob)}
    assert [len(found) for found in tickets.values()] == [1, 1] and "SECRET" not in alice.response.text
    [hers], [his] = tickets.values()
    refused = [
        (fetch(bob, alice, hers), 403),
        (fetch(bob, bob, hers), 404),
        (fetch(alice, alice, his), 404),
        (fetch(alice, alice, ["x"]), 404),
        (fetch(alice, alice, hers, **{"X-XSRFToken": ""}), 403),
        (fetch(alice, alice, hers, **{"Content-Type": "text/plain"}), 403),
        (fetch(alice, alice, hers, Origin="http://evil.test"), 404),
    ]
    assert [answer.status_code for answer, _ in refused] == [status for _, status in refused]
    assert not any("region" in answer.headers.get("set-cookie", "") for answer, _ in refused)
    answer = fetch(alice, alice, hers)
    found = answer.headers["set-cookie"]
    assert answer.status_code == 204 and found.startswith("region=SECRET-emea; ")
    assert {"HttpOnly", "Max-Age=3600", "Path=/", "SameSite=Lax"} <= set(found.split("; "))
    assert fetch(alice, alice, hers).status_code == 404


def test_page_without_the_frame_shows_a_badge(server: Server, browser: Browser) -> None:
    """The badge has the visitor's name as text, whatever it contains, and a link to log out."""
    pytest.importorskip("anywidget")
    with window(browser, server.url, "eve%20%3Cb%3E") as hers:
        page = hers.new_page()
        page.goto(f"{server.url}badge")
        badge = page.locator(".app-meta-badge")
        expect(badge).to_contain_text("Eve <B>", timeout=PATIENCE)
        assert badge.locator("b").count() == 0
        assert badge.locator("a").get_attribute("href") == "/logout"
