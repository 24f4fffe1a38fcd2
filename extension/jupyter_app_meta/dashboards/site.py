"""What one server serves, from the first kernel that runs ahead to the end of the last one.

``open`` makes everything that must be closed, ``start`` begins to run ahead and to look after pages, and ``close`` ends
every kernel. A site knows no web framework: a host asks ``admission`` who may see a page, and sends what the page's run
yields.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from jupyter_core.utils import ensure_async
from jupyter_server.auth.identity import IdentityProvider
from traitlets.config import Config

from ..lifespans import Lifespan
from ..server.gateway.client import GatewayFailed
from . import live
from .files.machine import Machine
from .gateway.options import gateway_options
from .gateway.specs import GatewaySpecs
from .hooks import OnError
from .load.limits import Limits
from .mounts import Mount
from .paths import Route
from .peers import Peers
from .services import Services
from .setup import managers, runtime
from .setup.outside import Outside
from .sources import Entry, Source, opened
from .visits import DIED, ENDED

SWEEP = 5.0
"""Seconds between two checks for new and vanished notebooks, and the most seconds between two checks of the pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a server will serve, and how: options that have been checked. Nothing is open yet."""

    mounts: tuple[Mount, ...]
    index: Route | None
    base_url: str
    page_base: str = ""
    config: Config = field(repr=False)
    log: logging.Logger
    identity_provider: IdentityProvider | type[IdentityProvider] | None = None
    token: str | None = field(default=None, repr=False)
    on_error: OnError | None = None
    lifespan: Lifespan | None = None
    files: tuple[str, ...] = ()
    template_paths: tuple[str | Path, ...] = ()
    limits: Limits = field(default_factory=Limits)
    outside: Outside = field(default_factory=Outside)

    @property
    def base(self) -> managers.Base:
        """The base URLs of the server and of its pages."""
        return managers.Base(self.base_url, self.page_base)


class Site:
    """The dashboards of one server, their managers and their open pages."""

    def __init__(self, plan: Plan, services: Services, resources: ExitStack) -> None:
        self.plan, self.services = plan, services
        self.sources: list[Source] = opened(services, plan.mounts)
        self._resources = resources
        self._running: asyncio.Task[None] | None = None
        self._is_closed = False
        services.meter.watch(self._levels, self._operations)

    @classmethod
    def open(cls, plan: Plan, secret: bytes, realm: str, peers: Peers) -> Site:
        """Open what a plan needs. The names of browser tabs are made from ``secret``. The site closes ``peers``."""
        with ExitStack() as undo:
            gateway = gateway_options(plan.config)
            folder = undo.enter_context(runtime.folder(plan.log, (gateway and gateway.url) or ""))
            services = managers.services(
                plan.config, plan.log, plan.base, folder, secret, plan.limits, peers, realm, plan.outside.allowed
            )
            peers.board = live.listed(services)
            return cls(plan, services, undo.pop_all())

    async def entries(self) -> list[Entry]:
        """Return the dashboards that need no parameter, and whether each of them can be opened."""
        found = [entry for source in self.sources for entry in await source.entries()]
        kernels = self.services.specs
        if isinstance(kernels, GatewaySpecs) and not kernels.is_known:
            try:
                await kernels.refresh()
            except GatewayFailed:  # the gateway may answer when a page is opened
                return found
        return await asyncio.to_thread(self._judged, found)

    def _judged(self, entries: list[Entry]) -> list[Entry]:
        services = self.services
        machine = Machine.of(services.specs, services.options.voila, services.options.config)
        judged = [entry._replace(is_available=not machine.problem(entry.notebook)) for entry in entries]
        for notebook, problem in machine.problems.items():
            if services.unavailable.get(notebook) != problem:
                services.log.warning("The index shows %s as not available: %s", notebook.name, problem)
        services.unavailable.clear()
        services.unavailable.update(machine.problems)
        return judged

    def shows(self, name: str) -> bool:
        """Whether a page without parameters has this one segment as its address."""
        return any(_shows(source, name) for source in self.sources)

    def not_ready(self) -> list[str]:
        """Return what the server still waits for: nothing if it is ready."""
        waits = {
            "it ends": self.services.traffic.closed,
            "warm kernels start": not all(source.is_settled for source in self.sources),
            "the store of state cannot be used": bool(self.services.peers.problem),
        }
        return [name for name, is_so in waits.items() if is_so]

    def _levels(self) -> dict[str, float]:
        services = self.services
        found: dict[str, float] = {
            "pages": len(services.visits),
            "rendering": services.traffic.rendering,
            "kernels": len(self._kernel_ids()),
            "warm": sum(not run.has_visitor for run in services.occupancy.runs),
        }
        return {**found, "store_up": not services.peers.problem} if services.store is not None else found

    def _kernel_ids(self) -> set[str]:
        """Return the ids of the kernels that run, also of forks to which no browser has connected."""
        services = self.services
        of_runs = {run.kernel_id for run in services.occupancy.runs}
        return {*services.kernels.list_kernel_ids(), *of_runs} - {""}

    def _operations(self) -> dict[str, float]:
        return dict(self.services.state.links.tally) if self.services.state else {}

    def start(self) -> bool:
        """Start the warm kernels, and look after pages. Idempotent. Return whether this call started them."""
        if self._running is not None or self._is_closed:
            return False
        self._running = self.services.spawn(self._look_after())
        peers = self.services.peers
        self.services.spawn(peers.look_after())
        self.services.spawn(peers.sweep())
        if peers.board:
            self.services.spawn(peers.board.look_after())
        return True

    async def _look_after(self) -> None:
        for source in self.sources:
            await source.start()
        limits = self.services.options.limits
        period = min(SWEEP, limits.idle_timeout / 4, limits.connect_timeout / 4)
        swept = time.monotonic()
        while True:
            await asyncio.sleep(max(period, 0.1))
            try:
                await self._end_abandoned()
                if time.monotonic() - swept >= SWEEP:
                    swept = time.monotonic()
                    await self._sweep()
            except Exception as error:  # a disk may be unavailable for a moment, but abandoned pages must still end
                self.services.log.warning("Could not look after the dashboards (%s).", type(error).__name__)

    async def _sweep(self) -> None:
        for source in self.sources:
            await source.sweep()
        if isinstance(specs := self.services.specs, GatewaySpecs):
            await specs.look_after()

    async def _end_abandoned(self) -> None:
        """End the kernels whose pages are gone, and the pages whose kernels are gone."""
        services, limits = self.services, self.services.options.limits
        for kernel_id, visit in services.visits.items():
            presence = visit.presence
            longest = limits.idle_timeout if presence.was_connected else limits.connect_timeout
            has_died = visit.run is not None and not await visit.run.is_alive()
            is_quiet = 0 < limits.quiet_timeout < presence.quiet()
            if has_died or is_quiet or presence.away() > longest:
                services.spawn(services.visits.end(kernel_id, DIED if has_died else ENDED))

    async def close(self) -> None:
        """End all kernels and forget all visits. The site cannot be started again. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = self.services.traffic.closed = True
        if self._running:
            self._running.cancel()
        await asyncio.gather(*(source.close() for source in self.sources))
        await asyncio.gather(*(run.close() for run in tuple(self.services.occupancy.runs)), return_exceptions=True)
        await self._shut_down_kernels()
        if isinstance(specs := self.services.specs, GatewaySpecs):
            specs.gateway.close()
        self.services.tasks.cancel()
        if self.services.state:
            await self.services.state.close()  # its sockets belong to this loop, and to the context that ends now
        self.services.sockets.destroy(linger=0)
        self.services.kernels.context.destroy(linger=0)
        await asyncio.to_thread(self.services.peers.close)
        self._resources.close()

    async def _shut_down_kernels(self) -> None:
        """Shut down the remaining kernels. A kernel that never came up does not hold up the others."""
        kernels = self.services.kernels
        ends = (ensure_async(kernels.shutdown_kernel(kernel_id, now=True)) for kernel_id in kernels.list_kernel_ids())
        await asyncio.gather(*ends, return_exceptions=True)


def _shows(source: Source, name: str) -> bool:
    is_root = source.is_folder and not source.route.segments
    return source.file({"name": name}) is not None if is_root else source.route.path == f"/{name}"
