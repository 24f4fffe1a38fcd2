"""Lets a process step back while its work is not urgent, and come forward when somebody waits for it.

Niceness is the means where it can be taken back, which only root and those with a raised
RLIMIT_NICE can; else the process keeps to one processor. Elsewhere than on Linux nothing happens.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from functools import cache

LOW = 19


def lower(pid: int | None) -> None:
    """Make a process step back."""
    with suppress(OSError):
        if pid is None or sys.platform != "linux":
            return
        if _is_reversible():
            _renice(pid, LOW)
        elif len(everywhere := os.sched_getaffinity(0)) > 1:
            os.sched_setaffinity(pid, {max(everywhere)})


def restore(pid: int | None) -> None:
    """Undo ``lower``."""
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
    """Try it on a thread that ends at once."""
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
