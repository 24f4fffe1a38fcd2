"""What ``%load_ext jupyter_app_meta`` does to a shell and its kernel, and how ``%unload_ext`` undoes it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import claims, context, logs, magic, messages, threads, tracebacks, variables

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load(shell: InteractiveShell) -> None:
    """Pin threads, guard the kernel's messages and log, take a claim, and register the magics. Idempotent.

    Another library may already have changed what a step changes. If a step fails, a warning names it, and the other
    steps are done.
    """
    _try("pin threads to the request that starts them", threads.pin, context.seen_now)
    kernel: Any = getattr(shell, "kernel", None)
    if hasattr(kernel, "_shell_parent"):
        _try("take the key of a gateway", context.take_gateway_key)
        _try("keep callbacks from changing the next cell's message", messages.guard, kernel)
        _try("make a warm kernel listen for its visitor", context.listen, kernel)
        _try("keep stamps out of the log", _filter, kernel, "addFilter")
    _try("register the magics", magic.register, shell)


def _try(task: str, step: Callable[..., object], *given: Any) -> None:
    try:
        step(*given)
    except Exception as error:
        said = f"jupyter_app_meta could not {task}: {type(error).__name__}: {error}"
        warnings.warn(said, RuntimeWarning, stacklevel=3)


def _filter(kernel: Any, change: str) -> None:
    for handler in getattr(kernel.log, "handlers", ()):  # a filter of the logger would also see unshown records
        getattr(handler, change)(logs.hide)


def load_page(shell: InteractiveShell) -> None:
    """Load into the kernel of a dashboard's page, and make the kernel wait for a slow reader of its output.

    Otherwise ZeroMQ silently drops messages once 1000 of them wait.
    """
    import zmq  # a kernel has pyzmq; a script may not

    load(shell)
    _try("answer QUERY_STRING with the visitor's query", variables.answer)
    _try("show exceptions only as error messages", tracebacks.fix, shell)
    shell.events.print_on_error = False  # it would show the author's code to visitors; errors are reported anyway
    thread = getattr(getattr(shell, "kernel", None), "iopub_thread", None)
    if thread is not None:
        thread.schedule(lambda: thread.socket.setsockopt(zmq.XPUB_NODROP, 1))  # the socket is that thread's


def unload(shell: InteractiveShell) -> None:
    """Undo ``load``."""
    _try("remove the magics", magic.unregister, shell)
    kernel: Any = getattr(shell, "kernel", None)
    if hasattr(kernel, "_shell_parent"):
        _try("restore the kernel's handling of messages", messages.unguard, kernel)
        _try("stop listening for a claim", claims.ignore, kernel)
        if asking := sys.modules.get(f"{__package__}.state.asking"):  # loaded when code first asks for stored state
            _try("stop listening for answers about stored state", asking.ignore, kernel)
        _try("restore the log", _filter, kernel, "removeFilter")
    _try("restore QUERY_STRING", variables.keep_silent)
    _try("restore Thread.start", threads.unpin)
