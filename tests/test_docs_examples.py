"""Code in the documentation runs as it stands, for a made-up visitor: Python in plain scripts, magics in IPython."""

from __future__ import annotations

import atexit
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser
from traitlets.config import Config

from jupyter_app_meta.testing import FakeRequest, fake_request

PROJECT = Path(__file__).resolve().parent.parent
TEXTS = {page: page.read_text("utf-8") for page in sorted([PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")])}
CELLS = [(page, cell) for page, text in TEXTS.items() for cell in re.findall(r"```ipython\n(.*?)```", text, re.DOTALL)]


def visitor() -> FakeRequest:
    """Return the request that the examples are about."""
    return fake_request(user="alice", headers={"accept-language": "en"}, query={"region": "emea"}, url="/sales")


@pytest.fixture(scope="module")
def shell() -> Iterator[Any]:
    """IPython's shell, with the extension loaded."""
    hook, main = sys.displayhook, sys.modules["__main__"]
    config = Config({"HistoryManager": {"enabled": False}, "InteractiveShell": {"colors": "nocolor"}})
    shell: Any = InteractiveShell.instance(config=config)  # typed in part only
    shell.run_line_magic("load_ext", "jupyter_app_meta")
    shell.run_cell("from jupyter_app_meta import app_meta").raise_error()  # as the page says above
    yield shell
    shell.run_line_magic("unload_ext", "jupyter_app_meta")
    atexit.unregister(shell.atexit_operations)
    shell.atexit_operations()
    InteractiveShell.clear_instance()
    sys.displayhook, sys.modules["__main__"] = hook, main


@pytest.mark.parametrize(
    "page", [page for page, text in TEXTS.items() if "```python" in text], ids=lambda page: page.stem
)
def test_each_example_runs(page: Path) -> None:
    """The examples of a page run one after the other, as a reader would paste them into one notebook.

    They are the fences that say ``python``; fragments say ``{code-block} python``.
    """
    found: list[Any] = list(Sybil(parsers=[PythonCodeBlockParser()], path=str(page.parent)).parse(page))
    assert found
    with visitor():
        for example in found:
            example.evaluate()


@pytest.mark.parametrize(
    ("page", "cell"), CELLS, ids=[f"{page.stem}-{number}" for number, (page, _) in enumerate(CELLS)]
)
def test_each_cell_runs(page: Path, cell: str, shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A cell with magics runs in IPython and shows something."""
    with visitor():
        shell.run_cell(cell).raise_error()
    assert "alice" in capsys.readouterr().out
