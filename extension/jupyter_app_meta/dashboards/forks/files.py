"""The author's files on which a template depends, and whether one of them has changed since.

1. They are the modules that the notebook has imported, and the files that it has read. The process says which version
   of a file it read. Which modules it imports is known once it has run ahead. So before that, the files that it may
   import are looked at: those of its folder, and of the folders in it. A module that was changed meanwhile makes the
   template outdated as soon as it is ready.
2. A notebook may write a module itself, each time. So if a module has changed meanwhile twice, its second version
   counts.
3. A few files are looked at for each page. More of them are looked at once a second, because the event loop waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from itertools import chain, islice
from pathlib import Path

from ..runs.notebook import Version, version

FEW, OFTEN = 10, 1.0
"""How many files are looked at for each page, and the seconds between two looks at more of them."""

MOST = 200
"""How many files are looked at before a notebook runs ahead."""


class Files:
    """The files of one template. ``written`` are the modules that changed while earlier ones ran ahead."""

    def __init__(self, folder: Path, written: set[Path]) -> None:
        self._folder, self._written = folder, written
        self._before: dict[Path, Version | None] = {}
        self._seen: dict[Path, Version | None] = {}
        self._are_current, self._looked = True, -OFTEN

    async def look(self) -> None:
        """Look at the modules that the notebook may import."""
        self._before = await asyncio.to_thread(_versions, self._folder)

    def used(self, files: Mapping[Path, Version | None]) -> None:
        """Note the files that the notebook has read, each with its version, and the modules that it has imported."""
        for file, read in files.items():
            self._seen[file] = read or self._imported(file)
        self._before = {}

    def _imported(self, module: Path) -> Version | None:
        """Return the version of a module that counts."""
        now = version(module)
        before = self._before.get(module, now)
        if before != now and module not in self._written:
            self._written.add(module)
            return before
        return now

    @property
    def are_current(self) -> bool:
        """Whether all of them are as they were."""
        now = time.monotonic()
        if len(self._seen) <= FEW or now - self._looked >= OFTEN:
            self._are_current = all(version(file) == seen for file, seen in self._seen.items())
            self._looked = now
        return self._are_current


def _versions(folder: Path) -> dict[Path, Version | None]:
    files = chain(folder.glob("*.py"), folder.glob("*/*.py"))
    return {file: version(file) for file in islice(files, MOST)}
