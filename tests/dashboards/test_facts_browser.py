"""What a page's script tells the kernel of the browser, and what code in the kernel does to the page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browsing import PATIENCE, window
from harness import Server
from playwright.sync_api import Browser, Page, expect
from stage import staging, write

APP = """
app = create_app(identity_provider=People).with_app(path="/page", root="page.ipynb")
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
    """A server of one page that says what it knows of its browser."""
    home = tmp_path_factory.mktemp("facts")
    write(home / "root" / "page.ipynb", FACTS, BUTTON)
    with staging(home, APP) as server:
        yield server


def shows(page: Page, text: str) -> None:
    """Wait until a page has this text."""
    expect(page.locator("#rendered_cells")).to_contain_text(text, timeout=PATIENCE)


def press(page: Page, name: str) -> None:
    """Press a button of the page as soon as it is there."""
    page.get_by_role("button", name=name).click()


def test_code_knows_its_browser(server: Server, browser: Browser) -> None:
    """The first cell knows it, on a phone too. A callback knows what is so by then."""
    with window(browser, server.url, "alice", **PHONE) as hers:
        page = hers.new_page()
        page.goto(f"{server.url}page")
        shows(page, "first <Asia/Tokyo|hi-IN|dark|(390, 844)>")
        with page.expect_response(lambda answer: "/api/app-meta/tab/" in answer.url):
            page.set_viewport_size({"width": 844, "height": 390})
        with page.expect_response(lambda answer: "/api/app-meta/tab/" in answer.url):
            page.locator("[data-app-meta-toggle]").click()
        press(page, "look")
        shows(page, "now <Asia/Tokyo|hi-IN|light|")
