"""The dashboards of `make demo` on a phone: how wide they are, what a screen reader finds, and which hosts they ask."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from browsing import PATIENCE, Seen, faults
from harness import Server, free_port
from playwright.sync_api import Browser, Page, expect
from stage import staging

PROJECT = Path(__file__).resolve().parent.parent
APP = f"""
from pathlib import Path
sys.path.insert(0, {str(PROJECT)!r})
from tools.demo import dashboards
app = dashboards(Path.cwd())
"""
PAGES = {
    "": ".am-cards a",
    "sales": ".widget-image",
    "customers/1002": ".jp-RenderedSVG img",
    "live": ".widget-play",
    "lunch": ".widget-toggle-buttons",
}
"""Each page, and an element that is there when the page is ready."""

SMALLEST = """async () => {
  let smallest = Infinity;
  for (const image of document.querySelectorAll(".widget-image, .jp-RenderedSVG img")) {
    const drawn = new DOMParser().parseFromString(await (await fetch(image.src)).text(), "image/svg+xml");
    const scale = image.getBoundingClientRect().width / drawn.documentElement.viewBox.baseVal.width;
    for (const text of drawn.querySelectorAll("text"))
      smallest = Math.min(smallest, scale * parseFloat(text.style.fontSize));
  }
  return Math.min(smallest, 99); // a page without figures
}"""
"""The size in pixels of the smallest text in a figure, as the page shows it."""

HAS_ICONS = """() => [...document.fonts].some(
    (font) => font.family.includes("Awesome") && font.status === "loaded")"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of `make demo`, without kernels ahead."""
    home = tmp_path_factory.mktemp("demo")
    shutil.copytree(PROJECT / "notebooks/dashboards", home / "root")
    with staging(home, APP, env={"MPLCONFIGDIR": str(home / "matplotlib")}) as server:
        yield server


def test_pages_suit_a_phone_and_a_screen_reader(server: Server, browser: Browser) -> None:
    """A page fits a phone and is readable there, has no serious fault of accessibility, and asks no other host."""
    context = browser.new_context(color_scheme="dark", viewport={"width": 390, "height": 844})
    try:
        seen = Seen(context, server.url)
        page = seen.open("", "main")
        assert faults(page) == []
        page.get_by_role("button", name="Bob Brown").click()
        for path, element in PAGES.items():
            page = seen.open(path, element)
            assert (path, faults(page)) == (path, [])
            assert (path, page.evaluate("document.documentElement.scrollWidth")) == (path, 390)
            assert page.evaluate(SMALLEST) >= 12, path
            if path == "live":
                page.wait_for_function(HAS_ICONS)
        assert seen.foreign == []
    finally:
        context.close()


def test_the_guided_minute(tmp_path: Path, browser: Browser) -> None:
    """What `make demo` tells a newcomer to try: both pages know their person, and come back after the server did."""
    shutil.copytree(PROJECT / "notebooks/dashboards", tmp_path / "root")
    port, env = free_port(), {"MPLCONFIGDIR": str(tmp_path / "matplotlib")}
    with ExitStack() as first:
        server = first.enter_context(staging(tmp_path, APP, env=env, port=port))
        alice, bob = (browser.new_context().new_page() for _ in range(2))
        for page in (alice, bob):
            page.set_default_timeout(PATIENCE)
        alice.goto(server.url)
        alice.get_by_role("button", name="Alice Andrews").click()
        alice.get_by_role("link", name="Personal sales").click()
        expect(alice.get_by_role("heading", name="Good to see you, Alice Andrews.")).to_be_visible()
        alice.locator(".noUi-handle").press("ArrowLeft")
        expect(alice.get_by_text("Revenue, 11 months")).to_be_visible()
        bob.goto(f"{server.url}sales?region=apac")
        bob.get_by_role("button", name="Bob Brown").click()
        expect(bob.get_by_text("Showing APAC to Bob Brown.")).to_be_visible()
        kernels = [_kernel(page) for page in (alice, bob)]
        server.process.send_signal(signal.SIGINT)
        for page in (alice, bob):
            expect(page.get_by_role("alert")).to_have_text("Connection lost, reconnecting…", timeout=PATIENCE)
        first.close()
    with staging(tmp_path, APP, env=env, port=port):
        for page, known, text in (
            (alice, kernels[0], "Showing all regions to Alice Andrews."),
            (bob, kernels[1], "Showing APAC to Bob Brown."),
        ):
            page.wait_for_function(IS_ANOTHER, arg=known)
            expect(page.get_by_text(text)).to_be_visible(timeout=PATIENCE)
            expect(page.get_by_role("alert")).to_be_hidden()
            page.context.close()


IS_ANOTHER = """known => {
    const config = document.getElementById("jupyter-config-data");
    return config && JSON.parse(config.text).kernelId !== known;
}"""


def _kernel(page: Page) -> str:
    """Return the id of a page's kernel."""
    return str(page.evaluate("JSON.parse(document.getElementById('jupyter-config-data').text).kernelId"))
