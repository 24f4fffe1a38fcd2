"""Pins a request to each started Thread, so that it sees what the code that started it saw.

Workers of a pool serve many people and are not pinned: they see None unless the caller carries
its context over (``contextvars.copy_context().run``), as ``asyncio.to_thread`` does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from . import context

SHARED_WORKERS = (
    "concurrent.futures",
    "multiprocessing",
    "anyio",
    "distributed",
    "joblib",
    "ipykernel",
    "zmq",
    "tornado",
)

_original_start = threading.Thread.start


def pin() -> None:
    """Pin from now on; a second call changes nothing."""
    global _original_start  # noqa: PLW0603  # another library may have patched it since we were imported
    if threading.Thread.start is not _start:
        _original_start = threading.Thread.start
        threading.Thread.start = _start  # type: ignore[method-assign]  # this is the pin


def unpin() -> None:
    """Undo ``pin``. Threads that are already pinned stay so."""
    if threading.Thread.start is _start:
        threading.Thread.start = _original_start  # type: ignore[method-assign]  # as it was


def _start(self: threading.Thread) -> None:
    """Start the thread's activity. It must be called at most once per thread object."""
    if not _may_start(self) or _serves_many(self):
        return _original_start(self)
    run, self.run = self.run, _pinned(self, self.run, context.bound_now())  # type: ignore[method-assign]
    try:
        _original_start(self)
    except BaseException:
        self.run = run  # type: ignore[method-assign]  # it may be started again, by somebody else
        raise


def _may_start(thread: threading.Thread) -> bool:
    """Whether CPython would start the thread; it says itself what is wrong otherwise."""
    started = getattr(thread, "_started", None)
    return started is not None and not started.is_set()


def _pinned(thread: threading.Thread, run: Callable[[], None], bound: context.Bound) -> Callable[[], None]:
    def pinned_run() -> None:
        context.bind_thread(bound)
        del thread.run  # what is bound must not outlive the thread's work through this closure
        run()

    return pinned_run


def _serves_many(thread: threading.Thread) -> bool:
    target: Any = getattr(thread, "_target", None)
    modules = (type(thread).__module__, getattr(target, "__module__", None) or "")
    return any(name == shared or name.startswith(f"{shared}.") for name in modules for shared in SHARED_WORKERS)
