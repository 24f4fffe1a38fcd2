"""The open files of a process that is forked: written out before, opened again and at last written out by each child.

Parent and children share the position of a file that was open before the fork, and each would write what was still
buffered then. A child ends without the interpreter's end, which would write out what is buffered.
"""

from __future__ import annotations

import ctypes
import gc
import io
import os
import stat
import sys
import weakref
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

FILE: Any = io.IOBase.__base__
"""What all files of Python are, without what an abstract class does to find out."""

LATER = os.O_CREAT | os.O_EXCL | os.O_TRUNC
"""What must not happen again when a file is opened once more."""

BUFFERED = (io.BufferedWriter, io.BufferedRandom, io.TextIOWrapper)
PLAIN = (*BUFFERED, io.BufferedReader, io.BufferedRWPair, io.FileIO, io.BytesIO, io.StringIO)
"""Files that have nothing to write at their end but what is buffered."""


def descriptors() -> list[tuple[int, str]]:
    """Return the descriptors of this process, each with what it stands for. Those that just ended are left out."""
    found = []
    for number in map(int, os.listdir("/proc/self/fd")):
        with suppress(OSError):
            found.append((number, os.readlink(f"/proc/self/fd/{number}")))
    return sorted(found)


def flags(number: int) -> int:
    """Return the flags with which a descriptor was opened."""
    return next(int(text, 8) for name, text in _info(number) if name == "flags")


def is_locked(number: int) -> bool:
    """Whether this process has a lock of a file that a child would not have. A shared one of flock() is no obstacle."""
    locks = (text for name, text in _info(number) if name == "lock")
    return any(not ("FLOCK" in lock and "READ" in lock) for lock in locks)


def _info(number: int) -> list[tuple[str, str]]:
    """Return what the system knows of a descriptor: names, each with a text."""
    lines = Path(f"/proc/self/fdinfo/{number}").read_text().splitlines()
    return [(name, text) for name, _, text in (line.partition(":") for line in lines)]


def flush(before: Iterable[weakref.ref[Any]] = ()) -> list[weakref.ref[Any]]:
    """Write out what the open files of Python and C have buffered; return those of Python that there are now.

    A file that cannot be written keeps it. ``before`` are files that a template had: the garbage collector does not
    list them in a child, because they were frozen.
    """
    found = [*(file for each in before if (file := each()) is not None), *_buffered()]
    for file in found:
        with suppress(OSError, ValueError):  # it is closed or detached
            file.flush()
    ctypes.CDLL(None).fflush(None)
    return [weakref.ref(file) for file in found]


def finish() -> bool:
    """Close the compressed files and archives that this process, a child, has opened: only that writes their end.

    The interpreter's end would do so. The garbage collector does not list those of the template, which all children
    share. Returns whether there were any.
    """
    archive = getattr(sys.modules.get("zipfile"), "ZipFile", ())
    kinds = ((found, type(found)) for found in gc.get_objects())  # isinstance() would run code, as below
    ends = [
        found
        for found, kind in kinds
        if issubclass(kind, archive) or (issubclass(kind, FILE) and not issubclass(kind, PLAIN))
    ]
    for found in ends:
        with suppress(Exception):  # what a library or an author has written may raise anything
            found.close()
    return bool(ends)


def _buffered() -> list[Any]:
    # isinstance() would run code of objects that stand for others
    return [found for found in gc.get_objects() if issubclass(type(found), BUFFERED)]


def can_reopen(number: int) -> bool:
    """Whether a file can be opened again by its descriptor."""
    try:
        os.close(_opened(number))
    except OSError:
        return False
    return True


def reopen(keep: Collection[int] = ()) -> None:
    """Give this process, a child, its own position in each regular file that was open; raises OSError."""
    for number, _ in descriptors():
        if number not in keep and number > 2 and _is_regular(number):
            position, opened = os.lseek(number, 0, os.SEEK_CUR), _opened(number)
            os.lseek(opened, position, os.SEEK_SET)
            os.dup2(opened, number, inheritable=os.get_inheritable(number))
            os.close(opened)


def _opened(number: int) -> int:
    return os.open(f"/proc/self/fd/{number}", flags(number) & ~LATER)


def _is_regular(number: int) -> bool:
    with suppress(OSError):
        return stat.S_ISREG(os.fstat(number).st_mode)
    return False
