"""Two people in real browsers, with one notebook in real-time collaboration: each cell is of who ran it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import nbformat
import pytest
from harness import AWARE, WHO, Json, Server, serving
from labs import PATIENCE, READY_TO_RUN, run_cell
from playwright.sync_api import Browser, BrowserContext, Page

from conftest import PEOPLE

TOGETHER = Path(sys.prefix).with_name(f"{Path(sys.prefix).name}-together") / "bin" / "python"
LAB = Path(sys.prefix) / "share" / "jupyter" / "lab"
NOTEBOOK = "shared.ipynb"
COLLABORATION = ("jupyterlab", "jupyter_server_ydoc", "jupyter_server_fileid")


def write_notebook(path: Path, cells: int) -> None:
    """Write a notebook of cells that print whom they see."""
    spec = {"name": AWARE, "display_name": AWARE, "language": "python"}
    codes = [nbformat.v4.new_code_cell(WHO) for _ in range(cells)]
    nbformat.write(nbformat.v4.new_notebook(metadata={"kernelspec": spec}, cells=codes), path)


def enter_lab(stack: ExitStack, home: Path, *, server_runs: bool) -> Server:
    """Start JupyterLab with collaboration; either the server runs cells, or browsers send them over their sockets."""
    (home / "root").mkdir()
    write_notebook(home / "root" / NOTEBOOK, 3)
    names = (*COLLABORATION, "jupyter_server_nbmodel") if server_runs else COLLABORATION
    if not server_runs:  # the part that is in the browser is there as soon as it is installed
        page_config = home / "config" / "labconfig" / "page_config.json"
        page_config.parent.mkdir(parents=True)
        page_config.write_text(json.dumps({"disabledExtensions": {"@datalayer/jupyter-server-nbmodel": True}}))
    config = (
        f"{PEOPLE}c.ServerApp.jpserver_extensions = {{'jupyter_app_meta': True, **dict.fromkeys({names!r}, True)}}\n"
        "c.LabApp.news_url = None\nc.LabApp.extension_manager = 'readonly'\n"
    )
    lab = serving(
        home,
        config=config,
        token="",
        debug=True,
        python=str(TOGETHER),
        command=("-m", "jupyterlab"),
        arguments=[f"--LabApp.app_dir={LAB}"],
    )
    return stack.enter_context(lab)


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, Server]]:
    """Two servers, which take as long to start as one: the server runs cells, or not."""
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        homes = {server_runs: tmp_path_factory.mktemp("lab") for server_runs in (True, False)}
        starting = {way: pool.submit(enter_lab, stack, home, server_runs=way) for way, home in homes.items()}
        yield {way: future.result() for way, future in starting.items()}


def log_in(browser: Browser, server: Server, person: str) -> BrowserContext:
    """Return a browser window of its own, in which this person is logged in."""
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    context.add_cookies([{"name": "person", "value": person, "url": server.url}])
    return context


def open_notebook(context: BrowserContext, server: Server) -> Page:
    """Open the notebook and wait for its kernel to be idle."""
    page = context.new_page()
    page.goto(f"{server.url}lab/tree/{NOTEBOOK}?reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=PATIENCE)
    page.wait_for_function(READY_TO_RUN, arg=AWARE, timeout=PATIENCE)
    return page


def seen(page: Page, number: int) -> Json:
    """Wait for a cell's output on a page and return what the cell saw."""
    output = page.locator(".jp-Notebook .jp-CodeCell").nth(number).locator(".jp-OutputArea-output")
    output.filter(has_text=re.compile(r"\{.*\}")).wait_for(timeout=PATIENCE)
    found: Json = json.loads(output.inner_text())
    return found


@pytest.mark.parametrize("server_runs", [True, False], ids=["by-the-server", "over-sockets"])
def test_two_people_in_one_notebook(labs: dict[bool, Server], browser: Browser, *, server_runs: bool) -> None:
    """A cell of the shared notebook sees the person who runs it, and all people see that in the cell's output."""
    lab = labs[server_runs]
    contexts = {person: log_in(browser, lab, person) for person in ("alice", "bob")}
    pages = {person: open_notebook(context, lab) for person, context in contexts.items()}
    for number, person in enumerate(("alice", "bob", "alice")):
        run_cell(pages[person], number)
        mine, others = (seen(pages[name], number) for name in ("alice", "bob"))
        assert mine == others
        assert (mine["user"]["username"], mine["mode"]) == (person, "edit")
        assert (mine["via"], mine["url"]) == ("page", f"{lab.url}lab/tree/{NOTEBOOK}")
        assert mine["session"]["path"] == NOTEBOOK
        assert (mine["session"]["client_id"] is None) is server_runs
    (session,) = lab.visitor(cookies={"person": "carol"}).get("/api/sessions").json()
    assert mine["session"]["kernel_id"] == session["kernel"]["id"]
    posted = re.findall(rf"202 POST /api/kernels/{session['kernel']['id']}/execute\S* \((\w+)@", lab.log)
    assert posted == (["alice", "bob", "alice"] if server_runs else [])
    for context in contexts.values():
        context.close()
