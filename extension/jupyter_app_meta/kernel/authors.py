"""Whose code a frame runs: the author's own, or a library's.

1. The author's own code is a cell, or a module whose file is neither the standard library's nor installed.
2. A file is installed below ``site-packages`` or ``dist-packages``, and below a folder of ``sys.path``
   that has ``*.dist-info`` in it (``pip install --target``). This package is a library, in any folder.
3. Code without a module belongs to a cell if its globals are the shell's. Text run by ``exec`` belongs to its caller.
4. Code whose origin is unknown (no file, an archive, generated code) is a library's.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

INSTALLED = frozenset(("site-packages", "dist-packages", "__pypackages__"))
OWN = Path(__file__).resolve().parent.parent
STANDARD = frozenset(
    Path(folder).resolve()
    for folder in (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), os.path.dirname(threading.__file__))
    if folder
)


def wrote(frame: FrameType | None, shell: Any) -> bool:
    """Return whether the author, whose shell this is, wrote the code that runs in the frame."""
    while frame is not None:
        names = frame.f_globals
        if is_installed(frame.f_code.co_filename) or is_standard(frame.f_code.co_filename):
            return False
        if names is getattr(shell, "user_global_ns", None) or names is getattr(shell, "user_ns", None):
            return True
        if names.get("__file__") is not None or names.get("__spec__") is not None:
            return _is_authors(names)
        if frame.f_code.co_name != "<module>":
            return False
        frame = frame.f_back  # the frame runs a text that its caller executes
    return False


def made(value: Any) -> bool:
    """Return whether a function or class does not belong to an installed library."""
    while isinstance(value, partial):
        value = value.func
    name = getattr(value, "__module__", None) or type(value).__module__
    file = getattr(sys.modules.get(name), "__file__", None)
    return not (isinstance(file, str) and is_installed(file))


def modules() -> Iterator[str]:
    """Yield the files of the author's own modules that are imported."""
    for module in tuple(sys.modules.values()):
        names = module.__dict__ if type(module) is ModuleType else {}  # others may do anything when they are asked
        if names.get("__file__") and _is_authors(names):
            yield os.path.abspath(names["__file__"])


def _is_authors(names: Mapping[str, Any]) -> bool:
    file = names.get("__file__") or getattr(names["__spec__"], "origin", None)
    return isinstance(file, str) and _exists(file) and not (is_installed(file) or is_standard(file))


@lru_cache(maxsize=1024)
def _exists(file: str) -> bool:
    return os.path.isfile(file)


@lru_cache(maxsize=1024)
def is_standard(file: str) -> bool:
    """Return whether the file is the standard library's, and not installed beside it."""
    return file.startswith("<frozen ") or (not is_installed(file) and any(_below(path, STANDARD) for path in _of(file)))


@lru_cache(maxsize=1024)
def is_installed(file: str) -> bool:
    """Return whether the file is an installed library's, or this package's."""
    if file.startswith("<"):
        return False
    return any(
        not INSTALLED.isdisjoint(part.lower() for part in path.parts)
        or any(part.endswith(".egg") for part in path.parts)
        or _below(path, (OWN,))
        or any(_below(path, (root,)) for root in _targets())
        for path in _of(file)
    )


def _of(file: str) -> tuple[Path, Path]:
    """Return the path as it is written, and the path behind its links."""
    path = Path(os.path.abspath(file))
    return path, Path(os.path.realpath(path))


def _below(path: Path, folders: Iterable[Path]) -> bool:
    return any(folder in path.parents for folder in folders)


def _targets() -> list[Path]:
    """Return the folders of the path into which something was installed."""
    return [Path(folder) for folder in tuple(sys.path) if folder and _has_metadata(folder)]


@lru_cache(maxsize=256)
def _has_metadata(folder: str) -> bool:
    try:
        return any(name.endswith(".dist-info") for name in os.listdir(folder))
    except OSError:
        return False
