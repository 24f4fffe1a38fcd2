"""What a server shares with the others behind one address: a store, in which each server has a name."""

from __future__ import annotations

import asyncio
import logging
import secrets
import uuid
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

from ..errors import AppMetaError, DashboardError, StateUnavailable
from ..server import stores
from ..server.app import AppMetaExtension
from ..server.links.granting import Places
from ..server.links.kept import Kept
from ..server.links.link import TabOf
from ..server.live.board import Board
from ..server.stores import beside
from ..state import keeping
from ..state.grants import derive_key
from ..state.paging.operations import PageService
from ..state.stores.base import Store
from ..state.stores.servers import BEAT, DEAD, NO_DASHBOARDS, Lease, NameTaken, Served

SWEEP = 300.0
"""Seconds between two looks whether stored state is to be swept, which one of the servers does once an hour."""


MIXED = (
    "state_deployment is not set, and a server of other dashboards ({1}) has the same store and base URL, so both have "
    "the same state of {0}. Give each a state_deployment of its own. Servers of one deployment get the same one."
)


class Peers:
    """A server's store and its name in it. Without a store it has a name all the same.

    ``tag`` is what the ids of its kernels begin with, so that a proxy finds this server; it may be empty.
    ``secret_file`` is the server's own copy of the secret that is shared by the servers of the store.
    """

    def __init__(
        self,
        store: Store | None,
        secret_file: Path | None,
        tag: str,
        log: logging.Logger,
        served: Served = NO_DASHBOARDS,
    ) -> None:
        self.store, self.secret_file, self.tag, self._log = store, secret_file, tag, log
        self.state_file: Path | None = None
        self.state: Kept | None = None
        self.board: Board | None = None
        self.name = tag or secrets.token_hex(6)
        self._lease = Lease(store, self.name, served) if store else None
        self._problem = ""

    @property
    def problem(self) -> str:
        """Why the store cannot be used; empty if it can, as far as the last look says."""
        return self._problem

    @classmethod
    def open(cls, extension: AppMetaExtension, tag: str, served: Served = NO_DASHBOARDS) -> Peers:
        """Open the store, and take the server's name in it. Log if it mixes the state of other dashboards with ours.

        Raises DashboardError if another server has the name, PolicyError if the store must not be used.
        """
        url = stores.store_url(extension)
        store, secret_file = stores.opened(extension, extension.keep), stores.secret_file(url) if url else None
        made = cls(store, secret_file, tag, extension.log, served)
        made.state_file = stores.state_file(url) if url else None
        try:
            made._take()
        except BaseException:
            made.close()
            raise
        return made

    def _take(self) -> None:
        if self._lease is None:
            return
        try:
            self._lease.take()
            if mixed := self._lease.mixed():
                self._log.warning("%s", MIXED.format(*mixed))
        except NameTaken as taken:
            raise DashboardError(_taken(self.name, taken.where)) from None
        except StateUnavailable as error:
            self._problem = str(error)
            if not self._is_away():
                self._log.error("%s", error)

    def _is_away(self) -> bool:
        """Return whether the store cannot even be read, which was said when it was opened."""
        try:
            if self.store is not None:
                self.store.check()
        except StateUnavailable:
            return True
        return False

    async def look_after(self) -> None:
        """Renew the server's name as long as it lives, and log when the store goes away and comes back."""
        while (store := self.store) is not None:
            await asyncio.sleep(BEAT)
            if (lease := self._lease) is None:
                return
            problem = await beside.own(store, partial(self._renewed, lease))
            if problem and problem != self._problem:
                self._log.error("%s", problem)
            elif self._problem and not problem:
                self._log.info("The store of state can be used again.")
            self._problem = problem

    def _renewed(self, lease: Lease) -> str:
        """Renew the name; return what is wrong, or nothing."""
        try:
            lease.take()
        except NameTaken as taken:
            return _taken(self.name, taken.where)
        except AppMetaError as error:
            return str(error)
        return ""

    async def sweep(self) -> None:
        """Erase what is over, once an hour, as long as the server lives. It may take longer than a beat."""
        while (store := self.store) is not None:
            try:
                await beside.own(store, partial(keeping.sweep, store))
            except AppMetaError as error:
                self._log.debug("Stored state that is over could not be erased (%s).", type(error).__name__)
            await asyncio.sleep(SWEEP)

    def keep(
        self,
        extension: AppMetaExtension,
        places: Places,
        secret: bytes,
        kernels: AsyncMappingKernelManager,
        tab: TabOf,
        pages: PageService,
    ) -> None:
        """Let kernels ask for state, if there is a store. Grants are signed with a key that is made from ``secret``.

        ``tab`` and ``pages`` know the pages of kernels.
        """
        if self.store is None:
            return

        def kernel(kernel_id: str) -> Any | None:
            return kernels.get_kernel(kernel_id) if kernel_id in kernels else None

        key = derive_key(secret)
        self.state = Kept.of(self.store, key, extension.terms(), places, kernel, extension.log, tab, pages)

    def new_kernel_id(self) -> str:
        """Return a new kernel id, which begins with the server's tag."""
        return self.tag + str(uuid.uuid4())[len(self.tag) :]

    def close(self) -> None:
        """Give the name back and close the store, after what uses it. Idempotent."""
        lease, self._lease = self._lease, None
        if self.board:
            self.board.close()
        if lease is not None:
            with suppress(StateUnavailable):
                lease.end()
        if self.store is not None:
            beside.end(self.store)
            self.store.close()


def _taken(name: str, where: str) -> str:
    return (
        f"server_id {name!r} belongs to another server of this store ({where}): give each server an id of its own. "
        f"If that server was killed, its id is free after {DEAD:.0f} seconds."
    )
