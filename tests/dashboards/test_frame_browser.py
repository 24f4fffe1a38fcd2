"""The frame in a real browser: what a visitor sees while a page works, its themes, and faults of accessibility."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from browsing import PATIENCE, Relay, Seen, Tab, faults, window
from harness import Server
from playwright.sync_api import Browser, expect
from stage import ASK, eventually, kernels, staging, write

from jupyter_app_meta.dashboards.web.around import errors, settings

APP = """
app = (create_app(identity_provider=People, idle_timeout=5)
       .with_index()
       .with_app(path="/page", root="page.ipynb", warm=1)
       .with_app(path="/slow", root="slow.ipynb")
       .with_app(path="/broken", root="broken.ipynb")
       .with_app(path="/closed", root="slow.ipynb", authorize=lambda user, request: user.username != "alice"))
"""

TABLE = """html = '<table><tr><th>Region</th><th>Sales</th></tr><tr><td>EMEA</td><td>42</td></tr></table>'
display({'text/html': html}, raw=True)"""

PAGE = (
    "%md # Sales of the year\n\nThe figures of each region, see [the index](/). And more.\n\n- $a^2$\n- `code`",
    "from jupyter_app_meta import app_meta\nprint('hello', app_meta().user.username)",
    TABLE,
    """import ipywidgets as w, time
from pathlib import Path
slider, button, said = w.IntSlider(description="Months"), w.Button(description="Compute", icon="check"), w.HTML("ready")
def work(_):
    while not Path("go-on").exists(): time.sleep(0.02)
    said.value = "done"
button.on_click(work)
region, name = w.Dropdown(options=["a", "b"], description="Region"), w.Text(description="Name")
display(w.VBox([slider, button, region, name, said]))""",
    "from IPython.display import Latex\nLatex(r'$$x^2$$')",
)
SLOW = (
    "%md # A slow page",
    f"{ASK}print('first output')",
    "import time\nfrom pathlib import Path\nwhile not Path('come').exists(): time.sleep(0.02)\nprint('second output')",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose pages have our template."""
    home = tmp_path_factory.mktemp("frame-browser")
    for name, cells in {"page": PAGE, "slow": SLOW, "broken": ("%md # A broken page", f"{ASK}1 / 0")}.items():
        write(home / "root" / f"{name}.ipynb", *cells)
    with staging(home, APP) as server:
        yield server


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_fault(server: Server, browser: Browser, scheme: Any) -> None:
    """No page of ours has a critical or serious fault of accessibility, and none asks another host."""
    pages = settings.pages()
    size = {"width": 390, "height": 800} if scheme == "dark" else {"width": 1100, "height": 900}
    with window(browser, server.url, "alice", color_scheme=scheme, viewport=size) as context:
        seen = Seen(context, server.url)
        page = seen.open("page", ".noUi-handle")
        expect(page.locator("mjx-container").first).to_be_attached(timeout=PATIENCE)
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        assert page.evaluate("window.shifts") < 0.1
        page.locator("details.am-chip summary").click()
        assert faults(page) == []
        for path in ("", "nowhere", "closed", "logout", "broken"):
            assert (path, faults(seen.open(path))) == (path, [])
        assert seen.foreign == []
        for status in (401, 403, 404, 500, 503):
            error_id = "E-1234" if status == 500 else ""
            page.set_content(errors.drawn(pages, status, "/", error_id=error_id, name="Alice"))
            assert (status, faults(page)) == (status, [])
        for name in ("login.html", "message.html", "logout.html"):
            page.set_content(
                pages.page(name, base_url="/", problem="No.", title="Log in", text="Again.", link_text="Go")
            )
            assert (name, faults(page)) == (name, [])


def test_visitor_sees_that_the_page_works(server: Server, browser: Browser) -> None:
    """Cells are shown as they come, with how many there are; a callback that takes long moves the line."""
    root = server.home / "root"
    with window(browser, server.url, "alice") as context:
        seen = Seen(context, server.url)
        page = seen.open("slow", "text=first output")
        expect(page.locator("#app-meta-count")).to_have_text("2 of 3")
        expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "2")
        (root / "come").touch()
        page.locator("text=second output").wait_for()
        expect(page.locator("#app-meta-count")).to_be_hidden()
        expect(page.get_by_role("progressbar")).to_have_count(0)

        page = seen.open("page", ".noUi-handle")
        page.get_by_role("button", name="Compute").click()
        expect(page.get_by_role("progressbar", name="Working")).to_be_visible()
        (root / "go-on").touch()
        page.locator("text=done").wait_for()
        expect(page.get_by_role("progressbar")).to_have_count(0)


HOLD = """(() => {
  const frame = window.requestAnimationFrame, wait = window.setTimeout;
  window.requestAnimationFrame = (callback) => {
    window.requestAnimationFrame = frame;
    window.paint = callback;
  };
  window.delayed = [];
  window.setTimeout = (callback, ms, ...given) =>
    ms === 300 ? window.delayed.push(callback) : wait(callback, ms, ...given);
})()"""
"""Keeps what wants to run with the first frame of a page, or when the page takes long."""

HIDE = f"Object.defineProperty(document, 'hidden', {{ value: true }});{HOLD}"

FETCHED = "performance.getEntriesByType('resource').filter(({ name }) => name.includes('/voila/')).length"


def test_page_is_painted_before_the_scripts_of_voila_run(server: Server, browser: Browser) -> None:
    """They take longer than the rest; they start although the page has loaded, and at once where nothing is painted.

    Nothing of them is fetched before either, unless the page takes long.
    """
    with window(browser, server.url, "alice") as context:
        page = context.new_page()
        page.add_init_script(HOLD)
        page.goto(f"{server.url}page", wait_until="load")
        assert page.get_by_text("hello alice").is_visible()
        assert page.evaluate(FETCHED) == 0
        page.evaluate("window.delayed.forEach((callback) => callback())")
        page.wait_for_function(f"{FETCHED} >= 5")
        assert page.locator("script[src*='voila']").count() == page.locator(".noUi-handle").count() == 0
        page.evaluate("""() => {
            const output = document.querySelector("#rendered_cells");
            const link = "<link href='/of-an-output.js' data-app-meta-later='preload' as='script'>";
            output.insertAdjacentHTML("beforeend", link);
            window.paint();
        }""")
        page.locator(".noUi-handle").first.wait_for()
        assert page.locator("script[src*='of-an-output']").count() == 0

        hidden = context.new_page()
        hidden.add_init_script(HIDE)
        hidden.goto(f"{server.url}page")
        hidden.locator(".noUi-handle").first.wait_for(state="attached")


PLACES = """Array.from(document.querySelectorAll("#rendered_cells :is(h1, p, li, code, pre, td)"),
  (each) => [each.outerHTML, JSON.stringify(each.getBoundingClientRect())])"""


def test_styles_that_arrive_later_move_nothing(server: Server, browser: Browser) -> None:
    """What is in the page as HTML has its place before JupyterLab's styles are there."""
    with window(browser, server.url, "alice") as context:
        page = context.new_page()
        page.route("**/*.js", lambda route: route.abort())
        page.goto(f"{server.url}page")
        page.wait_for_function("Array.from(document.styleSheets).filter(({ href }) => href).length === 3")
        styled = page.evaluate(PLACES)
        page.evaluate("Array.from(document.styleSheets).forEach((one) => { one.disabled = Boolean(one.href); })")
        assert page.evaluate(PLACES) == styled and len(styled) > 6


def test_visitor_chooses_the_theme(server: Server, browser: Browser) -> None:
    """The choice holds for all pages, also after a reload; Escape closes the visitor's menu."""
    with window(browser, server.url, "alice", color_scheme="light") as context:
        page = Seen(context, server.url).open("")
        page.get_by_role("button", name="Light or dark").click()
        for path in ("", "nowhere"):
            page.goto(f"{server.url}{path}")
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 28)"
        page.goto(server.url)
        page.locator("summary").click()
        expect(page.get_by_role("link", name="Log out")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("link", name="Log out")).to_be_hidden()


def test_index_can_be_searched(server: Server, browser: Browser) -> None:
    """The search hides the cards that do not have all words."""
    with window(browser, server.url, "bob") as context:
        page = Seen(context, server.url).open("", ".am-cards")
        cards = page.locator(".am-cards li")
        expect(cards).to_have_count(4)
        page.get_by_role("searchbox").fill("figures sales")
        expect(cards.filter(visible=True)).to_have_count(1)
        page.get_by_role("searchbox").fill("zebra")
        expect(page.get_by_text("No dashboard matches.")).to_be_visible()


def test_page_comes_back_after_its_kernel_was_given_up(server: Server, browser: Browser) -> None:
    """After a break that is longer than ``idle_timeout`` the page is loaded again, for the same visitor."""
    relay = Relay(urlsplit(server.url).port or 80)
    try:
        with window(browser, relay.url, "alice") as context:
            tab = Tab(context, relay.url).open("page", "hello alice")
            kernel_id, banner = tab.kernel_id, tab.page.get_by_role("alert")
            context.set_offline(True)
            expect(banner).to_have_text("Connection lost, reconnecting…")
            context.set_offline(False)
            expect(banner).to_be_hidden()
            assert tab.kernel_id == kernel_id
            relay.cut()
            expect(banner).to_have_text("Connection lost, reconnecting…", timeout=PATIENCE)
            eventually(lambda: kernel_id not in kernels(server))
            relay.mend()
            tab.page.wait_for_function(
                "known => JSON.parse(document.getElementById('jupyter-config-data')?.text ?? '{}').kernelId !== known",
                arg=kernel_id,
            )
            tab.shows("hello alice")
            expect(banner).to_be_hidden()
            assert "Alice" in tab.page.locator("header").inner_text()
    finally:
        relay.close()
