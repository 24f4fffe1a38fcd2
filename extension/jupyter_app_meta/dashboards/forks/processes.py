"""A process as its descriptor shows it, whichever process is its parent; and the pipe that ends it with this server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache

GONE = 3.0
"""Seconds for which a process may end by itself, before it is killed."""


class Process:
    """A process that leads its own group. ``descriptor`` (a pidfd) becomes readable when it ends; it is closed here.

    Without ``on_end``, another process is its parent, and waits for it. If that one has ended, and this server is the
    first process of a container, the server has become the parent: then it waits.
    """

    def __init__(self, pid: int, descriptor: int, on_end: Callable[[Process], None] | None = None) -> None:
        self.pid = pid
        self.ended = asyncio.Event()
        self._descriptor, self._on_end = descriptor, on_end
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._has_ended)

    def _has_ended(self) -> None:
        self._loop.remove_reader(self._descriptor)
        if self._on_end is None:
            with suppress(OSError):  # as usual, it is not a child of this process
                os.waitid(os.P_PIDFD, self._descriptor, os.WEXITED | os.WNOHANG)
        os.close(self._descriptor)
        self.ended.set()
        if self._on_end is not None:
            self._on_end(self)

    def signal(self, number: int) -> None:
        """Send a signal to the process and those that it started; nothing if it has ended."""
        if not self.ended.is_set():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    async def ends(self, seconds: float) -> bool:
        """Wait until it has ended; return whether it has in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.ended.wait()
        return self.ended.is_set()


@cache
def lifeline() -> int:
    """Return the reading end of a pipe to which nothing is ever written. It ends with this process, however that ends.

    The writing end stays open. Programs that this process starts do not inherit it, and its forks close it.
    """
    reading, writing = os.pipe()
    left = [writing]  # empty in a fork, whose own forks may use the number for something else
    os.register_at_fork(after_in_child=lambda: os.close(left.pop()) if left else None)
    return reading
