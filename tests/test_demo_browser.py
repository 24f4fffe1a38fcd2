"""The dashboards of `make demo` on a phone: how wide they are, what a screen reader finds, and which hosts they ask."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import Seen, faults
from harness import Server
from playwright.sync_api import Browser
from stage import staging

PROJECT = Path(__file__).resolve().parent.parent
APP = f"""
from pathlib import Path
sys.path.insert(0, {str(PROJECT)!r})
from tools.demo import dashboards
app = dashboards(Path.cwd(), warm=0)
"""
PAGES = {
    "": ".am-cards a",
    "sales": ".widget-image",
    "customers/1002": ".jp-RenderedSVG img",
    "live": ".widget-play",
    "lunch": ".widget-toggle-buttons",
}
"""Each page, and an element that is there when the page is ready."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of `make demo`, without kernels ahead."""
    home = tmp_path_factory.mktemp("demo")
    shutil.copytree(PROJECT / "notebooks/dashboards", home / "root")
    with staging(home, APP, env={"MPLCONFIGDIR": str(home / "matplotlib")}) as server:
        yield server


def test_pages_suit_a_phone_and_a_screen_reader(server: Server, browser: Browser) -> None:
    """No page is wider than a phone, has a critical or serious fault of accessibility, or asks another host."""
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
        assert seen.foreign == []
    finally:
        context.close()
