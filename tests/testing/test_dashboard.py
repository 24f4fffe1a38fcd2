"""``testing.dashboard``: a whole notebook, run on a kernel for a made-up visitor."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_app_meta.errors import BadNotebook, DashboardError, KernelMissing
from jupyter_app_meta.testing import dashboard
from jupyter_app_meta.testing.page import Page

PROJECT = Path(__file__).resolve().parents[2]

PREAMBLE = """
import threading, asyncio, sys
import ipywidgets as widgets
from IPython.display import HTML, Markdown, display
from jupyter_app_meta import app_meta, session, shared, visitor
"""
CELLS = (
    PREAMBLE,
    "print('one'); print('to the author', file=sys.stderr); print('two')",
    "handle = display('old', display_id=True)",
    "handle.update('new'); HTML('<p>bold <b>words</b><script>hidden()</script></p>')",
    "print('before'); from IPython.display import clear_output; clear_output(wait=True); print('after')",
    """
seen = []; thread = threading.Thread(target=lambda: seen.append(app_meta().user.username))
thread.start(); thread.join(); await asyncio.sleep(0); print(seen, app_meta().mode)
""",
    """
name = widgets.Text(description='Name'); day = widgets.DatePicker(description='Day')
many = widgets.SelectMultiple(options=['a', 'b', 'c'], description='Many')
off = widgets.Button(description='Off', disabled=True); fails = widgets.Button(description='Fails')
tick = widgets.Checkbox(description='Tick'); slow = widgets.Button(description='Slow')
def fail(_): raise ValueError('no such button')
def wait(_): import time; time.sleep(60)
fails.on_click(fail); slow.on_click(wait)
widgets.HBox([name, day, many, off, fails, tick, slow])
""",
    """
out = widgets.Output()
def tell(change):
    with out: print(change['new'], app_meta().user.username)
for each in (name, day, many, tick): each.observe(tell, 'value')
out
""",
    """
session.state['count'] = visitor.state.get('count', 0) + 1
print('state', session.state['count'], shared.state.get('motto'))
""",
    "twins = [widgets.Button(description='Twin') for _ in range(2)]; display(*twins)",
)
ALICE = {"username": "alice", "groups": {"editors"}}


def written(folder: Path, *cells: str, **metadata: Any) -> Path:
    """Write a notebook of these code cells, and return its path."""
    path = folder / "page.ipynb"
    found = [{"cell_type": "code", "metadata": {}, "source": source.splitlines(True)} for source in cells]
    path.write_text(json.dumps({"cells": found, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One page for all tests that only look and click."""
    path = written(tmp_path_factory.mktemp("page"), *CELLS)
    with dashboard(path, user=ALICE, timeout=10, state={"count": 41}, shared={"motto": "hello"}) as page:
        assert page.error is None
        yield page


def test_a_page_has_what_its_visitor_reads(page: Page) -> None:
    """Text is without markup and without stderr, and displays are as they were changed last."""
    assert page.cells[1].text == "one\ntwo"
    assert page.cells[2].text == "'new'"
    assert page.cells[3].text == "bold words"
    assert page.cells[4].text == "after"
    assert "to the author" not in page.text + page.html
    assert "<b>words</b>" in page.html
    assert page.cells[3].number == 4


def test_all_code_sees_the_visitor(page: Page) -> None:
    """Cells, threads and state see the made-up visitor, and the mode is that of a test."""
    assert page.cells[5].text == "['alice'] test"
    assert page.cells[8].text == "state 42 hello"


def test_widgets_are_used_as_a_visitor_does(page: Page) -> None:
    """Values reach callbacks, which know who is looking, and what they show is on the page."""
    page.widget("Name").set("Ada")
    page.widget("Many").set(["a", "c"])
    page.widget("Day").set(dt.date(2026, 2, 1))
    page.widget("Tick").click()
    assert page.widget("Many").value == ("a", "c")
    assert page.cells[7].text.splitlines() == [
        "Ada alice",
        "('a', 'c') alice",
        "2026-02-01 alice",
        "True alice",
    ]


@pytest.mark.parametrize(
    ("act", "error", "words"),
    [
        (lambda page: page.widget("Many").set(["z"]), ValueError, "no choice 'z'; it has a, b, c"),
        (lambda page: page.widget("Off").click(), ValueError, "disabled"),
        (lambda page: page.widget("Off").set(1), ValueError, "disabled"),
        (lambda page: page.widget("Fails").set(1), TypeError, "click()"),
        (lambda page: page.widget("Name").click(), TypeError, "set()"),
        (lambda page: page.widget("Nome"), LookupError, "'Name', 'Day'"),
        (lambda page: page.widget("Twin"), LookupError, "2 widgets"),
    ],
)
def test_what_a_visitor_cannot_do_is_refused(
    page: Page, act: Callable[[Page], object], error: type[Exception], words: str
) -> None:
    """An error names the widget, and what is there."""
    with pytest.raises(error, match=words.replace("(", r"\(").replace(")", r"\)")):
        act(page)


def test_errors_of_callbacks_are_the_pages_error(page: Page) -> None:
    """A callback that fails, or takes too long, does not fail the test by itself."""
    page.widget("Fails").click()
    assert page.error is not None
    assert (page.error, page.error.name, page.error.cell) == ("ValueError: no such button", "ValueError", None)
    assert "def fail" in page.error.traceback or "fail(" in page.error.traceback
    page.widget("Slow").click()
    assert page.error == "TimeoutError: it took longer than 10 seconds"


def test_a_page_ends_at_the_cell_that_fails(tmp_path: Path) -> None:
    """The error has its cell, and another visitor may fare better; tests in an async function work too."""
    cells = "print('first')", "1 / (app_meta().user.username != 'bob')", "print('last')"
    path = written(tmp_path, "from jupyter_app_meta import app_meta", *cells)
    with dashboard(path, user="bob", query={"a": "1"}) as page:
        assert page.error is not None
        assert (page.error.name, page.error.message, page.error.cell) == ("ZeroDivisionError", "division by zero", 3)
        assert page.text == "first"
        alice = page.as_("alice")
        assert (alice.error, alice.text) == (None, "first\n1.0\nlast")


async def test_a_dead_kernel_is_an_error(tmp_path: Path) -> None:
    """A kernel that ends ends the page, and no test waits for it. It works while an event loop runs."""
    with dashboard(written(tmp_path, "import os; os._exit(3)", "1"), user="alice") as page:
        assert page.error is not None
        assert (page.error.name, page.error.cell) == ("KernelEnded", 1)


def test_what_cannot_run_is_refused(tmp_path: Path) -> None:
    """Each refusal says what to do, before a kernel starts."""
    with pytest.raises(KernelMissing, match="needs the kernel cobol"):
        dashboard(written(tmp_path, "1", kernelspec={"name": "cobol"}))
    with pytest.raises(TypeError, match="user must be"):
        dashboard(written(tmp_path, "1"), user=5)  # type: ignore[arg-type]  # this is the mistake
    with pytest.raises(FileNotFoundError):
        dashboard(tmp_path / "absent.ipynb")
    (tmp_path / "bad.ipynb").write_text("{")
    with pytest.raises(BadNotebook, match=r"bad\.ipynb"):
        dashboard(tmp_path / "bad.ipynb")


def test_a_kernel_without_the_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names what to install, and where."""
    folder = tmp_path / "kernels" / "bare"
    folder.mkdir(parents=True)
    hide = "import sys; sys.modules['jupyter_app_meta'] = None; "
    hide += "from ipykernel.kernelapp import launch_new_instance as run; run()"
    spec = {"argv": [sys.executable, "-c", hide, "-f", "{connection_file}"], "display_name": "b", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    with pytest.raises(DashboardError, match="jupyter-app-meta is installed"):
        dashboard(written(tmp_path, "1", kernelspec={"name": "bare"}))


def test_the_documentations_example_passes(tmp_path: Path) -> None:
    """Five visitors, by the fixture of the plugin, in a pytest of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "test_sales.py"]
    done = subprocess.run(command, cwd=PROJECT / "examples/testing", capture_output=True, text=True, check=False)
    assert "5 passed" in done.stdout, done.stdout + done.stderr


def test_page_notes_what_code_does_to_it(tmp_path: Path) -> None:
    """A made-up browser is seen, and the page has the query, the title, the cookies and the way out."""
    notebook = tmp_path / "page.py"
    notebook.write_text(
        "# %%\nfrom jupyter_app_meta import app_meta\npage = app_meta().page\n"
        "print(app_meta().browser.timezone, app_meta().browser.viewport.width)\n"
        "# %%\npage.title = 'Sales'; page.query.set(region='emea'); page.set_cookie('region', 'emea')\n"
        "page.redirect('/archive')\n"
    )
    browser = {"timezone": "Asia/Tokyo", "viewport": (390, 844)}
    with dashboard(notebook, user="alice", browser=browser, locale="ja") as page:
        assert page.error is None and page.text == "Asia/Tokyo 390"
        assert (page.title, page.query, page.redirected) == ("Sales", {"region": ["emea"]}, "/archive")
        assert page.cookies_set == {"region": "emea"}
        bob = page.as_("bob", browser=None)
        assert bob.error and bob.error.name == "AttributeError" and (bob.title, bob.query) == (None, {})
