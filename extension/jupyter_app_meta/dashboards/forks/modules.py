"""The author's own modules that a notebook imports, and whether one of them has changed since.

1. Which modules a notebook imports is known once it has run ahead. So before that, the files that it may import are
   looked at: those of its folder, and of the folders in it. A module that was changed meanwhile makes the template
   outdated as soon as it is ready.
2. A notebook may write a module itself, each time. So if a module has changed meanwhile twice, its second version
   counts.
3. A few files are looked at for each page. More of them are looked at once a second, because the event loop waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path

from ..runs.notebook import Version, version

FEW, OFTEN = 10, 1.0
"""How many files are looked at for each page, and the seconds between two looks at more of them."""

MOST = 200
"""How many files are looked at before a notebook runs ahead."""


class Modules:
    """The modules that one template has imported. ``written`` are those that changed while earlier ones ran ahead."""

    def __init__(self, folder: Path, written: set[Path]) -> None:
        self._folder, self._written = folder, written
        self._before: dict[Path, Version | None] = {}
        self._seen: dict[Path, Version | None] = {}
        self._are_current, self._looked = True, -OFTEN

    async def look(self) -> None:
        """Look at the files that the notebook may import."""
        self._before = await asyncio.to_thread(_versions, self._folder)

    def imported(self, files: Iterable[Path]) -> None:
        """Note the modules that the notebook has imported."""
        for file in files:
            now = version(file)
            self._seen[file] = before = self._before.get(file, now)
            if before != now and file in self._written:
                self._seen[file] = now
            elif before != now:
                self._written.add(file)
        self._before = {}

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
