"""One notebook at one path, with its own settings: two paths of the same notebook share nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from ..errors import DashboardError
from .files import imports
from .forks.demand import Demand
from .forks.strategy import Forks
from .runs import notebook
from .runs.notebook import Blueprint
from .runs.pool import Pool
from .runs.run import Run
from .services import Services
from .settings import Settings
from .visits import Visit

Greet = Callable[[Run], Awaitable[None]]
"""Sends the beginning of a run's page."""


class Dashboard:
    """Opens pages of one notebook for its visitors."""

    def __init__(self, services: Services, notebook: Path, settings: Settings, place: str) -> None:
        """``place`` is the path at which it is, with its parameters' names."""
        self.notebook = notebook
        self.settings = settings
        self._services = services
        self._space = services.state.places.of_dashboard(place, settings.state) if services.state else None
        self._place, self._has_advised = place, False
        self._blueprint: Blueprint | None = None
        self._reading = asyncio.Lock()
        self._pool: Pool | None = None
        if settings.warm > 0:
            begin = partial(self._begin, ahead=True)
            self._pool = Pool(services, begin, self._is_current, size=settings.warm, max_age=settings.max_age)
        self._forks: Forks | None = None
        if demand := Demand.of(settings, services):
            self._forks = Forks(
                services,
                self._read,
                self._is_version,
                self._start_pool,
                demand=demand,
                space=self._space,
            )

    def start(self) -> None:
        """Run ahead, if the dashboard does: in a template, or else in a pool."""
        if self._forks:
            self._forks.start()
        else:
            self._start_pool()

    def _start_pool(self) -> None:
        if self._pool:
            self._pool.start()

    async def open(self, visit: Visit, greet: Greet) -> Run:
        """Return the visitor's run: a fork, or one from the pool, or else a new one.

        If the page of a run ahead has a beginning, ``greet`` sends it before the kernel is given to the visitor. A
        browser takes longer to prepare for a page than the kernel to answer, so the browser begins first.
        """
        run, visit.start = await self._taken()
        if run.has_begun:
            await greet(run)
        run.give_to(visit)
        return run

    async def _taken(self) -> tuple[Run, str]:
        """Return a run, and how its kernel began."""
        if self._forks and (run := await self._forks.take()):
            return run, "forked"
        if self._pool and (run := await self._pool.take()):
            return run, "warm"
        return await self._begin(), "cold"

    def shown(self) -> None:
        """Note that a visitor has seen the whole page."""
        if self._forks:
            self._forks.visited()

    @property
    def is_settled(self) -> bool:
        """Whether what runs ahead, if the dashboard has it, is ready or has found that it cannot be."""
        if self._forks:
            return self._forks.is_settled
        return self._pool is None or self._pool.is_settled

    async def close(self) -> None:
        """End the runs that have no visitor."""
        if self._forks:
            await self._forks.close()
        if self._pool:
            await self._pool.close()

    async def _begin(self, *, ahead: bool = False) -> Run:
        return Run(self._services, await self._read(), ahead=ahead, space=self._space)

    async def _read(self) -> Blueprint:
        async with self._reading:
            version = notebook.version(self.notebook)
            if version is None:
                raise DashboardError(f"The notebook {self.notebook.name} does not exist any more.")
            if self._blueprint is None or self._blueprint.version != version:
                self._blueprint = await notebook.read(self._services, self.notebook, version)
                self._advise(self._blueprint)
            return self._blueprint

    def _advise(self, blueprint: Blueprint) -> None:
        if not self._has_advised and (advice := imports.advice(blueprint.notebook)):
            self._has_advised = True
            self._services.log.warning("%s (%s) %s", self._place, blueprint.file, advice)

    def _is_current(self, run: Run) -> bool:
        return self._is_version(run.blueprint)

    def _is_version(self, blueprint: Blueprint) -> bool:
        return blueprint.version == notebook.version(self.notebook)
