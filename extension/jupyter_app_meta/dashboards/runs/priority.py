"""Lowers the priority of a process while its work is not urgent, and restores it when a visitor waits for it.

On Linux the process gets a higher niceness if that can be undone, which takes root or a raised RLIMIT_NICE. Otherwise
the process keeps to one processor. On other systems nothing happens.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from functools import cache

LOW = 19


def lower(pid: int | None) -> None:
    """Lower the priority of a process."""
    with suppress(OSError):
        if pid is None or sys.platform != "linux":
            return
        if _is_reversible():
            _renice(pid, LOW)
        elif len(everywhere := os.sched_getaffinity(0)) > 1:
            os.sched_setaffinity(pid, {max(everywhere)})


def restore(pid: int | None) -> None:
    """Restore the priority that ``lower`` took."""
    with suppress(OSError):
        if pid is None or sys.platform != "linux":
            return
        if _is_reversible():
            _renice(pid, os.getpriority(os.PRIO_PROCESS, os.getpid()))
        else:
            for thread in _threads(pid):
                os.sched_setaffinity(thread, os.sched_getaffinity(0))


def _renice(pid: int, niceness: int) -> None:
    for thread in _threads(pid):  # on Linux each thread has its own
        os.setpriority(os.PRIO_PROCESS, thread, niceness)


def _threads(pid: int) -> list[int]:
    return [int(name) for name in os.listdir(f"/proc/{pid}/task")]


@cache
def _is_reversible() -> bool:
    """Whether niceness can be lowered again: tried on a thread that then ends."""
    found = []

    def attempt() -> None:
        before = os.getpriority(os.PRIO_PROCESS, 0)
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, before + 1)
            os.setpriority(os.PRIO_PROCESS, 0, before)
            found.append(True)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return bool(found)
