"""Pins a request to each thread that the author's own code starts, so that it sees what its starter saw.

1. The pin is a mark on the thread. It is not in a context, which may be copied, and not in the thread's ``run``,
   which may be another library's.
2. Threads that a library starts are not pinned, because pools, servers and listeners live on and serve many people.
   They see None unless the caller carries its context over (``contextvars.copy_context().run``,
   ``asyncio.to_thread``).
3. Other libraries may wrap ``Thread.start``, before us or after, and restore it in any order. So each of our
   replacements knows the function that it replaced, and does nothing once it is undone.
4. A thread is started in any case. If pinning fails, the thread is not pinned.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial, wraps
from types import CodeType, FrameType
from typing import Any

from . import authors, workers
from .messages import this_kernel

MARK = "_jupyter_app_meta_pin"

SHARED_WORKERS = frozenset(
    "concurrent multiprocessing anyio distributed joblib ipykernel zmq tornado pyspark py4j "
    "socketserver http xmlrpc wsgiref logging sched".split()
)
"""Packages whose threads serve many people, even if the author starts them."""

MOST_WRAPPERS = 20

Start = Callable[..., None]
_application: Application | None = None


class Application:
    """One replacement of ``Thread.start``."""

    __slots__ = ("active", "original", "start")

    def __init__(self, original: Start, see: Callable[[], object]) -> None:
        self.original, self.active = original, True

        @wraps(original)
        def start(thread: Any, *args: Any, **kwargs: Any) -> Any:
            pinned = self.active and _pin(thread, sys._getframe(1), see, start)
            try:
                return original(thread, *args, **kwargs)
            except BaseException:
                if pinned:
                    vars(thread).pop(MARK, None)  # other code may start the thread again
                raise

        self.start: Any = start


def pin(see: Callable[[], object]) -> None:
    """From now on, pin each thread to what ``see`` returns in the code that starts it. Idempotent."""
    global _application  # noqa: PLW0603  # Thread.start is as global
    if _application is not None and threading.Thread.start is _application.start:
        _application.active = True
        return
    if _application is not None:
        _application.active = False  # another library's wrapper is above it, or has removed it
    _application = Application(threading.Thread.start, see)
    threading.Thread.start = _application.start  # type: ignore[method-assign]  # this is how threads are pinned


def unpin() -> None:
    """Undo ``pin``. Threads that are already pinned stay pinned."""
    if _application is None:
        return
    _application.active = False
    if threading.Thread.start is _application.start:
        threading.Thread.start = _application.original  # type: ignore[method-assign]  # this restores it


def pinned() -> Any:
    """Return what the running thread is pinned to; None if it is not pinned."""
    return vars(threading.current_thread()).get(MARK)


def _pin(thread: Any, caller: FrameType, see: Callable[[], object], start: Start) -> bool:
    """Pin the thread if it is to be pinned; return whether it was pinned."""
    try:
        if not isinstance(thread, threading.Thread) or _has_begun(thread):
            return False
        vars(thread).pop(MARK, None)
        seen = _due(thread, caller, see, start)
        if seen is not None:
            vars(thread)[MARK] = seen
        return seen is not None
    except Exception:
        return False


def _has_begun(thread: Any) -> bool:
    """Whether CPython will refuse to start the thread. Its own error says what is wrong."""
    started = getattr(thread, "_started", None)
    return started is None or started.is_set()


def _due(thread: Any, caller: FrameType, see: Callable[[], object], start: Start) -> object:
    """Return what to pin the thread to; None if it is not to be pinned."""
    if _works_for_pinned(thread):
        return pinned()
    return see() if not _serves_many(thread) and _author_starts(thread, caller, start) else None


def _works_for_pinned(thread: Any) -> bool:
    """Whether the thread is a worker of the default executor of a loop that runs in a pinned thread."""
    if pinned() is None or not workers.has_loop():
        return False
    reference = next(iter(getattr(thread, "_args", None) or ()), None)
    executor = reference() if callable(reference) and getattr(thread, "_target", None) is workers.pool_worker else None
    return executor is not None and executor is workers.executor_of(workers.running_loop())


def _author_starts(thread: Any, caller: FrameType | None, start: Start) -> bool:
    """Whether the author's own code calls ``start()``, directly or through functions that the author wrote."""
    shell, wrappers = getattr(this_kernel(), "shell", None), frozenset(_wrappers(start))
    while caller is not None:
        if caller.f_code not in wrappers and not authors.wrote(caller, shell):
            return False
        if caller.f_code not in wrappers and not _passes_on(caller, thread):
            return True
        caller = caller.f_back
    return False


def _passes_on(frame: FrameType, thread: object) -> bool:
    """Whether the frame's function was given the thread, alone or among its other arguments."""
    code = frame.f_code
    many = bool(code.co_flags & inspect.CO_VARARGS)
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + many]
    if not names:
        return False
    given = [frame.f_locals.get(name) for name in names]
    rest = given.pop() if many else ()
    return any(value is thread for value in (*given, *(rest if isinstance(rest, tuple) else ())))


def _wrappers(start: Start) -> Iterator[CodeType]:
    """Yield the code of each function that wraps ``Thread.start`` since we did."""
    wrapper: Any = threading.Thread.start
    for _ in range(MOST_WRAPPERS):
        if wrapper is start or wrapper is None:
            return
        for function in (wrapper, getattr(wrapper, "_self_wrapper", None)):  # wrapt has the second name
            code = getattr(function, "__code__", None)
            if isinstance(code, CodeType):
                yield code
        wrapper = getattr(wrapper, "__wrapped__", None) or _enclosed(wrapper)


def _enclosed(wrapper: Any) -> Any:
    cells = getattr(wrapper, "__closure__", None) or ()
    found = (cell.cell_contents for cell in cells)
    return next((value for value in found if getattr(value, "__name__", "") == "start" and callable(value)), None)


def _serves_many(thread: Any) -> bool:
    """Whether the thread's work is a library's: its own ``run``, its target, or its timer's function."""
    cls = next(cls for cls in type(thread).__mro__ if "run" in vars(cls))
    if cls.__module__ != "threading":
        return _is_shared(cls)
    work = getattr(thread, "_target", None) or getattr(thread, "function", None)
    return work is not None and _is_shared(work)


def _is_shared(work: Any) -> bool:
    while isinstance(work, partial):
        work = work.func
    name = getattr(work, "__module__", None) or type(work).__module__
    return name.partition(".")[0] in SHARED_WORKERS or not authors.made(work)
