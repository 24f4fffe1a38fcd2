"""The objects that all dashboards of one server share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq.asyncio
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from traitlets.config import Config
from voila.configuration import VoilaConfiguration

from ..lifespans import Ambient
from ..server.context import StampingContext
from ..server.hooks import Meta
from ..server.links.kept import Kept
from ..server.messages.gate import Accounts
from ..server.reports.incidents import Incidents
from ..state.stores.base import Store
from .load.limits import Limits
from .load.meter import Meter
from .load.occupancy import Occupancy
from .load.traffic import Traffic
from .peers import Peers
from .visits import Visits


@dataclass(frozen=True, slots=True)
class Options:
    """The deployer's options for the whole server, checked.

    Pages are rendered with ``page_base`` if the base URL differs between requests. It is a random path, and each
    request's own base takes its place. ``voila`` says how pages look. ``request_hook`` adds fields of requests where a
    dashboard's ``meta`` does not. ``limits`` have a number for each None.
    """

    config: Config = field(repr=False)
    base_url: str
    voila: VoilaConfiguration
    limits: Limits
    request_hook: Meta | None = None
    page_base: str = ""

    @property
    def rendered_base(self) -> str:
        """The base URL with which pages are rendered."""
        return self.page_base or self.base_url


@dataclass(frozen=True, slots=True)
class Tasks:
    """The tasks of a server. They are kept here, because the event loop does not keep a task alive."""

    log: logging.Logger
    ambient: Ambient = field(default_factory=Ambient)
    _running: set[asyncio.Task[Any]] = field(default_factory=set)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run this in its own task, in the lifespan's context, so that it inherits nothing of the current request."""
        task = asyncio.get_running_loop().create_task(work, context=self.ambient.context())
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def cancel(self) -> None:
        """Cancel all tasks."""
        for task in tuple(self._running):
            task.cancel()

    def __len__(self) -> int:
        return len(self._running)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.log.debug("A task ended with an error.", exc_info=error)


@dataclass(frozen=True, slots=True)
class Services:
    """The options, the managers, the stamping context and the open pages of a server.

    ``sockets`` is the ZeroMQ context of the clients that run pages. ``peers`` has the store that servers share.
    ``occupancy`` says whether there is room for one more page. ``accounts`` counts the messages of each visitor's
    pages. ``meter`` counts for the operator. ``unavailable`` has what the log
    has said of notebooks that cannot be shown.
    """

    options: Options
    log: logging.Logger
    kernels: AsyncMappingKernelManager
    peers: Peers
    context: StampingContext
    visits: Visits
    sockets: zmq.asyncio.Context
    incidents: Incidents
    occupancy: Occupancy
    tasks: Tasks
    accounts: Accounts = field(default_factory=Accounts)
    traffic: Traffic = field(default_factory=Traffic)
    meter: Meter = field(default_factory=Meter)
    unavailable: dict[Path, str] = field(default_factory=dict)

    @property
    def specs(self) -> KernelSpecManager:
        """The manager of the kernels that are installed."""
        found = self.kernels.kernel_spec_manager
        assert found is not None
        return found

    @property
    def store(self) -> Store | None:
        """Where state is kept; None if it is not kept."""
        return self.peers.store

    @property
    def state(self) -> Kept | None:
        """The parts of stored state; None if it is not kept."""
        return self.peers.state

    @property
    def ambient(self) -> Ambient:
        """The context of the server's own work."""
        return self.tasks.ambient

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run this in its own task (``Tasks.spawn``)."""
        return self.tasks.spawn(work)
