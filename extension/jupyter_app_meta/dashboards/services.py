"""What all dashboards of one server share."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import zmq.asyncio
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from traitlets.config import Config
from voila.configuration import VoilaConfiguration

from ..server.context import StampingContext
from ..server.hooks import Meta
from ..server.messages.gate import Accounts
from ..server.reports.allowances import Allowance
from ..server.reports.incidents import Incidents
from ..server.reports.logs import printable
from .limits import Limits, reaches
from .traffic import Traffic
from .visits import RunHandle, Visit, Visits

NAMED = ("provider", "hub")
"""Assurances with one identity for each visitor. Other visitors can have many, so they are counted by address too."""


class TooManyPages(Exception):
    """The limit of open pages is reached: that of the server (503), or that of one visitor or address (429)."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class Services:
    """The managers, the stamping context and the open visits of a server.

    ``request_hook`` adds the deployer's own fields where a dashboard's ``meta`` does not; ``sockets`` is the
    ZeroMQ context of the clients that run pages, ``runs`` has those that have not ended, and ``arrivals`` those who
    wait for theirs.
    """

    config: Config
    log: logging.Logger
    base_url: str
    kernels: AsyncMappingKernelManager
    specs: KernelSpecManager
    voila: VoilaConfiguration
    context: StampingContext
    visits: Visits
    sockets: zmq.asyncio.Context
    incidents: Incidents
    accounts: Accounts = field(default_factory=Accounts)
    traffic: Traffic = field(default_factory=Traffic)
    limits: Limits = field(default_factory=Limits)
    allowance: Allowance = field(default_factory=lambda: Allowance(1, 1 / 60))
    request_hook: Meta | None = None
    runs: set[RunHandle] = field(default_factory=set)
    arrivals: set[Visit] = field(default_factory=set)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def refusal(self, visit: Visit) -> int | None:
        """Return the status of a visit that has no room: 503 if the server is full, 429 if the visitor's share is."""
        pages = {*self.arrivals, *(open_one for _, open_one in self.visits.items())}
        if reaches(sum(run.has_visitor for run in self.runs) + len(self.arrivals), self.limits.max_pages):
            return 503
        if reaches(sum(page.visitor.key == visit.visitor.key for page in pages), self.limits.max_pages_per_visitor):
            return 429
        user = visit.visitor.user
        if visit.address is None or (user and user["assurance"] in NAMED):
            return None
        of_address = sum(page.address == visit.address for page in pages)
        if not reaches(of_address, self.limits.max_pages_per_address):
            return None
        self._say_full(visit.address, of_address)
        return 429

    def _say_full(self, address: str, pages: int) -> None:
        """Log, once in a while, that an address has its share: it may be a proxy that this server does not know."""
        if self.allowance.left():
            self.allowance.take(1)
            self.log.warning(
                "Refusing pages to %s, which has %d open (c.Serve.max_pages_per_address). If it is a proxy with many "
                "visitors, name it in AppMetaExtension.trusted_proxies.",
                printable(address),
                pages,
            )

    @contextmanager
    def arriving(self, visit: Visit) -> Iterator[None]:
        """Count a visit that has no run yet; raises TooManyPages."""
        if status := self.refusal(visit):
            raise TooManyPages(status)
        self.arrivals.add(visit)
        try:
            yield
        finally:
            self.arrivals.discard(visit)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run this in a task of its own, which inherits no context from the request that is being served."""
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self.tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.log.debug("A task ended with an error.", exc_info=error)
