"""Files that the server itself reads: users, secrets, its configuration and its store. They are never served.

An option's value that is an existing file is one of them, whatever the option: so an option that is new or another
package's needs no entry here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_sqlite = re.compile(r"\s*sqlite(?:\+\w+)?:///(.*?)\s*")


class Private(tuple[Path, ...]):
    """The files that options name, whether they exist or not."""

    __slots__ = ()

    @classmethod
    def of(cls, config: Mapping[str, Any], *more: str | Path | None) -> Private:
        """Return the files that the options of a configuration name, and these."""
        named = [*_named(config), *(each for each in more if each)]
        return cls(Path(each).expanduser().absolute() for each in named)

    def have(self, file: Path) -> bool:
        """Whether a file is one of them, under any name, or is beside one as its copy or journal (``state.db-wal``)."""
        return any(_is(file, each) for each in self)


NONE = Private()


def _named(config: Mapping[str, Any]) -> Iterator[str | Path]:
    for section in config.values():
        for option, given in section.items() if isinstance(section, Mapping) else ():
            if not isinstance(given, str | Path):
                continue
            if store := _sqlite.fullmatch(str(given)):
                yield store[1]
            elif option == "file" or option.endswith("_file") or _is_file(given):
                yield given


def _is_file(given: str | Path) -> bool:
    try:
        return Path(given).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):  # a text that is not a path
        return False


def _is(file: Path, named: Path) -> bool:
    try:
        is_beside = file.parent == named.parent.resolve() and file.name.startswith(named.name)
        return is_beside or (named.exists() and file.samefile(named))
    except (OSError, RuntimeError):
        return True  # a file that cannot be told from a private one is not served
