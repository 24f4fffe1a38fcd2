"""Which message caused the running code, according to ipykernel, and where ipykernel may name another's message.

1. ipykernel keeps the message of a cell or callback in a ContextVar. If there is no such variable,
   and in a forked process, no message is known.
2. A message is believed in the task that dispatches it, and in everything that this task started in the kernel's own
   threads. ``workers`` says what is believed in other threads.
3. A GUI's event loop, and a comm message that came while a cell awaited, leave a message behind in
   the context of another request's code. It is not believed there.
"""

from __future__ import annotations

import asyncio
import os
import sys
import weakref
from _thread import get_ident
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import Context, ContextVar
from sys import modules
from types import FrameType, MethodType
from typing import TYPE_CHECKING, Any, NamedTuple

from ..wire import FIELD
from . import workers

if TYPE_CHECKING:
    from typing import Protocol

    Parent = Mapping[str, Any]

    class Kernel(Protocol):
        """ipykernel's kernel: the attributes that are used here, some of which are private."""

        session: Session
        shell_main: MethodType
        set_parent: Callable[..., object]
        _shell_context: Context
        _shell_parent: ContextVar[Parent]

    class Session(Protocol):
        """jupyter_client's Session of a kernel."""

        key: bytes

        def feed_identities(self, frames: object, copy: bool) -> tuple[object, list[Frame]]:
            """Return a message's identities and its other parts."""

        def unpack(self, packed: bytes) -> Parent:
            """Return a part of a message."""

    class Frame(Protocol):
        """ZeroMQ's frame: one part of a message."""

        bytes: bytes


class Message(NamedTuple):
    """The parts of a kernel message that say who caused it, without content and buffers."""

    header: Mapping[str, Any]
    metadata: Mapping[str, Any]

    def __repr__(self) -> str:  # a stamp has values
        return f"Message({self.header.get('msg_id')!r})"

    @classmethod
    def of(cls, parent: Mapping[str, Any]) -> Message:
        """Return these parts of one of ipykernel's messages."""
        return cls(parent["header"], parent.get("metadata") or {})


# The process and its kernel, once it is found. A process has one kernel for its whole life.
_home: list[tuple[int, Kernel | None]] = [(0, None)]
# Not empty once a server has stamped a message of this kernel. A forked child inherits it.
_stamped: list[bool] = []
# The last message that was found to belong to its running task, with that task and its thread.
_vouched: list[tuple[object, Callable[[], object], int]] = [(None, lambda: None, 0)]


def this_kernel() -> Kernel | None:
    """Return this process's ipykernel; None in a script, in a forked child, and in a kernel that is not ipykernel."""
    pid, kernel = _home[0]
    return kernel if pid == os.getpid() else _find_kernel()


def shells_kernel() -> Kernel | None:
    """Return the ipykernel that this process has, or that it was forked from; None elsewhere."""
    module = sys.modules.get("IPython.core.getipython")
    shell: object = module.get_ipython() if module else None
    return getattr(shell, "kernel", None)


def _find_kernel() -> Kernel | None:
    kernel = shells_kernel()
    session: object = getattr(kernel, "session", None)
    if getattr(session, "pid", None) != os.getpid():
        return None
    _home[0] = (os.getpid(), kernel)
    return kernel


def has_stamp(kernel: Kernel | None) -> bool:
    """Return whether a server has ever stamped a message of this kernel, for whichever visitor."""
    if kernel is not None and not _stamped:
        _note_stamp(_latest(kernel))
        _note_stamp(carried_in(kernel))
    return bool(_stamped)


def _note_stamp(parent: object) -> None:
    if isinstance(parent, dict) and FIELD in (parent.get("metadata") or {}):
        _stamped.append(True)


def _latest(kernel: Any) -> object:
    """Return the kernel's latest message. It is used for what it says of the kernel, and never for its visitor."""
    try:
        return kernel.get_parent()
    except Exception:  # ipykernel's own
        return None


def parent_of(kernel: Kernel | None) -> Parent | None:
    """Return the message that caused the running code, according to ipykernel; None if there is none.

    The answer for the running task is remembered, because cells may ask in a loop.
    """
    parent = carried_in(kernel)
    if parent is None or kernel is None:
        return _control_parent(kernel)
    known_header, known_task, known_thread = _vouched[0]
    if known_header is parent["header"] and known_thread == get_ident():
        task = known_task()
        if task is not None and task is _running_task():
            return None if "greenlet" in modules and workers.is_green() else parent
    if not workers.is_kernels(kernel):
        return parent if workers.may_believe(kernel, parent) else None
    return None if _is_anothers(kernel, parent, _running_task()) else parent


def carried_in(kernel: Kernel | None) -> Parent | None:
    """Return the message that is in the running context; it may belong to another request."""
    variable: ContextVar[Parent | None] | None = getattr(kernel, "_shell_parent", None)
    if type(variable) is not ContextVar:
        return None
    parent = variable.get(None)
    return parent if parent and "header" in parent else None


def _is_anothers(kernel: Kernel, parent: Parent, task: asyncio.Task[Any] | None) -> bool:
    """Whether this context's message belongs to other code than the code that runs in the context.

    A GUI's event loop keeps the context of the code that enabled it. After a comm message that came while a cell
    awaited, ipykernel puts that cell's message back, even if the next cell has begun.
    """
    if task is None:
        return False
    header: Parent = parent["header"]
    coroutine: object = task.get_coro()
    if getattr(coroutine, "__name__", "") == "advance_eventloop":
        return True
    dispatches = getattr(coroutine, "cr_code", None) is kernel.shell_main.__func__.__code__
    told: object = _told(kernel, coroutine) if dispatches else header["msg_id"]
    if told == header["msg_id"]:
        _vouched[0] = (header, weakref.ref(task), get_ident())
        return False
    # Code of the dispatched message entered this context on purpose, so the other message is the right one.
    return bool(told != kernel._shell_context[kernel._shell_parent]["header"]["msg_id"])


def _told(kernel: Kernel, dispatching: object) -> object:
    """Return the id of the message that a coroutine of ipykernel dispatches."""
    frame: FrameType = dispatching.cr_frame  # type: ignore[attr-defined]  # the caller found that it is a coroutine
    _, parts = kernel.session.feed_identities(frame.f_locals["msg"], copy=False)
    return kernel.session.unpack(parts[1].bytes)["msg_id"]


class _Kept:
    """A kernel's ``set_parent`` that keeps the message of a cell that has begun in the meantime."""

    def __init__(self, kernel: Kernel, original: Callable[..., object]) -> None:
        self._kernel, self.original, self.active = kernel, original, True

    def __call__(self, *args: Any, **kwargs: Any) -> object:
        now = self._to_keep(args, kwargs, sys._getframe(1)) if self.active else ()
        if not _stamped:
            _note_stamp(args[1] if len(args) > 1 else kwargs.get("parent"))
        if now:
            workers.note_return((args[1] if len(args) > 1 else kwargs["parent"]).get("header"))
        try:
            return self.original(*args, **kwargs)
        finally:
            for variable, value in now:
                variable.set(value)

    def _to_keep(
        self, args: Sequence[object], kwargs: Parent, caller: FrameType
    ) -> Sequence[tuple[ContextVar[Any], Any]]:
        channel: object = args[2] if len(args) > 2 else kwargs.get("channel", "shell")
        if channel != "shell" or caller.f_code.co_name != "shell_main":
            return ()
        variables: Iterator[object] = (
            getattr(self._kernel, name, None) for name in ("_shell_parent", "_shell_parent_ident")
        )
        return [(variable, variable.get(None)) for variable in variables if isinstance(variable, ContextVar)]


def guard(kernel: Kernel) -> None:
    """Keep a finished comm message from putting an earlier cell's message back over that of the next cell."""
    kept = kernel.set_parent
    if not isinstance(kept, _Kept):
        kept = kernel.set_parent = _Kept(kernel, kept)
    kept.active = True


def unguard(kernel: Kernel) -> None:
    """Undo ``guard``. If another library has wrapped it since, it stays but does nothing."""
    kept = kernel.set_parent
    if isinstance(kept, _Kept):
        kept.active = False
        if getattr(kept.original, "__func__", None) is getattr(type(kernel), "set_parent", None):
            del kernel.set_parent
        else:
            kernel.set_parent = kept.original


def _running_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _control_parent(kernel: Kernel | None) -> Parent | None:
    """Return the control message whose own task is running; None in any code that this task started."""
    thread: object = getattr(kernel, "control_thread", None)
    if thread is None or sys.modules["threading"].current_thread() is not thread:
        return None
    task = _running_task()
    dispatches: bool = getattr(task and task.get_coro(), "__name__", "") in ("dispatch_control", "process_control")
    parent: Parent | None = getattr(kernel, "_control_parent", None) if dispatches else None
    return parent if parent and "header" in parent else None
