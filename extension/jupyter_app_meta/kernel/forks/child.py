"""What a child makes its own as soon as it is forked, step by step. Nothing of the template's may be left shared.

The numbers are those of the explanation in the documentation:

2. its life: a session and group of its own, its own signal of the lifeline, and a place before its template when
   memory runs out
3. its event loop: no descriptor of the template's, its own pipe to wake it; its own socket to the server
4. its end: nothing of what the template would do at its end
5. its kernel: process id, key, ids
6. its files: their positions
7. its random numbers
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import uuid
from typing import Any

from ... import wire
from .. import claims
from . import ending, files, life, title
from .process import Process
from .sockets.private import Private


def become(process: Process, own: int, foreign: list[int]) -> None:
    """Make this process, just forked, a child. ``own`` is its socket, ``foreign`` are the template's descriptors."""
    process.is_child = True
    live(process.lifeline)
    take_loop(process.loop)
    take_socket(process, own, foreign)
    key = process.first_message()
    ending.forget()
    take_kernel(process, key)
    process.app.iopub_thread.io_loop.use_threads()
    files.reopen({process.lifeline, *process.private.descriptors, *loop_descriptors(process.loop)})
    process.seeds.in_child()
    process.reads.end()
    process.unique.is_over = True  # to call a function would copy more of the template's memory


def live(lifeline: int) -> None:
    """Step 2."""
    life.separate()
    life.hold(lifeline)


def take_loop(loop: Any) -> None:
    """Step 3. The loop goes on to run: it is in the middle of the callback that forked."""
    for key in tuple(loop._selector.get_map().values()):
        loop._selector.unregister(key.fileobj)  # poll() keeps its list in this process
    loop._ssock.close()
    loop._csock.close()
    loop._internal_fds -= 1
    loop._make_self_pipe()
    asyncio._set_running_loop(loop)  # from Python 3.12 on, a fork resets it
    asyncio.set_event_loop(loop)
    if loop._signal_handlers:
        signal.set_wakeup_fd(loop._csock.fileno())


def loop_descriptors(loop: Any) -> set[int]:
    """Return the descriptors of a loop's own pipe."""
    return {loop._ssock.fileno(), loop._csock.fileno()}


def take_socket(process: Process, own: int, foreign: list[int]) -> None:
    """Step 3, the sockets."""
    process.private.close()
    for number in foreign:
        os.close(number)
    process.private = private = Private(socket.socket(fileno=own))
    process.app.replies.private = process.app.iopub_socket.private = private
    process.loop.add_reader(private.fileno(), process.receive)
    process.loop.call_soon(process.receive)  # more than the key may have been read with it


def take_kernel(process: Process, key: dict[str, str]) -> None:
    """Step 5."""
    app, session = process.app, process.app.session
    claims.the_claim.earlier_key = wire.derive_key(session.key)
    session.pid = os.getpid()
    app.sign(key)
    session.digest_history.clear()
    session.message_count = 0
    if kernel_id := key.get("kernel_id"):
        title.show(kernel_id)
        app.connection_file = f"kernel-{kernel_id}.json"
    app.kernel.ident = str(uuid.uuid4())
    app.kernel.shell.displayhook.topic = app.kernel._topic("execute_result")
    for publisher in (app.iopub_thread, sys.stdout, sys.stderr):
        if hasattr(publisher, "_master_pid"):
            publisher._master_pid = session.pid
