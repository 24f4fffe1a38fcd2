"""Where a visitor's run comes from. One strategy for each dashboard; another one needs these three methods.

start()   begin whatever is done ahead
take()    a run for a visitor who has come; they claim it
close()   end what nobody claimed
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from ..services import Services
from .reasons import reason
from .run import Run

SWEEP = 5
"""Seconds between two looks at the kernels that wait."""

LONGEST_PAUSE = 300
"""Seconds until the next attempt at the latest, after runs that failed ahead of their visitor."""

Begin = Callable[[bool], Awaitable[Run]]


class Strategy(Protocol):
    """Gives runs to visitors."""

    def start(self) -> None:
        """Begin whatever is done ahead."""

    async def take(self) -> Run:
        """Return a run for a visitor who has come."""

    async def close(self) -> None:
        """End what nobody claimed."""


class Cold:
    """Begins each run when its visitor comes."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin

    def start(self) -> None:
        """Nothing is done ahead."""

    async def take(self) -> Run:
        """Return a run that has just begun."""
        return await self._begin(False)

    async def close(self) -> None:
        """There is nothing that nobody claimed."""


class Warm:
    """Keeps runs ahead of their visitors; who comes when there is none starts cold."""

    def __init__(
        self, services: Services, begin: Begin, size: int, is_current: Callable[[Run], bool], max_age: float
    ) -> None:
        self._services, self._begin, self._size, self._is_current = services, begin, size, is_current
        self._max_age = max_age
        self._runs: list[Run] = []
        self._wanted = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._failures = 0
        self._not_before = 0.0

    def start(self) -> None:
        """Begin to fill, and keep full."""
        if self._keeper is None:
            self._keeper = self._services.spawn(self._keep())

    async def take(self) -> Run:
        """Return the run that is furthest, or begin one."""
        await self._sweep()
        run = max((run for run in self._runs if run.is_usable), key=lambda run: run.cells_done, default=None)
        if run is None:
            return await self._begin(False)
        self._runs.remove(run)
        self._wanted.set()
        return run

    async def close(self) -> None:
        """End the keeper and the runs that nobody claimed."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait((self._keeper,))
        runs, self._runs = self._runs, []
        await asyncio.gather(*(run.close() for run in runs), return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            await self._sweep_safely()
            if len(self._runs) < self._size and time.monotonic() >= self._not_before:
                await self._add()
                continue
            self._wanted.clear()
            try:
                async with asyncio.timeout(SWEEP):
                    await self._wanted.wait()
            except TimeoutError:
                pass

    async def _sweep_safely(self) -> None:
        try:
            await self._sweep()
        except Exception as error:  # a disk may be away for a moment
            self._services.log.warning("Looking after warm kernels failed with %s.", type(error).__name__)

    async def _add(self) -> None:
        try:
            async with self._services.traffic.ahead():
                run = await self._begin(True)
                self._runs.append(run)
                await run.started()
        except Exception as error:
            self._services.incidents.failed("A kernel could not be started ahead", error, text=reason(error))
            self._pause()
            return
        if run.kernel and not run.kernel.aware:
            self._services.log.warning(
                "%s: its kernels are not run ahead, as jupyter-app-meta is not installed for them.", run.name
            )
            self._give_up(run)
            self._not_before = float("inf")

    def _pause(self) -> None:
        self._failures += 1
        self._not_before = time.monotonic() + min(2**self._failures, LONGEST_PAUSE)

    async def _sweep(self) -> None:
        """Give up the runs that failed, whose kernel or notebook is another one now, or that are old."""
        for run in tuple(self._runs):
            if run.failed:
                self._pause()
            elif run.done:
                self._failures = 0
            if run.failed or not await self._is_fresh(run):
                self._give_up(run)

    async def _is_fresh(self, run: Run) -> bool:
        young = time.monotonic() - run.began < self._max_age
        return young and self._is_current(run) and await run.is_alive()

    def _give_up(self, run: Run) -> None:
        if run in self._runs:
            self._runs.remove(run)
            self._wanted.set()
            self._services.spawn(run.close())
