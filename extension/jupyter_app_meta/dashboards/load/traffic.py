"""Priorities: visitors who wait for their pages come before kernels that run ahead."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

SETTLE = 0.25
"""After this many seconds in which no page is rendered, the server assumes that no visitor is waiting."""

PATIENCE = 15
"""After this many seconds, work ahead goes on even if visitors keep coming. Its process has a low priority anyway."""


class Traffic:
    """Counts the pages that are being rendered, and starts kernels a few at a time."""

    def __init__(self) -> None:
        self.closed = False
        self._rendering = 0
        self._free = asyncio.Event()
        self._free.set()
        self._ahead, self._next = asyncio.Lock(), _Queue()
        # If more kernels start at once than there are processors, all of them are late and none is early.
        self._starts = asyncio.Semaphore(max(2, os.cpu_count() or 1))

    @property
    def rendering(self) -> int:
        """How many pages are being rendered."""
        return self._rendering

    @contextmanager
    def page(self) -> Iterator[None]:
        """Count a page while it is rendered."""
        self._rendering += 1
        self._free.clear()
        try:
            yield
        finally:
            self._rendering -= 1
            if not self._rendering:
                self._free.set()

    async def quiet(self) -> None:
        """Wait until no page is being rendered, and none was a moment ago."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    await self._free.wait()
                    await asyncio.sleep(SETTLE)
                    if self._free.is_set():
                        return
        except TimeoutError:
            return

    async def turn(self, visitor: asyncio.Event) -> None:
        """Wait until no other visitor waits for a page, or until ``visitor`` says that this page has one of its own."""
        if visitor.is_set():
            return
        quiet, arrival = (asyncio.ensure_future(wait) for wait in (self.quiet(), visitor.wait()))
        await asyncio.wait((quiet, arrival), return_when=asyncio.FIRST_COMPLETED)
        quiet.cancel()
        arrival.cancel()

    @asynccontextmanager
    async def ahead(self) -> AsyncIterator[None]:
        """Start a kernel ahead of its visitor: when the server is quiet, and one at a time."""
        async with self._ahead:
            await self.quiet()
            yield

    @asynccontextmanager
    async def next(self, is_urgent: Callable[[], bool]) -> AsyncIterator[None]:
        """Do work that helps all visitors, one such work at a time. What is urgent by then comes first."""
        await self._next.turn(is_urgent)
        try:
            yield
        finally:
            self._next.pass_on()

    @asynccontextmanager
    async def start(self) -> AsyncIterator[None]:
        """Start a kernel for a visitor, when it is the visitor's turn."""
        async with self._starts:
            yield


class _Queue:
    """Gives turns in the order in which they were asked for, apart from those that are urgent."""

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: list[tuple[asyncio.Future[None], Callable[[], bool]]] = []

    async def turn(self, is_urgent: Callable[[], bool]) -> None:
        """Wait for a turn."""
        if not self._is_taken:
            self._is_taken = True
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, is_urgent))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came at the same moment
                self.pass_on()
            raise

    def pass_on(self) -> None:
        """End a turn, and begin the next one."""
        self._waiting = [each for each in self._waiting if not each[0].done()]
        if not self._waiting:
            self._is_taken = False
            return
        chosen = next((each for each in self._waiting if each[1]()), self._waiting[0])
        self._waiting.remove(chosen)
        chosen[0].set_result(None)
