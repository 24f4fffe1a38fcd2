"""The files that a notebook reads ahead of its visitors: if one changes, what was read is old. And those that it makes.

1. A file counts that Python opens for reading. What C code opens by itself, such as a database, is not seen.
2. Libraries, the system's files and what applications keep in hidden folders do not count: they hardly change, or
   for other reasons. Modules do not count here: ``authors`` knows those that are imported.
3. A file that this process has written itself does not count. It would always have changed.
4. A file has the version that it had when it was read first.
5. A file or folder that was not there before is one that the notebook has made, perhaps for one visitor: its name may
   be a random one, such as those of ``tempfile``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePath
from stat import S_ISREG
from typing import Any

from ... import authors

Version = tuple[int, int, int]
"""The time of the last change in nanoseconds, the size in bytes, and the file's number."""

MOST = 1000
"""How many files are kept in mind."""

SYSTEM = ("/proc", "/sys", "/dev", "/usr", "/etc", "/lib", "/run")
MODULES = (".py", ".pyc", ".so", f"{os.sep}__pycache__")

HEARD = {"open": 0, "os.mkdir": 0, "os.rename": 1}
"""What Python is about to do, and where in its arguments the name is."""


class Reads:
    """The files that this process has read, and what it has made, until it is a child."""

    def __init__(self) -> None:
        self._read: dict[str, Version] = {}
        self._written: set[str] = set()
        self._made: dict[str, None] = {}
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

    @property
    def is_full(self) -> bool:
        """Whether there may be more files than were kept in mind."""
        return len(self._read) >= MOST

    def made(self) -> str | None:
        """Return a file or folder that was not there before and is there now; None if there is none."""
        return next(filter(os.path.lexists, self._made), None)

    def _hear(self, event: str, given: tuple[Any, ...]) -> None:
        if self._is_over or event not in HEARD:
            return
        with suppress(Exception):  # it is not our business whether this can be opened; an error would forbid it
            name = given[HEARD[event]]
            if not isinstance(name, str | bytes | PurePath):
                return
            path = os.path.abspath(os.fsdecode(name))
            if event == "open" and given[2] & os.O_ACCMODE == os.O_RDONLY:
                self._note_read(path)
            else:
                self._note_written(path)

    def _note_written(self, path: str) -> None:
        self._read.pop(path, None)
        if len(self._made) < MOST and not (path in self._written or _is_librarys(path) or os.path.lexists(path)):
            self._made[path] = None
        if len(self._written) < MOST:
            self._written.add(path)

    def _note_read(self, path: str) -> None:
        if path in self._read or path in self._written or self.is_full or _is_librarys(path):
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


def _is_librarys(path: str) -> bool:
    """Whether a file is certainly no data. Libraries read hundreds of files, which would leave no room for others."""
    return path.endswith(MODULES) or not authors.INSTALLED.isdisjoint(path.split(os.sep))


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
