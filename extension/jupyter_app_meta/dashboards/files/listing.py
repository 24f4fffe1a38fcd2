"""The notebooks of a directory. Folders that cannot have notebooks for visitors are left out.

Walking a large tree takes long, so call it in a thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..paths import SUFFIX, find, short

SKIPPED = frozenset({"node_modules", "site-packages", "dist-packages", "bower_components"})
"""Folders of installed packages. Hidden folders, and folders whose names begin with ``_``, are never served anyway."""

ENVIRONMENT = "pyvenv.cfg"
"""The file that marks a virtual environment."""


def names(directory: Path) -> list[str]:
    """Return the names of a directory's notebooks, in the form that ``find`` takes."""
    return sorted(short(name) for name in _notebooks(directory) if _is_text(name) and find(directory, name))


def _notebooks(directory: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(directory):
        if ENVIRONMENT in files and Path(folder) != directory:
            folders.clear()
            continue
        folders[:] = [name for name in folders if name[0] not in "._" and name not in SKIPPED]
        below = Path(folder).relative_to(directory)
        yield from ((below / name).as_posix() for name in files if name.endswith(SUFFIX))


def _is_text(name: str) -> bool:
    """Whether a file's name can be written into a URL. Names from old archives may not be UTF-8."""
    try:
        name.encode()
    except UnicodeError:
        return False
    return True
