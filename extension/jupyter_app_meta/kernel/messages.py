"""Which message caused the running code, as ipykernel has it, and where ipykernel may have another's.

1. ipykernel keeps the message of a cell or callback in a ContextVar. Where it has no such variable,
   and in a forked process, no message is known.
2. A message is believed in the task that dispatches it, and in what that task started.
3. A GUI's event loop, and a comm message that came while a cell awaited, leave a message behind in
   the context of somebody else's code: it is not believed there.
"""

from __future__ import annotations

import asyncio
import os
import sys
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple


class Message(NamedTuple):
    """The parts of a kernel message that say who caused it; no content, no buffers."""

    header: Mapping[str, Any]
    metadata: Mapping[str, Any]

    @classmethod
    def of(cls, parent: Mapping[str, Any]) -> Message:
        """Return these parts of a message as ipykernel has it."""
        return cls(parent["header"], parent.get("metadata") or {})


# The process and its kernel, once found: there is one for each process's life.
_home: list[tuple[int, Any]] = [(0, None)]
# The message that was last found to be that of the running task, and the task.
_vouched: list[tuple[object, Callable[[], object]]] = [(None, lambda: None)]


def this_kernel() -> Any:
    """Return this process's ipykernel; None in a script, in a forked child, in another kernel."""
    pid, kernel = _home[0]
    return kernel if pid == os.getpid() else _find_kernel()


def _find_kernel() -> Any:
    module = sys.modules.get("IPython.core.getipython")
    shell = module.get_ipython() if module else None
    kernel = getattr(shell, "kernel", None)
    session = getattr(kernel, "session", None)
    if getattr(session, "pid", None) != os.getpid():
        return None
    _home[0] = (os.getpid(), kernel)
    return kernel


def parent_of(kernel: Any) -> Mapping[str, Any] | None:
    """Return the message that caused the running code, as ipykernel has it; None where there is none."""
    variable = getattr(kernel, "_shell_parent", None)
    if not isinstance(variable, ContextVar):
        return None
    parent = variable.get(None) or _control_parent(kernel)
    if not parent or "header" not in parent or _is_anothers(kernel, parent):
        return None
    found: Mapping[str, Any] = parent
    return found


def _is_anothers(kernel: Any, parent: Mapping[str, Any]) -> bool:
    """Whether the message of this context is not that of the code that runs in it.

    A GUI's event loop keeps the context of whoever enabled it. And after a comm message that came
    while a cell awaited, ipykernel puts that cell's message back, even if the next cell has begun.
    """
    task, header = _running_task(), parent["header"]
    known_header, known_task = _vouched[0]
    if task is None or (known_header is header and known_task() is task):
        return False
    coroutine = task.get_coro()
    if getattr(coroutine, "__name__", "") == "advance_eventloop":
        return True
    dispatches = getattr(coroutine, "cr_code", None) is kernel.shell_main.__func__.__code__
    told = _told(kernel, coroutine) if dispatches else header["msg_id"]
    if told == header["msg_id"]:
        _vouched[0] = (header, weakref.ref(task))
        return False
    # In a context that the dispatched message's own code entered, another's message is meant.
    return bool(told != kernel._shell_context[kernel._shell_parent]["header"]["msg_id"])


def _told(kernel: Any, dispatching: Any) -> Any:
    """Return the id of the message that a coroutine of ipykernel dispatches."""
    _, parts = kernel.session.feed_identities(dispatching.cr_frame.f_locals["msg"], copy=False)
    return kernel.session.unpack(parts[1].bytes)["msg_id"]


def guard(kernel: Any) -> None:
    """Keep a comm message that is done from putting an earlier cell's message back over the next cell's."""
    if "set_parent" in vars(kernel):
        return
    variables, set_parent = (kernel._shell_parent, kernel._shell_parent_ident), kernel.set_parent

    def kept(ident: Any, parent: Any, channel: str = "shell") -> None:
        now = [variable.get(None) for variable in variables]
        set_parent(ident, parent, channel)
        if channel == "shell" and sys._getframe(1).f_code.co_name == "shell_main":
            for variable, value in zip(variables, now, strict=True):
                variable.set(value)

    kernel.set_parent = kept


def unguard(kernel: Any) -> None:
    """Undo ``guard``."""
    vars(kernel).pop("set_parent", None)


def _running_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _control_parent(kernel: Any) -> Any:
    """Return the control message whose own task is running, None in anything that it started."""
    thread = getattr(kernel, "control_thread", None)
    if thread is None or sys.modules["threading"].current_thread() is not thread:
        return None
    task = _running_task()
    dispatches = getattr(task and task.get_coro(), "__name__", "") in ("dispatch_control", "process_control")
    return getattr(kernel, "_control_parent", None) if dispatches else None
