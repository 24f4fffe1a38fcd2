"""Asynchronous ZeroMQ sockets that miss no message.

The operating system reports a socket once for each change. jupyter_client sends past zmq.asyncio, and
each such send takes the report of a reply that arrived just before it: the waiting task sleeps on.

1. After each send the socket looks for what arrived.
2. A wait for a message looks again by itself, whatever took its report.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import cache
from queue import Empty
from time import monotonic
from typing import Any

import zmq
import zmq.asyncio
from jupyter_client.channels import AsyncZMQSocketChannel

LOOK = 1.0
"""Seconds after which a wait for a message looks again."""

CHANNELS = ("shell", "iopub", "stdin", "control")


def look_again(stream: Any) -> None:
    """Let an asynchronous socket look for messages that arrived; anything else is left alone."""
    if not isinstance(stream, zmq.asyncio.Socket) or stream.closed:
        return
    with suppress(RuntimeError):  # a send from a thread without a loop wakes nothing: the wait looks again by itself
        asyncio.get_running_loop()
        stream.get(zmq.EVENTS)  # pyzmq then schedules what a waiting task has missed


def make_patient(client: Any) -> None:
    """Let the channels of an asynchronous client, which must not have started, look again by themselves."""
    for name in CHANNELS:
        base = getattr(client, f"{name}_channel_class", None)
        if _is_asynchronous(base):
            setattr(client, f"{name}_channel_class", _patient(base))


def _is_asynchronous(base: object) -> bool:
    return isinstance(base, type) and issubclass(base, AsyncZMQSocketChannel)


@cache
def _patient(base: Any) -> Any:
    """Return a channel class that is this one, and looks again."""
    if getattr(base, "looks_again", False):
        return base

    async def get_msg(self: Any, timeout: float | None = None) -> dict[str, Any]:
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            left = LOOK if deadline is None else min(LOOK, max(0.0, deadline - monotonic()))
            try:
                message: dict[str, Any] = await base.get_msg(self, left)
            except Empty:
                if deadline is not None and monotonic() >= deadline:
                    raise
            else:
                return message

    names = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    return type(base)(base.__name__, (base,), {**names, "get_msg": get_msg, "looks_again": True})
