"""The notebooks of a directory. Folders that cannot have notebooks for visitors are left out.

1. A notebook's name is that of its file, without the suffix. If several files have one name, the ``.ipynb`` file is the
   notebook, then the ``.py`` file, then the ``.md`` file: jupytext keeps such pairs.
2. Other ``.py`` and ``.md`` files are not notebooks (``texts``).

Walking a large tree takes long, so call it in a thread.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from .. import paths
from ..paths import SUFFIX, SUFFIXES, short
from . import texts

SKIPPED = frozenset({"node_modules", "site-packages", "dist-packages", "bower_components"})
"""Folders of installed packages. Hidden folders, and folders whose names begin with ``_``, are never served anyway."""

CONFIGURATION = re.compile(r"(?:jupyter_.*config|voila)\.(?:py|json)", re.IGNORECASE)
"""Files that configure a server. They may have its secrets."""

ENVIRONMENT = "pyvenv.cfg"
"""The file that marks a virtual environment."""


def names(directory: Path) -> list[str]:
    """Return the names of a directory's notebooks, in the form that ``find`` takes."""
    return _served(directory, _files(directory))


def find(directory: Path, name: str) -> Path | None:
    """Return the notebook of this name in a directory; None if no such notebook may be served."""
    found = (paths.find(directory, name, suffix) for suffix in SUFFIXES)
    return next((path for path in found if path and (path.suffix == SUFFIX or _is_notebook(path))), None)


def _is_notebook(text: Path) -> bool:
    return texts.counts(text) and not CONFIGURATION.fullmatch(text.name)


def of_folder(directory: Path, below: Path) -> list[str]:
    """Return the names of the notebooks of one folder of a directory."""
    files = (path.name for suffix in SUFFIXES for path in (directory / below).glob(f"*{suffix}"))
    return _served(directory, ((below / file).as_posix() for file in files))


def _served(directory: Path, files: Iterable[str]) -> list[str]:
    """Return the names of the files that are served, in order. A name that means another file is left out."""
    found = {_name(file) for file in files if _can_be_written(file)}
    return sorted(name for name in found if short(name) == name and find(directory, name))


def unshown(directory: Path) -> Iterator[str]:
    """Yield a sentence for each text that looks like a notebook and cannot be served."""
    for file in sorted(filter(_can_be_written, _files(directory))):
        text = None if file.endswith(SUFFIX) else paths.find(directory, _name(file), Path(file).suffix)
        if text and not find(directory, _name(file)) and _looks(text) and (problem := texts.problem(text)):
            yield problem


def _looks(path: Path) -> bool:
    try:
        return texts.looks(path)
    except OSError:
        return False


def _name(file: str) -> str:
    return short(file) if file.endswith(SUFFIX) else str(PurePosixPath(file).with_suffix(""))


def _files(directory: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(directory):
        if ENVIRONMENT in files and Path(folder) != directory:
            folders.clear()
            continue
        folders[:] = [name for name in folders if name[0] not in "._" and name not in SKIPPED]
        below = Path(folder).relative_to(directory)
        yield from ((below / name).as_posix() for name in files if name.endswith(SUFFIXES))


def _can_be_written(name: str) -> bool:
    """Whether a file's name can be written into a URL. Names from old archives may not be UTF-8."""
    try:
        name.encode()
    except UnicodeError:
        return False
    return True
