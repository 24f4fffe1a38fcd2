"""The users of a file, read again whenever the file changes.

If a changed file cannot be read as users, the log says why, and the users of its last good version stay. If the file is
gone, there are no users.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from ...errors import IdentityError
from . import people
from .people import People

Version = tuple[int, int, int]


class Watched:
    """A file of users; raises IdentityError if it cannot be read at first."""

    def __init__(self, path: Path, log: logging.Logger) -> None:
        self.path, self._log = path, log
        self._version = self._seen()
        self._people: People = people.read(path)
        self._warn_readable()

    def people(self) -> People:
        """Return the present users."""
        version = self._seen()
        if version != self._version:
            self._version = version
            self._read_again()
        return self._people

    def _seen(self) -> Version | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read_again(self) -> None:
        try:
            self._people = people.read(self.path)
        except IdentityError as error:
            if self._version is None:
                self._people = {}
            state = "no visitor is known" if self._version is None else "the users of its last good version stay"
            self._log.error("%s Until then %s.", error, state)
        else:
            self._log.info("Read %s again: %d users.", self.path, len(self._people))

    def _warn_readable(self) -> None:
        if os.name == "posix" and os.stat(self.path).st_mode & 0o077:
            self._log.warning("%s can be read by other accounts: chmod 600 %s", self.path, self.path)
