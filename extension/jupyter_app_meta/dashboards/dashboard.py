"""One notebook at one path, with settings of its own: two paths of one notebook share nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ..errors import DashboardError
from .runs import notebook
from .runs.notebook import Blueprint
from .runs.pool import Cold, Strategy, Warm
from .runs.run import Run
from .services import Services
from .settings import Settings
from .visits import Visit


class Dashboard:
    """Opens pages of one notebook for its visitors."""

    def __init__(self, services: Services, notebook: Path, settings: Settings) -> None:
        self._services, self.notebook, self.settings = services, notebook, settings
        self._blueprint: Blueprint | None = None
        self._reading = asyncio.Lock()
        self._strategy: Strategy = (
            Warm(services, self._begin, settings.warm, self._is_current, settings.max_age)
            if settings.warm > 0
            else Cold(self._begin)
        )

    def start(self) -> None:
        """Begin whatever is done ahead of visitors."""
        self._strategy.start()

    async def open(self, visit: Visit) -> Run:
        """Return the run of a visitor who has come."""
        run = await self._strategy.take()
        run.claim(visit)
        return run

    async def close(self) -> None:
        """End what nobody claimed."""
        await self._strategy.close()

    async def _begin(self, ahead: bool) -> Run:
        run = Run(self._services, await self._read(), ahead=ahead)
        run.start()
        return run

    async def _read(self) -> Blueprint:
        async with self._reading:
            version = notebook.version(self.notebook)
            if version is None:
                raise DashboardError(f"The notebook {self.notebook.name} is gone.")
            if self._blueprint is None or self._blueprint.version != version:
                self._blueprint = await notebook.read(self._services, self.notebook, version)
            return self._blueprint

    def _is_current(self, run: Run) -> bool:
        return run.blueprint.version == notebook.version(self.notebook)
