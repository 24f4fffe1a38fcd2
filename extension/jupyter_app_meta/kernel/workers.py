"""Which thread is the kernel's own, and what another thread may believe of the context that it runs in.

ipykernel's variable travels with every copy of a context. A library's loop or worker keeps a copy of the context in
which it was started, and would serve the next visitor as the first. So, for a message in a thread that runs no cells:

1. Work that a loop of the kernel gives to its default executor (``asyncio.to_thread``) belongs to the request of the
   task that gave it, for good.
2. A context that the author's own code carries over (``copy_context().run``) is believed while its message is being
   handled and no later message has come. A comm message that is done while the cell still awaits counts as a later
   one. No installed library may be among the callers.
3. A loop that runs in the thread is held to the second rule, so it keeps no request alive.
4. A context that a thread inherited at its start (Python 3.14) was not carried over on purpose.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from _thread import get_ident
from collections.abc import Iterator, Mapping
from concurrent.futures import thread as pools
from contextvars import Context, ContextVar
from types import FrameType
from typing import Any

from . import authors

_probe: ContextVar[object] = ContextVar("jupyter_app_meta_probe")

_returned: dict[object, object] = {}
"""For each subshell, the header of the message to which it last returned after an intervening comm message."""

pool_worker = getattr(pools, "_worker", None)
"""The function that a thread of an executor runs."""


def is_kernels(kernel: Any) -> bool:
    """Return whether ipykernel runs cells in the running thread."""
    if is_green():
        return False
    main = getattr(getattr(kernel, "shell_channel_thread", None), "parent_thread", None) or threading.main_thread()
    return main.ident == get_ident() or type(threading.current_thread()).__module__ == "ipykernel.subshell"


def is_green() -> bool:
    """Return whether gevent or eventlet runs the code as a thread of its own kind."""
    if "greenlet" not in sys.modules or ("gevent" not in sys.modules and "eventlet" not in sys.modules):
        return False
    return sys.modules["greenlet"].getcurrent().parent is not None


def note_return(header: Mapping[str, Any] | None) -> None:
    """Note that a comm message is done that came while this header's cell awaited. Some of its work may still go on."""
    if header is not None:
        _returned[header.get("subshell_id")] = header


def may_believe(kernel: Any, parent: Mapping[str, Any]) -> bool:
    """Return whether this message, found in the context of a thread that runs no cells, belongs to the running code."""
    if is_green() or _is_inherited():
        return False
    if not has_loop() and _serves(kernel):
        return True
    return _is_handled(kernel, parent) and all(map(_is_plain(kernel), _frames()))


def has_loop() -> bool:
    """Return whether an event loop runs in this thread."""
    return running_loop() is not None


def running_loop() -> object:
    """Return the event loop that runs in this thread; None if there is none."""
    return asyncio._get_running_loop()


def _is_inherited() -> bool:
    """Return whether the running context is the one that its thread got when it was started."""
    first = getattr(threading.current_thread(), "_context", None)
    if not isinstance(first, Context):
        return False
    mark = object()
    token = _probe.set(mark)
    try:
        return first.get(_probe) is mark
    finally:
        _probe.reset(token)


def _serves(kernel: Any) -> bool:
    """Return whether the thread is a worker of the default executor of a loop in which the kernel runs cells."""
    code = getattr(pool_worker, "__code__", None)
    worker = next((frame for frame in _frames() if frame.f_code is code), None)
    executor = worker and worker.f_locals["executor_reference"]()
    return executor is not None and any(executor_of(loop) is executor for loop in _loops(kernel))


def executor_of(loop: Any) -> object:
    """Return the default executor of a loop; None before the loop has one."""
    return getattr(loop, "_default_executor", None)


def _loops(kernel: Any) -> Iterator[Any]:
    yield getattr(getattr(kernel, "io_loop", None), "asyncio_loop", None)
    manager = getattr(getattr(kernel, "shell_channel_thread", None), "manager", None)
    for subshell in tuple(getattr(manager, "_cache", {}).values()):
        yield subshell.io_loop.asyncio_loop


def _is_handled(kernel: Any, parent: Mapping[str, Any]) -> bool:
    """Return whether the kernel still handles this message, and has taken none after it."""
    header = parent["header"]
    if not getattr(kernel.set_parent, "active", False):
        return False  # without ``messages.guard``, intervening comm messages are not noted
    if (
        header is _returned.get(header.get("subshell_id"))
        or kernel._shell_context[kernel._shell_parent].get("header") is not header
    ):
        return False
    subshell = header.get("subshell_id")
    if subshell is None:
        return bool(kernel._main_asyncio_lock.locked())
    return bool(kernel.shell_channel_thread.manager.get_subshell_asyncio_lock(subshell).locked())


def _is_plain(kernel: Any) -> Any:
    """Return a function that says whether a frame's code is the author's own, the standard library's or ours."""
    own, shell = str(authors.OWN), getattr(kernel, "shell", None)

    def is_plain(frame: FrameType) -> bool:
        file = frame.f_code.co_filename
        return file.startswith(own + os.sep) or authors.is_standard(file) or authors.wrote(frame, shell)

    return is_plain


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back
