"""Asynchronous ZeroMQ sockets that miss no message.

The operating system reports each change of a socket once. jupyter_client sends without zmq.asyncio, and such a send
consumes the report of a reply that arrived just before it. Then the waiting task would never wake.

1. After each send the socket checks for messages.
2. A wait for a message checks again every second, so that a lost report delays it by at most a second.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import cache
from queue import Empty
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeGuard

import zmq
import zmq.asyncio
from jupyter_client.channels import AsyncZMQSocketChannel

from ..wrapping import subclass
from .objects import Json

if TYPE_CHECKING:
    Channel = AsyncZMQSocketChannel
else:
    Channel = object

LOOK = 1.0
"""Seconds after which a wait for a message checks again."""

AHEAD = 16
"""How many messages that a kernel publishes ZeroMQ receives before we have taken the first of them."""

CHANNELS = ("shell", "iopub", "stdin", "control")


def look_again(stream: object) -> None:
    """Make an asynchronous socket check for messages; any other stream is left alone."""
    if not isinstance(stream, zmq.asyncio.Socket) or stream.closed:
        return
    with suppress(RuntimeError):  # a thread without a loop cannot wake the task: its wait checks again by itself
        asyncio.get_running_loop()
        stream.get(zmq.EVENTS)  # pyzmq then schedules the waiting task, if a message is there


def receive_few(stream: Any, kernel: Any) -> None:
    """Bound how many of a kernel's messages ZeroMQ receives ahead of us; call it as soon as the stream is made.

    Python kernels of pages wait for their readers (``load_page``). Others drop what does not fit, so they get no limit.
    ZeroMQ knows no limit in bytes, and its acknowledgements stop if this limit is changed after messages were received.
    """
    if (kernel.kernel_spec.language or "").lower() == "python":
        stream.setsockopt(zmq.RCVHWM, AHEAD)


def make_patient(client: object) -> None:
    """Make the channels of an asynchronous client check again by themselves. They must not have started yet."""
    for name in CHANNELS:
        base = getattr(client, f"{name}_channel_class", None)
        if _is_asynchronous(base):
            setattr(client, f"{name}_channel_class", _wrap_channel(base))


def _is_asynchronous(base: object) -> TypeGuard[type]:
    return isinstance(base, type) and issubclass(base, AsyncZMQSocketChannel)


@cache
def _wrap_channel(base: type) -> type:
    """Return a channel class whose waits check again; a wrapped class is returned unchanged."""
    return base if issubclass(base, PatientChannel) else subclass(base, PatientChannel)


class PatientChannel(Channel):
    """A channel whose waits check again."""

    async def get_msg(self, timeout: float | None = None) -> Json:  # type: ignore[override]  # as its base, untyped
        """Return the next message; raises Empty if none came in time."""
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            left = LOOK if deadline is None else min(LOOK, max(0.0, deadline - monotonic()))
            try:
                message: Json = await super().get_msg(left)
            except Empty:
                if deadline is not None and monotonic() >= deadline:
                    raise
            else:
                return message
