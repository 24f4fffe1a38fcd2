"""The files that a notebook reads ahead of its visitors: if one changes, what was read is old.

1. A file counts that Python opens for reading. What C code opens by itself, such as a database, is not seen.
2. Libraries, the system's files and what applications keep in hidden folders do not count: they hardly change, or
   for other reasons. Modules do not count here: ``authors`` knows those that are imported.
3. A file that this process has written itself does not count. It would always have changed.
4. A file has the version that it had when it was read first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from typing import Any

from ... import authors

Version = tuple[int, int, int]
"""The time of the last change in nanoseconds, the size in bytes, and the file's number."""

MOST = 1000
"""How many files are kept in mind."""

SYSTEM = ("/proc", "/sys", "/dev", "/usr", "/etc", "/lib", "/run")
MODULES = (".py", ".pyc", ".so")


class Reads:
    """The files that this process has read, until it is a child."""

    def __init__(self) -> None:
        self._read: dict[str, Version] = {}
        self._written: set[str] = set()
        self._is_over = False
        self._folder = Path.cwd()

    def watch(self) -> None:
        """Note from now on which files are opened. Python cannot stop that; ``end`` makes it cheap."""
        sys.addaudithook(self._hear)

    def end(self) -> None:
        """Note nothing any more."""
        self._is_over = True

    def files(self) -> Iterator[tuple[str, Version]]:
        """Yield the files that the notebook has read, with the versions that it has read."""
        for path, version in tuple(self._read.items()):
            if _is_data(Path(path), self._folder):
                yield path, version

    def _hear(self, event: str, given: tuple[Any, ...]) -> None:
        if event != "open" or self._is_over:
            return
        with suppress(Exception):  # it is not our business whether this can be opened; an error would forbid it
            name, _, flags = given
            if isinstance(name, str | bytes):
                self._note(os.path.abspath(os.fsdecode(name)), is_read=flags & os.O_ACCMODE == os.O_RDONLY)

    def _note(self, path: str, *, is_read: bool) -> None:
        if not is_read:
            self._read.pop(path, None)
            if len(self._written) < MOST:
                self._written.add(path)
            return
        if path in self._read or path in self._written or len(self._read) >= MOST or path.endswith(MODULES):
            return
        if found := version(path):
            self._read[path] = found


def version(path: str) -> Version | None:
    """Return the version of a regular file; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if S_ISREG(found.st_mode) else None


def _is_data(path: Path, folder: Path) -> bool:
    """Whether a file may be the author's. What is below the notebook's folder is, wherever that is."""
    if authors.is_installed(str(path)) or authors.is_standard(str(path)):
        return False
    if path.is_relative_to(folder):
        return not _is_hidden(path.relative_to(folder))
    is_systems = any(map(path.is_relative_to, (*SYSTEM, sys.prefix, sys.base_prefix)))
    return not is_systems and not _is_hidden(path)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
