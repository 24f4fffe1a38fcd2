"""What ``%load_ext jupyter_app_meta`` does to a shell and its kernel, and how it is undone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import claims, context, logs, magic, messages, threads, tracebacks, variables

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load(shell: InteractiveShell) -> None:
    """Pin threads, guard the kernel's messages and log, take a claim, and register the magics. Idempotent.

    Another library may have changed what a step changes. A step that fails is named in a warning; the others are done.
    """
    _try("threads know who started them", threads.pin, context.seen_now)
    kernel: Any = getattr(shell, "kernel", None)
    if hasattr(kernel, "_shell_parent"):
        _try("the key of a gateway is taken", context.take_gateway_key)
        _try("callbacks leave the next cell its message", messages.guard, kernel)
        _try("a warm kernel learns who its visitor is", context.listen, kernel)
        _try("stamps are kept out of the log", _filter, kernel, "addFilter")
    _try("the magics are there", magic.register, shell)


def _try(promise: str, step: Callable[..., object], *given: Any) -> None:
    try:
        step(*given)
    except Exception as error:
        said = f"jupyter_app_meta could not see to it that {promise}: {type(error).__name__}: {error}"
        warnings.warn(said, RuntimeWarning, stacklevel=3)


def _filter(kernel: Any, change: str) -> None:
    for handler in getattr(kernel.log, "handlers", ()):  # not the logger: it also sees what no handler shows
        getattr(handler, change)(logs.hide)


def load_page(shell: InteractiveShell) -> None:
    """Load into the kernel of a dashboard's page, and make it wait for a slow reader of its output.

    Without that, ZeroMQ silently drops each message that comes when 1000 messages wait already.
    """
    import zmq  # a kernel has pyzmq; a script may not

    load(shell)
    _try("QUERY_STRING is the visitor's", variables.answer)
    _try("errors are shown as errors only", tracebacks.fix, shell)
    shell.events.print_on_error = False  # it would show the author's code to visitors; errors are reported anyway
    thread = getattr(getattr(shell, "kernel", None), "iopub_thread", None)
    if thread is not None:
        thread.schedule(lambda: thread.socket.setsockopt(zmq.XPUB_NODROP, 1))  # the socket is that thread's


def unload(shell: InteractiveShell) -> None:
    """Undo ``load``."""
    _try("the magics are removed", magic.unregister, shell)
    kernel: Any = getattr(shell, "kernel", None)
    if hasattr(kernel, "_shell_parent"):
        _try("the kernel's messages are as they were", messages.unguard, kernel)
        _try("no claim is taken", claims.ignore, kernel)
        _try("the log is as it was", _filter, kernel, "removeFilter")
    _try("QUERY_STRING is the process's own", variables.keep_silent)
    _try("threads are started as before", threads.unpin)
