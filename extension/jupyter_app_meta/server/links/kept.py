"""What a server needs so that its kernels can store: the store, the service, the links and the grants."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ...errors import AppMetaError
from ...policy import RawRequest
from ...state import keys
from ...state.live.events import Changed, Event, write_event
from ...state.paging.operations import PageService
from ...state.revoked import Revoked
from ...state.rules import Rules
from ...state.service import Service
from ...state.stores.base import Store
from ...state.tabs import Told
from ...state.values import Limits
from .granting import Grants, Places
from .link import Office, TabOf
from .links import Links
from .pace import Pace

THREADS = 8
"""How many questions to the store are in work at the same time."""


COPYING = 2.5
"""Seconds for which a page waits for the copy of a duplicated tab. Half a second later it would do without its tab."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The deployer's options for stored state."""

    timeout: float
    limits: Limits
    preferences: frozenset[str]
    presence: bool = True
    deployment: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """The parts of stored state in one server."""

    store: Store
    service: Service
    links: Links
    grants: Grants
    revoked: Revoked
    _threads: ThreadPoolExecutor = field(repr=False)
    _log: logging.Logger = field(repr=False)

    @classmethod
    def of(
        cls,
        store: Store,
        key: bytes,
        terms: Terms,
        places: Places,
        kernel: Callable[[str], Any | None],
        log: logging.Logger,
        tab: TabOf,
        pages: PageService,
    ) -> Kept:
        """Put the parts together. Nothing connects before the first question."""
        revoked, threads = Revoked(store), ThreadPoolExecutor(THREADS, "app-meta-state")
        options = terms.limits, terms.preferences, terms.presence
        knowing = revoked.revoke, revoked.recalled
        now, then = time.time, revoked.not_before
        rules = Rules(key, now, then, *options, *knowing, pages=pages, lately=revoked.lately)

        def send(kernel_id: str, event: Event) -> None:
            if isinstance(event, Changed):
                pace.put(kernel_id, event)
            else:
                links.send_soon(kernel_id, write_event(event))

        def tell(kernel_id: str, event: Changed) -> None:
            # A message may be lost. Of changes, a kernel that was behind is told that there were some.
            try:
                links.send(kernel_id, write_event(event), (event.scope, write_event(Changed(event.scope))))
            except Exception as error:  # of one kernel: others must be told
                log.warning("jupyter-app-meta: a kernel is not told of a change (%s).", type(error).__name__)

        service = Service(store, rules, send, log)
        links = Links(Office(service, threads, terms.timeout, log, tab), kernel)
        pace = Pace(tell, links.call_soon)
        granting = Grants(key, places, links.name, revoked, service.renewed)
        return cls(store, service, links, granting, revoked, threads, log)

    @property
    def places(self) -> Places:
        """The spaces and identities of this server."""
        return self.grants.places

    async def copy_tab(self, kernel_id: str, raw: RawRequest, identity_key: str, told: Told) -> None:
        """Let the state of a duplicated tab begin as a copy of the other tab's, for the visitor of a page."""
        identity, space = self.grants.whose(raw, identity_key, "run"), self.places.dashboards.get(kernel_id)
        if identity is None or space is None or told.copy_of is None:
            return
        old, new = (keys.scope_of("session", space, identity, tab) for tab in (told.copy_of, told.tab))
        try:
            async with asyncio.timeout(COPYING):
                await asyncio.get_running_loop().run_in_executor(self._threads, self.service.copy, old, new)
        except (AppMetaError, TimeoutError) as error:
            self._log.warning("jupyter-app-meta: a duplicated tab begins empty (%s).", type(error).__name__)

    async def close(self) -> None:
        """Close the links and the threads, and leave the store open. Idempotent."""
        self.links.close()
        for threads in (self._threads, self.links.page_threads):
            threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self.service.close)  # a feed may take seconds to end
