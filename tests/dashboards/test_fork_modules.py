"""Whether a module of the author has changed since a template imported it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jupyter_app_meta.dashboards.forks import modules
from jupyter_app_meta.dashboards.forks.modules import FEW, Modules


def written(file: Path, text: str) -> Path:
    """Write a file, at a time of its own: a clock may be slower than a test."""
    file.parent.mkdir(exist_ok=True)
    count = file.stat().st_mtime_ns if file.exists() else 0
    file.write_text(text)
    os.utime(file, ns=(count + 1_000_000_000, count + 1_000_000_000))
    return file


async def imported(folder: Path, known: set[Path], *files: Path) -> Modules:
    """Return the modules of a template that has run ahead."""
    made = Modules(folder, known)
    await made.look()
    made.imported(files)
    return made


async def test_a_change_is_noticed(tmp_path: Path) -> None:
    """Of a file that is changed, removed, or there again."""
    file = written(tmp_path / "helper.py", "1")
    made = await imported(tmp_path, set(), file)
    assert made.are_current
    written(file, "2")
    assert not made.are_current
    made = await imported(tmp_path, set(), file)
    file.unlink()
    assert not made.are_current


@pytest.mark.parametrize("name", ["helper.py", "package/helper.py"])
async def test_a_change_while_the_notebook_runs_ahead_is_noticed(tmp_path: Path, name: str) -> None:
    """The notebook may have imported the module before."""
    file, known = written(tmp_path / name, "1"), set[Path]()
    made = Modules(tmp_path, known)
    await made.look()
    written(file, "2")
    made.imported([file])
    assert not made.are_current
    assert (await imported(tmp_path, known, file)).are_current


async def test_a_module_that_the_notebook_writes_is_no_change(tmp_path: Path) -> None:
    """Otherwise it would be run ahead again and again."""
    file, known = written(tmp_path / "made.py", "0"), set[Path]()
    found = []
    for text in "123":
        made = Modules(tmp_path, known)
        await made.look()
        written(file, text)
        made.imported([file])
        found.append(made.are_current)
    assert found == [False, True, True]


async def test_many_files_are_looked_at_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few are looked at each time."""
    files = [written(tmp_path / f"helper{number}.py", "1") for number in range(FEW + 1)]
    looks: list[Path] = []
    few = await imported(tmp_path, set(), *files[:FEW])
    many = await imported(tmp_path, set(), *files)
    monkeypatch.setattr(modules, "OFTEN", 3600.0)
    monkeypatch.setattr(modules, "version", looks.append)
    for made in (few, many):
        made._seen = dict.fromkeys(made._seen)
    assert all(made.are_current for made in (few, many, few, many))
    assert len(looks) == FEW + (FEW + 1) + FEW
