"""The live pages of a Jupyter server: each connection of an editor to a kernel is on the server's board."""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from jupyter_server.serverapp import ServerApp

from ...errors import StateUnavailable
from ...state.live.relay import Relay
from ...state.stores.base import Store
from ...state.stores.servers import BEAT, Lease, NameTaken
from ..links.kept import Kept, Terms
from ..links.lab import kept_by, look_after
from ..pages.origins import Origins
from ..stores import beside
from .board import Board
from .rows import row_of

EXPELLED = (4403, "an administrator has ended the connection")
"""How the socket of a connection is closed that an administrator ends. Its editor may connect again."""


class Connection:
    """A connection of an editor, as the board knows an open page."""

    def __init__(self, connection: Any, relay: Relay, identity: str | None) -> None:
        self._connection, self._relay, self._identity = connection, relay, identity

    def end(self) -> None:
        """Close the socket."""
        self._connection.websocket_handler.close(*EXPELLED)

    def send(self, name: str, data: str) -> bool:
        """Give a message to the visitor's code in the kernel; False if it listens to none."""
        return self._relay.tell(self._connection.kernel_id, self._identity, name, data)

    connections = 1

    seen: float | None = None


class Editors:
    """Puts the connections of a server on its board."""

    def __init__(self, board: Board, kept: Kept, origins: Origins) -> None:
        self._board, self._kept, self._origins = board, kept, origins
        self._open: dict[str, set[str]] = {}

    def opened(self, connection: Any) -> None:
        """Put a connection on the board."""
        kernel_id, name = connection.kernel_id, str(id(connection))
        self._open.setdefault(kernel_id, set()).add(name)
        if (raw := connection.app_meta_raw) is None:
            return
        path = self._origins.session(kernel_id)["path"]
        space = self._kept.places.space(kernel_id, path, "edit")
        row = row_of(self._kept.grants, raw, connection.app_meta_visitor, space, kernel_id, page=path or "")
        page = Connection(connection, self._kept.service.relay, row.identity)
        self._board.opened(name, row, page)

    def closed(self, connection: Any) -> None:
        """Take a connection from the board. Idempotent, also for one that could not be put on it."""
        kernel_id, name = connection.kernel_id, str(id(connection))
        others = self._open.pop(kernel_id, set()) - {name}
        if others:
            self._open[kernel_id] = others
        else:
            self._kept.links.leave(kernel_id)
        self._board.closed(name)


@dataclass(frozen=True, slots=True)
class Lab:
    """What a Jupyter server has in its store: what its kernels keep, its live pages, and its name."""

    kept: Kept
    board: Board
    _lease: Lease
    _store: Store = field(repr=False)
    _log: logging.Logger

    @classmethod
    def open(cls, store: Store, terms: Terms, realm: str, app: ServerApp) -> Lab:
        """Let kernels ask for state, list live pages, and look after both as long as the server's loop runs."""
        settings, log = app.web_app.settings, app.log
        kept, lease = kept_by(store, terms, realm, settings, log), Lease(store, secrets.token_hex(6))
        made = cls(kept, Board(store, lease.name, log), lease, store, log)
        settings["app_meta_state"], settings["app_meta_sessions"] = kept, made.board
        for work in (made._stay_alive, made.board.look_after):
            app.io_loop.spawn_callback(work)
        app.io_loop.spawn_callback(look_after, store, log)
        return made

    async def _stay_alive(self) -> None:
        """Renew the server's name, so that its pages count."""
        while True:
            try:
                await beside.own(self._store, self._lease.take)
            except (StateUnavailable, NameTaken) as error:  # the next time, the store may be back
                self._log.debug("The server's name could not be renewed (%s).", type(error).__name__)
            await asyncio.sleep(BEAT)

    async def close(self) -> None:
        """Close what the server has in its store, and leave the store open."""
        await self.kept.close()
        await asyncio.to_thread(self._leave)

    def _leave(self) -> None:
        self.board.close()
        with suppress(StateUnavailable):
            self._lease.end()
