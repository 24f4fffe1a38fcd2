"""What a child gets when a browser is about to connect: the sockets and threads of an ordinary kernel.

The heartbeat is answered on the control thread, so that a child has fewer threads than an ordinary kernel.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import zmq
from ipykernel.control import ControlThread
from zmq.eventloop.zmqstream import ZMQStream

from .application import Application
from .sockets import outlets

LINGER = 1000
"""Milliseconds that a message may wait to be sent when a socket is closed."""

PAUSE = 0.0005
"""Seconds between the outputs of a cell and its reply: ipykernel's own number, for clients of ZeroMQ."""


class Attached:
    """The sockets and threads, and how they end."""

    def __init__(self) -> None:
        self.context = zmq.Context()
        self.sockets: list[Any] = []
        self.threads: list[Any] = []

    def bind(self, kind: int, info: dict[str, Any], name: str) -> Any:
        """Return a socket that is bound to its address; raises OSError."""
        socket = self.context.socket(kind)
        self.sockets.append(socket)
        socket.linger = LINGER
        if kind == zmq.ROUTER:
            socket.router_handover = 1
        ip, port = info["ip"], info[f"{name}_port"]
        socket.bind(f"ipc://{ip}-{port}" if info["transport"] == "ipc" else f"tcp://{ip}:{port}")
        return socket

    def close(self) -> None:
        """Send what still has to be sent, and end. Idempotent."""
        for thread in self.threads:
            thread.stop()
        for thread in self.threads:
            if isinstance(thread, ControlThread):
                thread.join(LINGER / 1000)
        for socket in self.sockets:
            with suppress(zmq.ZMQError):
                socket.close()
        self.context.term()


def attach(app: Application, info: dict[str, Any]) -> Attached:
    """Bind the sockets, and start the threads; raises OSError."""
    attached = Attached()
    try:
        bound = {name: attached.bind(zmq.ROUTER, info, name) for name in ("shell", "stdin", "control", "hb")}
        bound["iopub"] = attached.bind(zmq.XPUB, info, "iopub")
    except zmq.ZMQError as error:
        attached.close()
        raise OSError(error.errno, f"The kernel cannot listen: {error.strerror}") from error
    sys.stdout.flush()
    sys.stderr.flush()
    app.kernel.stdin_socket, app.kernel._execute_sleep = bound["stdin"], PAUSE
    _publish(app, attached, bound["iopub"])
    _control(app, attached, bound["control"], bound["hb"])
    app.replies.public = ZMQStream(bound["shell"])
    app.replies.public.on_recv(app.replies.receive, copy=False)
    return attached


def _publish(app: Application, attached: Attached, socket: Any) -> None:
    socket.xpub_nodrop = 1
    thread = outlets.Threaded(socket, app.session, app.iopub_socket)
    thread.start()  # type: ignore[no-untyped-call]  # ipykernel's
    attached.threads.append(thread)
    app.iopub_thread = app.kernel.iopub_thread = thread
    app.iopub_socket.public = thread.background_socket
    streams: tuple[Any, ...] = (sys.stdout, sys.stderr)
    for stream in streams:
        if hasattr(stream, "pub_thread"):
            stream.pub_thread, stream._io_loop = thread, thread.io_loop


def _control(app: Application, attached: Attached, socket: Any, heartbeat: Any) -> None:
    thread = app.control_thread = app.kernel.control_thread = ControlThread(daemon=True)
    app.kernel.control_stream = ZMQStream(socket, thread.io_loop)
    app.kernel.control_stream.on_recv(app.kernel.dispatch_control, copy=False)
    echo = ZMQStream(heartbeat, thread.io_loop)
    echo.on_recv(echo.send_multipart)
    attached.threads.append(thread)
    thread.start()
