"""ipykernel's application and kernel in a process that is forked: without sockets, threads, debugger and history.

Kernel messages come from the private socket. They are not signed there, and the kernel's session checks signatures. So
each message is signed when it is handled, by the process that handles it: a message that arrived before the fork may
be handled in a child, whose key is another one.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # it is built in, and has no types
import asyncio
import sys
import threading
from contextvars import copy_context
from typing import Any

import zmq
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel
from traitlets import Any as Anything  # noqa: TID253  # this module is on ipykernel's side

from .sockets import outlets
from .sockets.private import Private

DELIMITER = b"<IDS|MSG>"
UNWANTED = ("debugpy",)
"""Modules that a page does not need, and that would cost each child memory."""


class _NoThread:
    """In place of the thread that reads the shell channel: ipykernel asks it which thread runs cells."""

    def __init__(self) -> None:
        self.parent_thread = threading.main_thread()

    def __bool__(self) -> bool:
        return False


class ForkedKernel(IPythonKernel):
    """ipykernel's kernel, without subshells."""

    shell_stream = Anything()
    control_stream = Anything()
    _supports_kernel_subshells = False
    _execute_sleep = 0.0  # ipykernel waits so long for ZeroMQ, which may be slower with outputs than with replies

    def start(self) -> None:
        """Begin to take messages."""
        shell: Any = self.shell
        shell.exit_now = False
        Kernel.start(self)  # IPythonKernel's own start warns that there is no debugger

    def post_handler_hook(self) -> None:
        """Restore the handler of SIGINT. Python's own function looks names up, for which a child copies 50 pages."""
        saved = self.saved_sigint_handler
        _signal.signal(_signal.SIGINT, int(saved) if isinstance(saved, int) else saved)


class Application(IPKernelApp):
    """ipykernel's application. The names below are set before it is initialized."""

    kernel_class = ForkedKernel
    capture_fd_output = False  # it needs a thread

    private: Private
    loop: asyncio.AbstractEventLoop
    key: dict[str, str]

    def init_connection_file(self) -> None:
        """Do nothing: a child has a connection file once a browser connects, and the server writes it."""

    def write_connection_file(self, **given: Any) -> None:
        """Do nothing."""

    def log_connection_info(self) -> None:
        """Do nothing."""

    def init_poller(self) -> None:
        """Do nothing: the lifeline ends this process with its server."""

    def init_heartbeat(self) -> None:
        """Do nothing: that is a thread."""

    def init_sockets(self) -> None:
        """Put the private socket in place of ZeroMQ's."""
        self.configure_tornado_logger()  # type: ignore[no-untyped-call]  # ipykernel's
        self.sign(self.key)
        self.replies = outlets.Replies(self.private)
        self.iopub_socket = outlets.Publications(self.private)
        self.iopub_thread = outlets.Unthreaded(self.iopub_socket, self.session, self.loop)

    def init_kernel(self) -> None:
        """Make the kernel."""
        self.kernel = kernel = self.kernel_class.instance(
            parent=self,
            session=self.session,
            shell_stream=self.replies,
            shell_channel_thread=_NoThread(),
            iopub_thread=self.iopub_thread,
            iopub_socket=self.iopub_socket,
            log=self.log,
            profile_dir=self.profile_dir,
            user_ns=self.user_ns,
        )
        self.displayhook.get_execution_count = lambda: kernel.execution_count

    def sign(self, key: dict[str, str]) -> None:
        """Sign with this key from now on, under the id that comes with it."""
        self.session.key, self.session.session = key["key"].encode(), key["session"]

    def handle(self, parts: list[bytes]) -> None:
        """Handle a message of the shell channel: after those that are being handled."""
        # ipykernel's own task is made by `receive`, with the context that all of its cells share
        self.loop.create_task(self._handle(parts), context=copy_context())

    async def _handle(self, parts: list[bytes]) -> None:
        at, session = parts.index(DELIMITER), self.session
        signed = [*parts[: at + 1], session.sign(parts[at + 2 : at + 6]), *parts[at + 2 :]]
        await self.replies.receive([zmq.Frame(part) for part in signed])


def started(private: Private, loop: asyncio.AbstractEventLoop, key: dict[str, str], argv: list[str]) -> Application:
    """Return the application of this process, ready for cells."""
    app = Application.instance()
    app.private, app.loop, app.key = private, loop, key
    hidden = {name: sys.modules.get(name) for name in UNWANTED}
    sys.modules |= dict.fromkeys(UNWANTED)  # type: ignore[arg-type]  # None: an import of it fails
    try:
        app.initialize(["--HistoryManager.enabled=False", *argv])  # type: ignore[no-untyped-call]  # ipykernel's
    finally:
        for name, module in hidden.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module
    app.kernel.start()
    app.replies.io_loop = app.kernel.io_loop
    return app
