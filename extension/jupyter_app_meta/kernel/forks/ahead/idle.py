"""What a template has that is idle, and what it does about that before a fork.

1. What well-known code keeps for later use, and makes again when it needs it, is ended. If a release of these keeps it
   in another way, the notebook is refused, as any other that has a thread.
2. Memory that is free goes back to the system. The rest goes into large pages: a fork copies an entry for each page,
   and there are fewer of them.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

LARGE = 2 * 1024 * 1024
"""The size of a large page, where an ordinary one has 4 KiB."""

_COLLAPSE = 25
"""Linux's advice to put a range of memory into large pages. Systems before 6.1 do not know it."""


def end(shell: Any, loop: Any) -> None:
    """End it, as far as it has nothing to do."""
    _end_executor(loop)
    for stop in (_end_progress, partial(_end_scripts, shell)):
        with suppress(Exception):
            stop()


def _end_executor(loop: Any) -> None:
    """End the threads in which an event loop ran functions."""
    executor = loop._default_executor
    if executor is not None and executor._work_queue.empty():
        executor.shutdown(wait=True)
        loop._default_executor = None


def _end_scripts(shell: Any) -> None:
    """End the thread of ``%%bash`` and its like."""
    shell.magics_manager.registry["ScriptMagics"].stop_event_loop()


def _end_progress() -> None:
    """End the monitor of tqdm's progress bars, and forget the lock that bars of several processes share.

    A child that ended while it has that lock would keep it from its siblings.
    """
    if (tqdm := sys.modules.get("tqdm.std")) is None:
        return
    for thread in threading.enumerate():
        if type(thread).__module__ == "tqdm._monitor":
            thread.exit()  # type: ignore[attr-defined]  # tqdm's own
    for bar in _with_subclasses(tqdm.tqdm):
        if "_lock" in vars(bar):
            del bar._lock
    del tqdm.TqdmDefaultWriteLock.mp_lock
    gc.collect()


def _with_subclasses(kind: Any) -> Iterator[Any]:
    yield kind
    for below in kind.__subclasses__():
        yield from _with_subclasses(below)


def compact() -> None:
    """Give the system what is free, and put the rest into large pages, as far as the system can."""
    library = ctypes.CDLL(None)
    library.malloc_trim(0)
    library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for begin, end in _own_memory():
        for address in range(-(-begin // LARGE) * LARGE, end - LARGE + 1, LARGE):
            library.madvise(address, LARGE, _COLLAPSE)  # a part that is not in use has no pages, and stays so


def _own_memory() -> Iterator[tuple[int, int]]:
    """Yield where memory begins and ends that belongs to no file, and that no other process shares."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, rights, _, _, node, *_ = line.split(maxsplit=5)
        if rights == "rw-p" and node == "0":
            begin, end = (int(part, 16) for part in place.split("-"))
            yield begin, end
