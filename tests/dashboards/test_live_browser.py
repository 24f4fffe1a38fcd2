"""The page "Who is looking now" in a browser: it lists pages by itself, ends one, and says when the server is away."""

from __future__ import annotations

from pathlib import Path

from browsing import AXE, PATIENCE, window
from playwright.sync_api import Browser, expect
from stage import WHO, eventually, kernel_process, staging, visit, write
from test_live import APP, SESSIONS


def test_administrator_ends_a_page(browser: Browser, tmp_path: Path) -> None:
    """Pages come and go without a reload. A visitor's name is shown as text."""
    for name in ("sales", "stock", "notes"):
        write(tmp_path / "root" / f"{name}.ipynb", WHO)
    with staging(tmp_path, APP) as server, window(browser, server.url, "root") as context:
        page = context.new_page()
        page.goto(f"{server.url}{SESSIONS}/page")
        expect(page.get_by_role("status")).to_have_text("There are no open pages.", timeout=PATIENCE)
        opened = visit(server, "alice", "/sales")
        visit(server, "<b>bob</b>", "/stock/north")
        expect(page.get_by_role("status")).to_have_text("2 open pages", timeout=PATIENCE)
        expect(page.locator(".am-open span")).to_have_text(["alice", "<b>bob</b>"], timeout=PATIENCE)
        page.add_script_tag(path=AXE)
        assert page.evaluate("axe.run().then((found) => found.violations.map((wrong) => wrong.id))") == []
        process = kernel_process(server, opened.kernel_id)
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="End the page /sales of alice").click()
        expect(page.get_by_role("status")).to_have_text("1 open page", timeout=PATIENCE)
        eventually(lambda: not process.is_running() or process.status() == "zombie")
        context.set_offline(True)
        expect(page.get_by_role("alert")).to_contain_text("does not answer", timeout=PATIENCE)
        context.set_offline(False)
        expect(page.get_by_role("alert")).to_be_hidden(timeout=PATIENCE)
