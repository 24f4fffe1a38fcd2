"""``jupyter app-meta run``: a notebook for a made-up visitor, in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from jupyter_app_meta.cli import main


def written(folder: Path, *cells: str) -> Path:
    """Write a notebook of these code cells, and return its path."""
    path = folder / "page.ipynb"
    found = [{"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": cell} for n, cell in enumerate(cells)]
    path.write_text(json.dumps({"cells": found, "metadata": {"mine": 1}, "nbformat": 4, "nbformat_minor": 5}))
    return path


ASK = """from jupyter_app_meta import app_meta
meta = app_meta(); user, request = meta.require_user(), meta.request
print(user.username, user.groups, request.query_params.getlist("region"), request.cookies["theme"])
print(request.headers["accept-language"], meta.mode)"""
ALICE = ["--as", "alice", "--group", "managers", "--query", "region=emea", "--query", "region=a=b", "--cookie"]
ALICE += ["theme=dark", "--header", "Accept-Language=de"]


def test_a_notebook_is_written_with_its_outputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The visitor has all that was given, and the written notebook is valid and keeps its metadata."""
    import nbformat

    out = tmp_path / "out.ipynb"
    assert main(["run", str(written(tmp_path, ASK)), *ALICE, "-o", str(out)]) == 0
    found = nbformat.read(out, 4)
    nbformat.validate(found)
    [cell] = found.cells
    assert cell.outputs[0].text == "alice ('managers',) ['emea', 'a=b'] dark\nde test\n"
    assert (cell.execution_count, found.metadata.mine) == (1, 1)
    assert capsys.readouterr().out == ""


def test_a_cell_that_fails_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was shown before is printed, and stderr has the cell and its traceback."""
    path = written(tmp_path, "print('begun')", ASK, "print('never')")
    assert main(["run", str(path)]) == 1
    shown = capsys.readouterr()
    assert shown.out == "begun\n"
    assert "cell 2 of page.ipynb failed: NotAuthenticated" in shown.err
    assert "require_user" in shown.err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["absent.ipynb"], 1, "No such file"),
        (["page.ipynb", "--group", "x"], 2, "--group needs --as"),
        (["page.ipynb", "--query", "region"], 2, "--query must be NAME=VALUE"),
        (["page.ipynb", "--timeout", "0"], 2, "--timeout must be more than 0 seconds, not 0."),
        (["page.ipynb", "--aas", "alice"], 2, "unknown option --aas; did you mean --as?"),
    ],
)
def test_what_cannot_run_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: Sequence[str],
    status: int,
    said: str,
) -> None:
    """The refusal is one line, before a kernel starts."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "1")
    assert main(["run", *arguments]) == status
    shown = capsys.readouterr().err
    assert said in shown and shown.count("\n") == 1
