"""What ``%app_meta`` shows, in a real browser, from the narrowest output to a wide one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jupyter_app_meta import AppMeta, SessionInfo, User
from jupyter_app_meta.display.sheets import bundle
from jupyter_app_meta.policy import Page, Policy, RawRequest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

USER = User(username="alice", name="Alice Liddell", kind="user", groups=("editors",), assurance="hub")
REQUEST = Policy().request(
    RawRequest(
        method="GET",
        url="http://hub/api/kernels/k1/channels",
        base_url="http://hub/",
        headers=(("Accept-Language", "de"), ("Referer", "x"), ("Authorization", "x"), ("Upgrade", "websocket")),
        cookies=(("theme", "dark"), ("sid", "x")),
        user=USER,
    ),
    Page("http://hub/user/alice/lab/tree/reports/sales.ipynb?region=emea"),
)
META = AppMeta(REQUEST, "edit", SessionInfo("7a2d0f1c", "d4f8e1b2-90aa-4f77", "6d1f3b8e-0c3a-4f0e", "sales.ipynb"))

CLIPPED = """[...document.querySelectorAll('th, td, code, p, caption, summary')].filter(item => {
  const box = item.getBoundingClientRect(), whole = document.querySelector('.app-meta').getBoundingClientRect();
  return box.width < 8 || box.left < whole.left || box.right > whole.right || item.scrollWidth > item.clientWidth + 1;
}).map(item => item.textContent)"""
LINES = """label => { const range = document.createRange();
  range.selectNodeContents([...document.querySelectorAll('th')].find(item => item.textContent === label));
  return new Set([...range.getClientRects()].map(box => box.top)).size; }"""


@pytest.mark.parametrize("width", [150, 320, 480, 1200])
@pytest.mark.parametrize("value", [META, USER, REQUEST.headers, AppMeta()], ids=["all", "user", "headers", "none"])
def test_sheet_fits_its_output(browser: Browser, width: int, value: object) -> None:
    """Nothing is clipped, no column vanishes, and no name of a field is broken, however narrow the output is."""
    page = browser.new_page(viewport={"width": 1300, "height": 600})
    html = bundle(value)["text/html"].replace("<details>", "<details open>")
    page.set_content(f"<!doctype html><div style='font: 13px sans-serif; width: {width}px'>{html}</div>")
    assert page.evaluate(CLIPPED) == []
    if value is USER:
        assert [page.evaluate(LINES, name) for name in USER] == [1] * len(USER)
    page.close()


@pytest.mark.parametrize("box", ["display: flex", "display: inline-block", "display: grid"])
def test_sheet_does_not_vanish_among_widgets(browser: Browser, box: str) -> None:
    """In a box that is as wide as what is in it, the sheet has a width."""
    page = browser.new_page()
    page.set_content(f"<!doctype html><div style='{box}'>{bundle(META)['text/html']}</div>")
    assert page.evaluate("document.querySelector('.app-meta').offsetWidth") > 150
    page.close()
