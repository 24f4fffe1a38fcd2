"""The lifespan of a server: it is entered before the first page, and left after the last kernel.

1. It is entered and left in its own task, which has nothing of a visitor, even if a request starts it.
2. Until it is entered, and as soon as it ends, requests get 503.
3. If it ends by itself, because a task group of the deployer's has failed, all kernels end before it is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any

from ..lifespans import Ambient, Lifespan, Variables, entered, shielded

Close = Callable[[], Coroutine[Any, Any, None]]


class Living:
    """The lifespan of one server. Without a lifespan, the server exists until it is closed."""

    def __init__(self, lifespan: Lifespan | None, ambient: Ambient) -> None:
        self._lifespan, self._ambient = lifespan, ambient
        self._task: asyncio.Task[None] | None = None
        self._settled, self._over, self._ending = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.is_open = lifespan is None

    def begin(self, app: object, then: Callable[[], None], close: Close) -> None:
        """Enter the lifespan of this application, then call ``then``; ``close`` ends all kernels. Idempotent."""
        if self._lifespan is not None and self._task is None and not self._over.is_set():
            work = self._live(app, then, close)
            self._task = asyncio.get_running_loop().create_task(work, context=Context())

    async def entered(self) -> None:
        """Wait until the lifespan is entered; raises what entering it raises."""
        if self._task is None:
            return
        await self._settled.wait()
        if not self.is_open:
            await self.leave()

    async def ends(self) -> None:
        """Wait until the lifespan ends by itself."""
        await self._ending.wait()

    async def leave(self) -> None:
        """Leave the lifespan, after all kernels have ended; raises what it raises, once."""
        self._over.set()
        self.is_open = False
        task, self._task = self._task, None
        if task is None:
            return
        if not self._settled.is_set():
            task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled():
            task.result()

    async def _live(self, app: object, then: Callable[[], None], close: Close) -> None:
        before = copy_context()
        try:
            async with entered(self._lifespan, app):
                self._ambient.enter(Variables.since(before))
                self.is_open = True
                self._settled.set()
                then()
                try:
                    await self._over.wait()
                finally:
                    self._end()
                    await shielded(close())
        finally:
            self._end()
            self._settled.set()

    def _end(self) -> None:
        self.is_open = False
        self._ending.set()
