"""What well-known code keeps for later use, and makes again when it needs it: it is ended before a fork.

If a release of these keeps it in another way, the notebook is refused, as any other that has a thread.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any


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
