"""The author's files on which a template depends, and whether one of them has changed since.

1. They are the modules that the notebook has imported, and the files that it has read. The process says which version
   of a file it read. Which modules it imports is known once it has run ahead. So before that, the files that it may
   import are looked at: those of its folder, and of the folders in it. A module that was changed meanwhile makes the
   template outdated as soon as it is ready.
2. A notebook may write a module itself, each time. So if a module has changed meanwhile twice, its second version
   counts.
3. A few files are looked at for each page. More of them are looked at once a second, because the event loop waits.
4. Files of another file system than the notebook's are looked at in a thread: it may be another machine's, which does
   not answer. Then they count as changed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from itertools import chain, islice
from pathlib import Path

from ..runs.notebook import Version, version

FEW, OFTEN = 10, 1.0
"""How many files are looked at for each page, and the seconds between two looks at more of them."""

PATIENCE = 1.0
"""Seconds for which a visitor waits for another file system."""

MOST = 200
"""How many files are looked at before a notebook runs ahead."""


class Files:
    """The files of one template. ``written`` are the modules that changed while earlier ones ran ahead."""

    def __init__(self, folder: Path, written: set[Path]) -> None:
        self._folder, self._written = folder, written
        self._before: dict[Path, Version | None] = {}
        self._seen: dict[Path, Version | None] = {}
        self._elsewhere: dict[Path, Version | None] = {}
        self._are_current, self._looked = True, -OFTEN
        self._are_elsewhere_current, self._looked_elsewhere = True, -OFTEN
        self._looking: asyncio.Future[bool] | None = None

    async def look(self) -> None:
        """Look at the modules that the notebook may import."""
        self._before = await asyncio.to_thread(_versions, self._folder)

    async def used(self, files: Mapping[Path, Version | None]) -> None:
        """Note the files that the notebook has read, each with its version, and the modules that it has imported."""
        await asyncio.to_thread(self._note, files)
        self._before = {}

    def _note(self, files: Mapping[Path, Version | None]) -> None:
        device = _device(self._folder)
        for file, read in files.items():
            place = self._seen if _device(file) == device else self._elsewhere
            place[file] = read or self._imported(file)

    def _imported(self, module: Path) -> Version | None:
        """Return the version of a module that counts."""
        now = version(module)
        before = self._before.get(module, now)
        if before != now and module not in self._written:
            self._written.add(module)
            return before
        return now

    async def look_elsewhere(self) -> None:
        """Look at the files of other file systems. All who wait meanwhile wait for one look."""
        if not self._elsewhere or not _is_due(self._elsewhere, self._looked_elsewhere):
            return
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().run_in_executor(None, _are_the_same, self._elsewhere)
        await asyncio.wait((self._looking,), timeout=PATIENCE)
        self._are_elsewhere_current = self._looking.done() and self._looking.result()
        self._looked_elsewhere = time.monotonic()

    @property
    def are_current(self) -> bool:
        """Whether all of them are as they were."""
        if _is_due(self._seen, self._looked):
            self._are_current = _are_the_same(self._seen)
            self._looked = time.monotonic()
        return self._are_current and self._are_elsewhere_current


def _is_due(files: Mapping[Path, Version | None], looked: float) -> bool:
    return len(files) <= FEW or time.monotonic() - looked >= OFTEN


def _are_the_same(files: Mapping[Path, Version | None]) -> bool:
    return all(version(file) == seen for file, seen in files.items())


def _device(path: Path) -> int | None:
    """Return the number of a path's file system; None if there is no such path."""
    try:
        return os.stat(path).st_dev
    except OSError:
        return None


def _versions(folder: Path) -> dict[Path, Version | None]:
    files = chain(folder.glob("*.py"), folder.glob("*/*.py"))
    return {file: version(file) for file in islice(files, MOST)}
