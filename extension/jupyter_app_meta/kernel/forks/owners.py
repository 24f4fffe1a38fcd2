"""Which library a thread probably belongs to: the first one, apart from the C library, among the words on its stack.

A word that looks like an address need not be one. So the answer is good for a message, and for a decision only where
the innermost library on the stack of a thread that waits is named.
This reads only this process's own memory. A thread that runs at the moment has no known stack, so it is asked again.
"""

from __future__ import annotations

import bisect
import struct
import time
from pathlib import Path

ATTEMPTS = 20
"""How often a thread is asked for its stack, at intervals of a millisecond."""

DEPTH = 64 * 1024
"""How many bytes of a stack are searched."""

EVERYBODY = ("libc.", "libc-", "libpthread", "ld-", "ld.", "libm.", "libstdc++", "libgcc", "[")
"""How the names of libraries begin that are on the stack of each thread."""


def owner(task: Path) -> str:
    """Return the file name of the library whose thread ``task`` is (a folder of /proc/self/task), or nothing."""
    code = _code()
    starts = [start for start, _, _ in code]
    for word in _stack(task):
        at = bisect.bisect_right(starts, word) - 1
        if at >= 0 and word < code[at][1] and not code[at][2].startswith(EVERYBODY):
            return code[at][2]
    return ""


def _code() -> list[tuple[int, int, str]]:
    """Return where the code of each library begins and ends, in ascending order, with the library's file name."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        where, permissions, _, _, _, *path = line.split(maxsplit=5)
        if "x" in permissions and path:
            start, end = (int(part, 16) for part in where.split("-"))
            found.append((start, end, path[0].rpartition("/")[2]))
    return sorted(found)


def _stack(task: Path) -> tuple[int, ...]:
    """Return the words on a thread's stack, the innermost first; none if they cannot be read."""
    try:
        for _ in range(ATTEMPTS):
            said = (task / "syscall").read_text().split()
            if said[0] != "running":
                return _words(int(said[-2], 16))
            time.sleep(0.001)
    except (OSError, ValueError, IndexError):
        pass  # it has ended, or the system does not tell: then its owner is unknown
    return ()


def _words(address: int) -> tuple[int, ...]:
    with Path("/proc/self/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        found = memory.read(DEPTH)  # less, where the stack ends
    return struct.unpack(f"{len(found) // 8}Q", found[: len(found) // 8 * 8])
