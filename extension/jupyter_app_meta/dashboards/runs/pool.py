"""The pool of one dashboard: warm kernels, whose runs are ahead of their visitors, so that pages open sooner.

1. The pool keeps ``size`` runs. It starts them one after the other, while no visitor waits for a page.
2. A run that failed, is older than ``max_age`` seconds, whose notebook has changed or whose kernel has died, is closed.
3. After a failure the pool waits before it starts another run: 2 seconds, 4 seconds, and so on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from ..services import Services
from .reasons import reason
from .run import Run, State

SWEEP = 5
"""Seconds between two checks of the runs in the pool."""

LONGEST_PAUSE = 300
"""The most seconds between two attempts to start a run, however often runs have failed."""


class Pool:
    """Keeps runs ahead of their visitors."""

    def __init__(
        self,
        services: Services,
        begin: Callable[[], Awaitable[Run]],
        is_current: Callable[[Run], bool],
        *,
        size: int,
        max_age: float,
    ) -> None:
        self._services = services
        self._begin = begin
        self._is_current = is_current
        self._size = size
        self._max_age = max_age
        self._runs: list[Run] = []
        self._wanted = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._failures = 0
        self._not_before = 0.0
        self.is_settled = False

    def start(self) -> None:
        """Fill the pool, and keep it full; idempotent."""
        if self._keeper is None:
            self._keeper = self._services.spawn(self._keep())

    async def take(self) -> Run | None:
        """Return the run that has finished the most cells; None if no run can be given to a visitor."""
        await self._sweep()
        run = max((run for run in self._runs if run.is_usable), key=lambda run: run.cells.done, default=None)
        if run is not None:
            self._runs.remove(run)
            self._wanted.set()
        return run

    async def close(self) -> None:
        """Stop filling the pool, and close its runs."""
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
            self.is_settled = self.is_settled or self._is_done()
            self._wanted.clear()
            try:
                async with asyncio.timeout(SWEEP):
                    await self._wanted.wait()
            except TimeoutError:
                pass

    def _is_done(self) -> bool:
        """Whether each run has run ahead as far as it gets, or runs fail."""
        return self._failures > 0 or self._not_before > 0 or all(run.is_waiting for run in self._runs)

    async def _sweep_safely(self) -> None:
        try:
            await self._sweep()
        except Exception as error:  # a file system may be unavailable for a moment
            self._services.log.warning("Could not maintain the warm pool (%s).", type(error).__name__)

    async def _add(self) -> None:
        try:
            async with self._services.traffic.ahead():
                run = await self._begin()
                self._runs.append(run)
                await run.started()
        except Exception as error:
            self._services.incidents.failed("A kernel could not be started ahead", error, text=reason(error))
            self._pause()
            return
        if run.kernel and not run.kernel.aware:
            self._stop_for(run)

    def _stop_for(self, run: Run) -> None:
        """Close a run whose kernel cannot be claimed, and start no other."""
        self._services.log.warning(
            "%s: its pages start cold, because jupyter-app-meta is not installed for its kernel. Install it there.",
            run.blueprint.name,
        )
        self._give_up(run)
        self._not_before = float("inf")

    def _pause(self) -> None:
        self._failures += 1
        self._not_before = time.monotonic() + min(2**self._failures, LONGEST_PAUSE)

    async def _sweep(self) -> None:
        """Give up the runs that should not be given to a visitor."""
        for run in tuple(self._runs):
            if run.failed:
                self._pause()
            elif run.state is State.RENDERED:
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
