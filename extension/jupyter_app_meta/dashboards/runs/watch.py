"""Ends a cell that nothing will end: its kernel is idle, and its reply does not come.

1. A slow kernel is never ended. Only time in which the kernel says "idle" counts, and it must answer a question.
2. Time is counted in looks, not by the clock: a server that stood still has looked at nothing in between.
3. A run that is under suspicion is not given to a visitor.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from nbclient.exceptions import DeadKernelError

LOOK = 1.0
"""Seconds between two looks."""

SUSPICION = 3
"""Idle looks in a row after which a run is under suspicion."""

PATIENCE = 10
"""Idle looks in a row after which the kernel is asked whether it answers."""

AFTERWARDS = 5
"""Idle looks after the answer, which was given after the cell's turn, until the cell is ended."""

DEAFNESS = 120
"""Idle looks without that answer, after which it is enough that the kernel answers on its control channel."""


class NoAnswer(RuntimeError):
    """A kernel is idle and answers, but not the cell that it was given."""

    def __init__(self) -> None:
        super().__init__("The kernel is idle, and the reply of this cell is missing. Please reload the page.")


class Watched(Protocol):
    """A kernel, for who watches its cells."""

    @property
    def is_idle(self) -> bool:
        """Whether the kernel says that it runs no cell."""

    async def answer(self, channel: str) -> None:
        """Wait until the kernel has answered a question on this channel, ``shell`` or ``control``."""


class Watch:
    """Watches the cells of a run, one at a time."""

    def __init__(self) -> None:
        self._idle = 0

    @property
    def is_suspicious(self) -> bool:
        """Whether the cell that is running may be one that never ends."""
        return self._idle >= SUSPICION

    @asynccontextmanager
    async def over(self, kernel: Watched) -> AsyncIterator[None]:
        """Watch the cell that is run inside; raises NoAnswer."""
        limit, self._idle = asyncio.timeout(None), 0
        try:
            async with limit:
                watching = asyncio.create_task(self._expire(limit, kernel))
                try:
                    yield
                finally:
                    watching.cancel()
        except (TimeoutError, DeadKernelError):  # nbclient takes whatever ends its wait for the kernel's death
            if limit.expired():
                raise NoAnswer from None
            raise
        self._idle = 0

    async def _expire(self, limit: asyncio.Timeout, kernel: Watched) -> None:
        await self._stuck(kernel)
        limit.reschedule(asyncio.get_running_loop().time())

    async def _stuck(self, kernel: Watched) -> None:
        """Wait until the kernel is idle for long, answers, and is idle still."""
        while True:
            await self._looks(kernel, PATIENCE)
            await self._answered(kernel)
            if self._idle and await self._stays_idle(kernel):
                return

    async def _looks(self, kernel: Watched, wanted: int) -> None:
        """Wait for so many idle looks in a row."""
        while self._idle < wanted:
            await asyncio.sleep(LOOK)
            self._idle = self._idle + 1 if kernel.is_idle else 0

    async def _stays_idle(self, kernel: Watched) -> bool:
        for _ in range(AFTERWARDS):
            await asyncio.sleep(LOOK)
            if not kernel.is_idle:
                self._idle = 0
                return False
        return True

    async def _answered(self, kernel: Watched) -> None:
        """Wait until the kernel answered: in its turn, or after a long time on the channel that waits for no turn."""
        in_turn = asyncio.create_task(kernel.answer("shell"))
        deaf = asyncio.create_task(self._looks(kernel, PATIENCE + DEAFNESS))
        try:
            await asyncio.wait((in_turn, deaf), return_when=asyncio.FIRST_COMPLETED)
            if not in_turn.done():
                await kernel.answer("control")
        finally:
            in_turn.cancel()
            deaf.cancel()
