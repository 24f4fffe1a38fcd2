"""A real browser in JupyterLab: the greeting, the table, and another person in a second browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

import nbformat
import pytest
from harness import Server, kernelspec, serving
from labs import PATIENCE, READY_TO_RUN, edit_cell
from playwright.sync_api import Browser, BrowserContext, Page
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from conftest import PEOPLE

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
QUIET = """
c.LabApp.news_url = None
c.ServerApp.jpserver_extensions = {
    'jupyter_app_meta': True, 'jupyter_lsp': True, 'jupyterlab': True, 'notebook': True
}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """JupyterLab with our notebooks, for several people."""
    home = tmp_path_factory.mktemp("lab")
    shutil.copytree(NOTEBOOKS, home / "root")
    kernelspec(home, "python3-app-meta", "--ext=jupyter_app_meta", display_name="Python 3 (request-aware)")
    with serving(home, config=PEOPLE + QUIET, token="", command=("-m", "jupyterlab")) as server:
        yield server


def log_in(browser: Browser, server: Server, person: str, **options: str) -> BrowserContext:
    """Return a browser window of its own, in which this person is logged in."""
    context = browser.new_context(viewport={"width": 1100, "height": 900}, locale="de-DE", **options)  # type: ignore[arg-type]  # playwright's literals
    context.add_cookies([{"name": "person", "value": person, "url": server.url}])
    return context


def open_notebook(context: BrowserContext, address: str) -> Page:
    """Open a notebook's page and wait for its kernel to be idle."""
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=PATIENCE)
    page.wait_for_function(READY_TO_RUN, arg="Python 3 (request-aware)", timeout=PATIENCE)
    return page


def run_all(page: Page) -> str:
    """Run all cells and return the text of the notebook."""
    page.locator(".jp-Notebook .jp-Cell").first.click()
    page.keyboard.press("Escape")
    cells = page.locator(".jp-Notebook .jp-CodeCell").count()
    page.evaluate("() => { const n = document.querySelector('.jp-Notebook'); n && n.focus && n.focus(); }")
    for attempt in range(4):  # Lab runs nothing, and says nothing, while its session is being started
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        with suppress(PlaywrightTimeout) if attempt < 3 else nullcontext():
            page.wait_for_function(
                "cells => [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')]"
                ".filter(e => /\\[\\d+\\]/.test(e.textContent)).length >= cells",
                arg=cells,
                timeout=20_000,
            )
            break
    page.locator(".jp-Notebook .jp-CodeCell").last.locator(".jp-OutputArea-output").first.wait_for(timeout=PATIENCE)
    return page.locator(".jp-Notebook").inner_text()


def take_picture(page: Page, path: Path) -> None:
    """Save a picture of the notebook's top, for the README."""
    page.locator(".jp-Notebook .jp-Cell").first.click()
    page.add_style_tag(content=".Toastify, .jp-Notification-Toast { display: none }")
    page.locator(".jp-Notebook .jp-WindowedPanel-outer").first.evaluate("panel => { panel.scrollTop = 0 }")
    page.wait_for_timeout(500)
    page.screenshot(path=path)


def test_hello_in_lab(lab: Server, browser: Browser) -> None:
    """JupyterLab runs 01_hello: the greeting and the request's table are on the page, for each person their own."""
    seen = {}
    for person, other in (("alice", "bob"), ("bob", "alice")):
        context = log_in(browser, lab, person)
        # In a workspace of their own: the server's only other one would bring this notebook back into a later test.
        page = open_notebook(context, f"{lab.url}lab/workspaces/{person}/tree/01_hello.ipynb")
        seen[person] = run_all(page)
        assert person in seen[person].lower()
        assert other not in seen[person].lower()
        assert page.locator(".jp-OutputArea table").count() >= 1
        assert page.locator(".jp-OutputArea table").filter(has_text=person).count() >= 1
        if picture := os.environ.get("APP_META_PICTURES"):
            take_picture(page, Path(picture) / f"hello-{person}.png")
        context.close()


def test_notebook_page_and_its_query(lab: Server, browser: Browser) -> None:
    """In Notebook the page's own query reaches the cell, also after a reload with another one."""
    context = log_in(browser, lab, "carol")
    for region in ("emea", "apac"):
        page = open_notebook(context, f"{lab.url}notebooks/01_hello.ipynb?region={region}")
        edit_cell(page, 0)
        page.keyboard.press("Control+A")
        page.keyboard.type(
            "from jupyter_app_meta import app_meta; r = app_meta().request; print(r.via, dict(r.query_params))"
        )
        shown = page.locator(".jp-OutputArea-output").filter(has_text=f"page {{'region': '{region}'}}").first
        for attempt in range(4):
            page.keyboard.press("Control+Enter")
            with suppress(PlaywrightTimeout) if attempt < 3 else nullcontext():
                shown.wait_for(timeout=10_000)
                break
        page.close()
    context.close()


@pytest.mark.parametrize("shell", ["notebooks", "lab/tree"])
def test_page_is_known_as_soon_as_its_kernel_was_restarted(lab: Server, browser: Browser, shell: str) -> None:
    """Kernel > Restart Kernel and Run All Cells: the cells see the tab's page, not only after its next call."""
    code = (
        "from jupyter_app_meta import app_meta; r = app_meta().request; print(r.via, r.url.path, dict(r.query_params))"
    )
    spec = {"name": "python3-app-meta", "display_name": "Python 3 (request-aware)", "language": "python"}
    name = f"restart-{shell.partition('/')[0]}.ipynb"
    cells = [nbformat.v4.new_code_cell(code), nbformat.v4.new_code_cell("'the last one'")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec}), lab.home / "root" / name)
    context = log_in(browser, lab, "dave")
    page = open_notebook(context, f"{lab.url}{shell}/{name}?region=emea")
    for _ in range(2):
        query = page.evaluate("() => Object.fromEntries(new URLSearchParams(location.search))")
        assert shell == "lab/tree" or query == {"region": "emea"}  # which Lab may drop from its address
        page.get_by_role("menuitem", name="Kernel", exact=True).click()
        page.get_by_role("menuitem", name="Restart Kernel and Run All Cells…").click()
        with page.expect_response(lambda response: "/restart" in response.url):
            page.get_by_role("button", name="Confirm Kernel Restart").click()
        page.locator(".jp-OutputArea-output").filter(has_text="the last one").wait_for(timeout=PATIENCE)
        shown = page.locator(".jp-OutputArea-output").first.inner_text()
        assert shown.strip() == f"page /{shell}/{name} {query}"
        page.get_by_role("menuitem", name="Edit", exact=True).click()
        page.get_by_role("menuitem", name="Clear Outputs of All Cells").click()
        page.locator(".jp-OutputArea-output").first.wait_for(state="detached", timeout=PATIENCE)
    context.close()
