"""A later cell changes what an earlier one shows: ahead of the visitor, and in a page that has left already."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Server
from nbformat import NotebookNode
from playwright.sync_api import Browser, expect
from stage import ASK, eventually, staging, visit, write

from jupyter_app_meta.dashboards.runs.displays import Displays

PATIENCE = 60_000

FIRST = """import sys
print("one"); sys.stdout.flush(); print("two"); sys.stdout.flush(); print("hidden", file=sys.stderr)
handle = display("first", display_id="d")
own = display("own first", display_id=True)
own.update("own last")"""
"""What is printed is joined, and stderr is not shown: the display is the third output no more."""

CLEARED = """from IPython.display import clear_output
display("cleared", display_id="gone")
clear_output(wait=True)
gone = display("instead", display_id="other")"""

TASK = """import asyncio
async def work():
    await asyncio.sleep(0)
    worked.update("worked")
worked = display("works", display_id="w")
task = asyncio.create_task(work())"""
"""What the task publishes belongs to this cell, while the next one is run."""

READY = "from pathlib import Path; Path('ready').touch()"
GATE = "import time; from pathlib import Path\nwhile not Path('gate').exists(): time.sleep(0.02)"

HOSTILE = "<b id='bold'>bold</b><!--x--></script></template><i>italic</i><script>window.ran = 'once'</script>&amp;"

NOTEBOOKS = {
    "ahead": (
        FIRST,
        TASK,
        "await task",
        "display('second', display_id='d');",
        CLEARED,
        "from IPython.display import update_display\nupdate_display('nothing', display_id='gone')",
        "for number in range(20):\n    handle.update(f'last {number}')\ngone.update('instead of it')",
        "update_display('unknown', display_id='unknown')",
        READY,
    ),
    "left": (
        ASK + FIRST,
        "markup = display({'text/html': '<u>underlined</u>'}, raw=True, display_id=True)",
        GATE + f"\nhandle.update('last')\nmarkup.update({{'text/html': {HOSTILE!r}}}, raw=True)",
        "handle.update('very last')",
        "print('the' + ' end')",
    ),
}

APP = """
app = (create_app(identity_provider=People, config={"VoilaConfiguration": {"template": TEMPLATE}})
       .with_app(path="/ahead", root="ahead.ipynb", warm=WARM).with_app(path="/left", root="left.ipynb"))
"""


def serving(home: Path, template: str, *, warm: int = 0) -> Any:
    """Serve both notebooks in this template of Voila's."""
    for name, cells in NOTEBOOKS.items():
        write(home / "root" / f"{name}.ipynb", *cells)
    return staging(home, APP.replace("TEMPLATE", repr(template)).replace("WARM", str(warm)))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose pages leave as they come."""
    with serving(tmp_path_factory.mktemp("displays"), "lab", warm=1) as server:
        yield server


def shown(html: str) -> list[str]:
    """Return the texts that a page gives its script to show."""
    found = re.findall(r'<script type="application/vnd.voila.cell-output\+json">(.*?)</script>', html, re.DOTALL)
    return [json.loads(output)["data"]["text/plain"].strip("'") for output in found]


EXPECTED = ["last 19", "own last", "worked", "last 19", "instead of it"]


def test_page_that_is_made_ahead_has_what_came_last(server: Server) -> None:
    """Each place of a display has its last content and nothing older, and a cleared display stays away."""
    eventually((server.home / "root" / "ready").exists, timeout=60)
    opened = visit(server, "alice", "/ahead")
    assert shown(opened.response.text) == EXPECTED and "onetwo" in opened.html.replace("\n", "")
    opened.close()


def test_template_that_runs_all_cells_first_has_what_came_last(tmp_path: Path) -> None:
    """Cells that are rendered after the last one was run are changed where they are kept."""
    with serving(tmp_path, "classic") as server:
        opened = visit(server, "alice", "/ahead")
        assert shown(opened.response.text) == EXPECTED
        opened.close()


def test_page_that_has_left_is_changed_by_a_script(server: Server, browser: Browser) -> None:
    """The browser shows the last content in the place of the first; markup is what it was in the notebook."""
    context = browser.new_context()
    context.add_cookies([{"name": "person", "value": "alice", "url": server.url}])
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.goto(f"{server.url}left", wait_until="commit")
        page.wait_for_function("document.documentElement.innerHTML.includes('underlined')", timeout=PATIENCE)
        (server.home / "root" / "gate").touch()
        cells = page.locator("#rendered_cells")
        expect(cells).to_contain_text("very last", timeout=PATIENCE)
        expect(cells.locator("#bold")).to_have_text("bold", timeout=PATIENCE)
        expect(cells).to_contain_text("the end")
        text = cells.inner_text()
        assert "first" not in text and "own last" in text and "underlined" not in text
        assert text.index("very last") < text.index("own last") < text.index("bold") < text.index("the end")
        assert (
            page.locator(".jp-CodeCell:visible").count() == 3
        )  # cells that changed others and show nothing are hidden
        assert not errors
    finally:
        context.close()


def pieces(displays: Displays, output: NotebookNode, html: str) -> list[str]:
    """Return what a template yields of an output, in as many parts as it likes."""
    return [displays.context["display_begins"](output), html, displays.context["display_ends"](output)]


def added(displays: Displays, waiting: list[str], parts: list[str]) -> list[str]:
    """Return what waits to be sent, with these parts between two others."""
    for piece in ("<p>", *parts, "</p>"):
        waiting = displays.added(waiting, piece)
    return waiting


def test_output_that_a_template_yields_in_parts_is_changed() -> None:
    """Marks and content may come one by one; what has left is changed by a script in which nothing is markup."""
    displays, output = Displays(), NotebookNode(data={}, metadata={})
    displays.show("d", output, 0)
    first = added(displays, [], pieces(displays, output, "old"))
    displays.rendered()
    displays.update("d", {"data": {"text/plain": "new"}, "metadata": {}})
    (changed,) = displays.changed()
    assert changed["data"]["text/plain"] == "new" and not displays.changed()
    update = pieces(displays, changed, "<b></script>new</b>")
    kept, late = "".join(added(displays, first, update)), "".join(added(displays, [], update))
    assert "<b></script>new</b>" in kept and "old" not in kept and r"\u003c" not in kept
    assert r"\u003cb\u003e\u003c/script\u003enew" in late and "<b>" not in late
