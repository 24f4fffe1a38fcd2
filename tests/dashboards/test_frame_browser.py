"""The frame in a real browser: what a visitor sees while a page works, its themes, and faults of accessibility."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import PATIENCE, window
from harness import Server
from playwright.sync_api import Browser, BrowserContext, Page, expect
from stage import staging, write

from jupyter_app_meta.dashboards.web.around import errors, settings

AXE = Path(sys.prefix) / "node/node_modules/axe-core/axe.min.js"

APP = """
app = (create_app(identity_provider=People)
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
    "print('first output')",
    "import time\nfrom pathlib import Path\nwhile not Path('come').exists(): time.sleep(0.02)\nprint('second output')",
)
SHIFTS = """window.shifts = 0;
new PerformanceObserver((list) => list.getEntries().forEach((entry) => { window.shifts += entry.value; }))
  .observe({ type: "layout-shift", buffered: true });"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose pages have our template."""
    home = tmp_path_factory.mktemp("frame-browser")
    for name, cells in {"page": PAGE, "slow": SLOW, "broken": ("%md # A broken page", "1 / 0")}.items():
        write(home / "root" / f"{name}.ipynb", *cells)
    with staging(home, APP) as server:
        yield server


class Seen:
    """A tab, and the requests to other hosts than the server."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.page, self._url = context.new_page(), url
        self.foreign: list[str] = []
        self.page.add_init_script(SHIFTS)
        self.page.on("request", lambda request: self._note(request.url))

    def _note(self, url: str) -> None:
        if not url.startswith((self._url, "data:", "blob:")):
            self.foreign.append(url)

    def open(self, path: str, selector: str = "main") -> Page:
        """Open a page, and wait until it shows this element."""
        self.page.goto(f"{self._url}{path}", wait_until="commit")
        self.page.locator(selector).first.wait_for()
        return self.page


def faults(page: Page) -> list[Any]:
    """Return the critical and serious faults that axe finds in a page."""
    if not AXE.exists():
        pytest.skip("there is no axe-core: tools/ensure-axe.sh installs it")
    page.add_script_tag(path=AXE)
    found = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    return [
        (fault["id"], [node["html"][:200] for node in fault["nodes"]])
        for fault in found["violations"]
        if fault["impact"] in ("critical", "serious")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_fault(server: Server, browser: Browser, scheme: Any) -> None:
    """No page of ours has a critical or serious fault of accessibility, and none asks another host."""
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
            page.set_content(errors.drawn(settings.pages(), status, "/", error_id=error_id, name="Alice"))
            assert (status, faults(page)) == (status, [])


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
