"""Ends a cell that would never end: its kernel is idle, but the reply does not arrive.

1. A slow kernel is never ended. Only the time in which the kernel says "idle" counts, and the kernel must still answer.
2. Time is counted in checks, not by the clock, because a server that was suspended did not check in that time.
3. A run that is under suspicion is not given to a visitor.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from nbclient.exceptions import DeadKernelError

LOOK = 1.0
"""Seconds between two checks."""

SUSPICION = 3
"""Idle checks in a row after which a run is under suspicion."""

PATIENCE = 10
"""Idle checks in a row after which the kernel is asked whether it answers."""

AFTERWARDS = 5
"""Idle checks between the kernel's answer and the end of the cell. The kernel answers after the cell's turn."""

DEAFNESS = 120
"""Idle checks without that answer after which an answer on the control channel is enough."""


class NoAnswer(RuntimeError):
    """A kernel is idle and answers, but the reply to its cell is missing. The text is for visitors."""

    def __init__(self) -> None:
        super().__init__("This part of the page did not finish. Please reload the page.")


class Watched(Protocol):
    """A kernel: the parts that a watch needs."""

    @property
    def is_idle(self) -> bool:
        """Whether the kernel's last status is idle."""

    async def answer(self, channel: str) -> None:
        """Wait until the kernel has answered a request on this channel, ``shell`` or ``control``."""


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
        """Watch the cell that runs inside; raises NoAnswer."""
        limit, self._idle = asyncio.timeout(None), 0
        try:
            async with limit:
                watching = asyncio.create_task(self._expire(limit, kernel))
                try:
                    yield
                finally:
                    watching.cancel()
        except (TimeoutError, DeadKernelError):  # nbclient reports any end of its wait as the kernel's death
            if limit.expired():
                raise NoAnswer from None
            raise
        self._idle = 0

    async def _expire(self, limit: asyncio.Timeout, kernel: Watched) -> None:
        await self._stuck(kernel)
        limit.reschedule(asyncio.get_running_loop().time())

    async def _stuck(self, kernel: Watched) -> None:
        """Wait until the kernel has been idle for long, has answered, and is still idle."""
        while True:
            await self._looks(kernel, PATIENCE)
            await self._answered(kernel)
            if self._idle and await self._stays_idle(kernel):
                return

    async def _looks(self, kernel: Watched, wanted: int) -> None:
        """Wait for ``wanted`` idle checks in a row."""
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
        """Wait until the kernel has answered in turn, or later on its control channel, which has no queue."""
        in_turn = asyncio.create_task(kernel.answer("shell"))
        deaf = asyncio.create_task(self._looks(kernel, PATIENCE + DEAFNESS))
        try:
            await asyncio.wait((in_turn, deaf), return_when=asyncio.FIRST_COMPLETED)
            if not in_turn.done():
                await kernel.answer("control")
        finally:
            in_turn.cancel()
            deaf.cancel()
