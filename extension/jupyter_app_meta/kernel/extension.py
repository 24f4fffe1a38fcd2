"""What ``%load_ext jupyter_app_meta`` does to a shell and its kernel, and how it is undone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import claims, context, logs, magic, threads

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load(shell: InteractiveShell) -> None:
    """Pin threads, guard the kernel's messages and log, take a claim, and register the magics; twice is as once."""
    threads.pin()
    kernel: Any = getattr(shell, "kernel", None)
    if hasattr(kernel, "_shell_parent"):
        context.take_gateway_key()
        context.guard(kernel)
        context.listen(kernel)
        for handler in kernel.log.handlers:  # not the logger: it also sees what no handler shows
            handler.addFilter(logs.hide)
    magic.register(shell)


def load_page(shell: InteractiveShell) -> None:
    """Load into the kernel of a dashboard's page, and let it drop nothing of what it publishes."""
    load(shell)
    kernel: Any = getattr(shell, "kernel", None)
    if getattr(kernel, "iopub_thread", None):
        _publish_all(kernel)


def _publish_all(kernel: Any) -> None:
    """Let more than 1000 messages wait for a slow reader: ZeroMQ drops the others in silence.

    A connection begins with the limit that held when the socket was bound, and its first words are
    a message on the shell channel: so the limit is lifted before each of those.
    """
    thread, hook = kernel.iopub_thread, kernel.pre_handler_hook

    def pre_handler_hook() -> None:
        thread.schedule(lambda: thread.socket.set_hwm(0))  # the socket is that thread's
        hook()

    kernel.pre_handler_hook = pre_handler_hook
    thread.schedule(lambda: thread.socket.set_hwm(0))


def unload(shell: InteractiveShell) -> None:
    """Undo ``load``."""
    magic.unregister(shell)
    kernel: Any = getattr(shell, "kernel", None)
    if hasattr(kernel, "_shell_parent"):
        context.unguard(kernel)
        claims.ignore(kernel)
        for handler in kernel.log.handlers:
            handler.removeFilter(logs.hide)
    threads.unpin()
