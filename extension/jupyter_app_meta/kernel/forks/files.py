"""The open files of a process that is forked: written out before, and opened again by each child.

Parent and children share the position of a file that was open before the fork, and each would write what was still
buffered then.
"""

from __future__ import annotations

import ctypes
import gc
import io
import os
import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

LATER = os.O_CREAT | os.O_EXCL | os.O_TRUNC
"""What must not happen again when a file is opened once more."""

BUFFERED = (io.BufferedWriter, io.BufferedRandom, io.TextIOWrapper)


def descriptors() -> list[tuple[int, str]]:
    """Return the descriptors of this process, each with what it stands for. Those that just ended are left out."""
    found = []
    for number in map(int, os.listdir("/proc/self/fd")):
        with suppress(OSError):
            found.append((number, os.readlink(f"/proc/self/fd/{number}")))
    return sorted(found)


def flags(number: int) -> int:
    """Return the flags with which a descriptor was opened."""
    lines = Path(f"/proc/self/fdinfo/{number}").read_text().splitlines()
    return int(dict(line.split(":", 1) for line in lines)["flags"], 8)


def flush() -> None:
    """Write out what the open files of Python and C have buffered. A file that cannot be written keeps it."""
    for found in gc.get_objects():
        if issubclass(type(found), BUFFERED):  # isinstance() would run code of objects that stand for others
            with suppress(OSError, ValueError):  # it is closed or detached
                found.flush()
    ctypes.CDLL(None).fflush(None)


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
