"""Whether a file of the author has changed since a template imported or read it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from jupyter_app_meta.dashboards.forks import files as looked_at
from jupyter_app_meta.dashboards.forks.files import FEW, Files
from jupyter_app_meta.dashboards.runs.notebook import version


def written(file: Path, text: str) -> Path:
    """Write a file, at a time of its own: a clock may be slower than a test."""
    file.parent.mkdir(exist_ok=True)
    count = file.stat().st_mtime_ns if file.exists() else 0
    file.write_text(text)
    os.utime(file, ns=(count + 1_000_000_000, count + 1_000_000_000))
    return file


async def imported(folder: Path, known: set[Path], *files: Path) -> Files:
    """Return the modules of a template that has run ahead."""
    made = Files(folder, known)
    await made.look()
    await made.used(dict.fromkeys(files))
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
    made = Files(tmp_path, known)
    await made.look()
    written(file, "2")
    await made.used({file: None})
    assert not made.are_current
    assert (await imported(tmp_path, known, file)).are_current


async def test_what_was_read_has_the_version_that_was_read(tmp_path: Path) -> None:
    """It may have changed before the notebook had run ahead, each time again."""
    file, known = written(tmp_path / "data.csv", "1"), set[Path]()
    for text, changes in ("2", True), ("3", True), ("4", False):
        made, read = Files(tmp_path, known), version(file)
        await made.look()
        if changes:
            written(file, text)
        await made.used({file: read})
        assert made.are_current is not changes


async def test_a_module_that_the_notebook_writes_is_no_change(tmp_path: Path) -> None:
    """Otherwise it would be run ahead again and again."""
    file, known = written(tmp_path / "made.py", "0"), set[Path]()
    found = []
    for text in "123":
        made = Files(tmp_path, known)
        await made.look()
        written(file, text)
        await made.used({file: None})
        found.append(made.are_current)
    assert found == [False, True, True]


async def test_many_files_are_looked_at_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few are looked at each time."""
    files = [written(tmp_path / f"helper{number}.py", "1") for number in range(FEW + 1)]
    looks: list[Path] = []
    few = await imported(tmp_path, set(), *files[:FEW])
    many = await imported(tmp_path, set(), *files)
    monkeypatch.setattr(looked_at, "OFTEN", 3600.0)
    monkeypatch.setattr(looked_at, "version", looks.append)
    for made in (few, many):
        made._seen = dict.fromkeys(made._seen)
    assert all(made.are_current for made in (few, many, few, many))
    assert len(looks) == FEW + (FEW + 1) + FEW


async def test_another_file_system_that_does_not_answer_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop goes on, one thread waits, and what cannot be looked at counts as changed until it answers."""
    here, there = written(tmp_path / "data.csv", "1"), written(tmp_path / "mount" / "data.csv", "1")
    monkeypatch.setattr(looked_at, "_device", lambda path: path.parent.name == "mount")
    made, answers, looks = Files(tmp_path, set()), threading.Event(), list[Path]()
    await made.used({file: version(file) for file in (here, there)})
    await made.look_elsewhere()
    assert made.are_current

    def slow(file: Path) -> object:
        looks.append(file)
        assert file == here or answers.wait(60)
        return version(file)

    monkeypatch.setattr(looked_at, "version", slow)
    monkeypatch.setattr(looked_at, "PATIENCE", 0.01)
    try:
        for _ in range(3):
            await made.look_elsewhere()
            assert not made.are_current
        assert looks.count(there) <= 1
    finally:
        answers.set()
    monkeypatch.setattr(looked_at, "PATIENCE", 60.0)
    await made.look_elsewhere()
    assert made.are_current
    written(there, "2")
    await made.look_elsewhere()
    assert not made.are_current
