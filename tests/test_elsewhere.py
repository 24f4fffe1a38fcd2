"""Without a server: nbconvert, papermill and pytest run the same code, and there is no visitor."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HELLO = Path(__file__).parents[1] / "notebooks" / "01_hello.ipynb"
TEST = """
from jupyter_app_meta import app_meta
from jupyter_app_meta.testing import fake_request

def test_nobody():
    assert app_meta().request is None and app_meta().user is None and app_meta().mode == "script"

@fake_request(user="alice", query={"region": "emea"})
def test_somebody():
    assert app_meta().require_user().username == "alice" and app_meta().mode == "test"
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Run a program of this environment and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "command",
    [
        ("nbconvert", "--to", "notebook", "--execute", "--output-dir", ".", "--output", "out.ipynb", HELLO),
        ("papermill", HELLO, "out.ipynb", "--no-progress-bar"),
    ],
    ids=["nbconvert", "papermill"],
)
def test_notebook_runs_without_a_visitor(command: tuple[str | Path, ...], tmp_path: Path) -> None:
    """A notebook that greets its visitor runs to its end without one, and uses no name."""
    run(*command, cwd=tmp_path)
    assert "Welcome, whoever you are!" in (tmp_path / "out.ipynb").read_text()


def test_pytest_runs_without_a_visitor(tmp_path: Path) -> None:
    """Authors' tests see no user, or the user that they give to ``fake_request``."""
    (tmp_path / "test_author.py").write_text(TEST)
    assert "2 passed" in run("pytest", "-q", "test_author.py", cwd=tmp_path)


BEGIN = """from jupyter_app_meta.testing import fake_request
fake = fake_request(user="alice", query={"a": "1"}).start()"""
ASK = """from jupyter_app_meta import app_meta
meta = app_meta()
print(meta.require_user().username, meta.request.query_params["a"], meta.mode)"""


def test_first_cell_may_inject_a_visitor(tmp_path: Path) -> None:
    """A fake request that is begun in one cell holds in the next ones, up to the cell that stops it."""
    cells = (BEGIN, ASK, "fake.stop()", "print('and then', app_meta().user, app_meta().mode)")
    empty: dict[str, Any] = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    made = {"cells": [{**empty, "source": cell} for cell in cells], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    (tmp_path / "page.ipynb").write_text(json.dumps(made))
    run("nbconvert", "--to", "markdown", "--execute", "page.ipynb", cwd=tmp_path)
    shown = (tmp_path / "page.md").read_text()
    assert "    alice 1 test\n" in shown and "    and then None script\n" in shown
