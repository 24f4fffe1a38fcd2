"""What ``%load_ext jupyter_app_meta`` does to a shell and its kernel, and how it is undone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import claims, context, logs, magic, messages, threads

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load(shell: InteractiveShell) -> None:
    """Pin threads, guard the kernel's messages and log, take a claim, and register the magics; twice is as once."""
    threads.pin()
    kernel: Any = getattr(shell, "kernel", None)
    if hasattr(kernel, "_shell_parent"):
        context.take_gateway_key()
        messages.guard(kernel)
        context.listen(kernel)
        for handler in kernel.log.handlers:  # not the logger: it also sees what no handler shows
            handler.addFilter(logs.hide)
    magic.register(shell)


def load_page(shell: InteractiveShell) -> None:
    """Load into the kernel of a dashboard's page, which waits for a slow reader of what it publishes.

    Without that ZeroMQ drops in silence what comes when 1000 messages wait already.
    """
    import zmq  # a kernel has it, a script may not

    load(shell)
    thread = getattr(getattr(shell, "kernel", None), "iopub_thread", None)
    if thread is not None:
        thread.schedule(lambda: thread.socket.setsockopt(zmq.XPUB_NODROP, 1))  # the socket is that thread's


def unload(shell: InteractiveShell) -> None:
    """Undo ``load``."""
    magic.unregister(shell)
    kernel: Any = getattr(shell, "kernel", None)
    if hasattr(kernel, "_shell_parent"):
        messages.unguard(kernel)
        claims.ignore(kernel)
        for handler in kernel.log.handlers:
            handler.removeFilter(logs.hide)
    threads.unpin()
