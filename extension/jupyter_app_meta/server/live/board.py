"""The board: which pages a server has open, as all servers of its store see them.

1. Pages note themselves on the loop. One thread writes the rows, in the order in which they changed.
2. A page works without the board. What could not be written is written as soon as the store is back.
3. What an administrator asks is done at once if the page is this server's. Otherwise its server finds a command.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from ...errors import StateUnavailable, TooLarge
from ...state.keys import Space, place
from ...state.sessions import Command, Filter, Session, Sessions, found, tell
from ...state.stores.base import Notice, Store
from ..stores import beside

RENEWED, RETRIED = 12 * 3600.0, 20.0
"""Seconds between two renewals of the rows, and until a store that was away is asked again."""


MOMENT = 0.05
"""Seconds after which changes are written."""


class Open(Protocol):
    """An open page or connection, on any server."""

    def end(self) -> None:
        """End it, because an administrator says so."""

    def send(self, name: str, data: str) -> bool:
        """Give a message to the running code; False if the code listens to none. The data is JSON."""

    @property
    def connections(self) -> int:
        """How many sockets it has now."""

    @property
    def seen(self) -> float | None:
        """When the visitor's browser last sent something, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class _Own:
    session: Session
    page: Open


class Board:
    """The live pages of one server, and what it can see and end of the others'."""

    def __init__(self, store: Store, name: str, log: logging.Logger) -> None:
        self._store, self._sessions, self._log = store, Sessions(store, name), log
        self._thread = ThreadPoolExecutor(1, "app-meta-sessions")
        self._waiting: list[Callable[[], None]] = []
        self._own: dict[str, _Own] = {}
        self._ids: dict[str, str] = {}
        self._is_closed = False
        self._write(self._sessions.begin)

    def opened(self, key: str, session: Session, page: Open) -> None:
        """Note a page of this server; ``key`` names it for ``closed``."""
        self.closed(key)
        made = replace(session, id=secrets.token_hex(16), server=self._sessions.server)
        self._ids[key], self._own[made.id] = made.id, _Own(made, page)
        self._write(self._sessions.open, made)

    def closed(self, key: str) -> None:
        """Note that a page has ended. Idempotent."""
        if id := self._ids.pop(key, None):
            del self._own[id]
            self._write(self._sessions.close, id)

    def _write(self, change: Callable[..., object], *given: object) -> None:
        def write() -> None:
            try:
                change(*given)
            except StateUnavailable:
                self._sessions.is_behind = True
            except TooLarge as error:
                self._log.debug("A page is not listed: %s", error)

        self._waiting.append(write)
        if len(self._waiting) == 1:
            self._later()

    def _later(self) -> None:
        """Write in a moment: the thread would take time from the page that has just been opened."""
        try:
            asyncio.get_running_loop().call_later(MOMENT, self._submit)
        except RuntimeError:  # no loop runs yet
            self._submit()

    def _submit(self) -> None:
        waiting, self._waiting = self._waiting, []

        def write() -> None:
            for one in waiting:
                one()

        with suppress(RuntimeError):  # the board is closed
            self._thread.submit(write)

    async def list(self, dashboard: str | None = None, user: str | None = None) -> list[dict[str, Any]]:
        """Return the live pages of all servers, the oldest first; raises StateUnavailable.

        ``dashboard`` is a dashboard's path, ``user`` a username, or realm, kind and username such as
        ``hub:user:alice``; what is empty excludes no page. ``seen`` and ``connections`` are None for pages of other
        servers.
        """
        which = Filter(place(dashboard) if dashboard else None, user or None)
        elsewhere = await beside.asked(self._store, lambda: found(self._store, which))
        own = [own.session for own in self._own.values() if which.has(own.session)]
        rows = [*own, *(row for row in elsewhere if row.server != self._sessions.server)]
        return [self._shown(row) for row in sorted(rows, key=lambda row: (row.since, row.id))]

    def _shown(self, row: Session) -> dict[str, Any]:
        own = self._own.get(row.id)
        told = asdict(row)
        return {
            **{name: told[name] for name in ("id", "username", "kind")},
            "dashboard": _place(row),
            **{name: told[name] for name in ("page", "kernel_id", "server")},
            "since": _time(row.since),
            "seen": _time(own.page.seen) if own else None,
            "connections": own.page.connections if own else None,
        }

    async def end(self, id: str) -> bool:
        """End a live page of any server; False if there is none with this id. Raises StateUnavailable, TooLarge."""
        return await self._tell(Command("end", id))

    async def send(self, id: str, name: str, data: object) -> bool:
        """Send a JSON value to the handlers of ``session.on(name)`` in a live page; False if there is no such page.

        Raises StateUnavailable, TooLarge, and TypeError or ValueError for what is not JSON.
        """
        return await self._tell(Command("send", id, name, json.dumps(data, allow_nan=False)).bounded())

    async def _tell(self, command: Command) -> bool:
        if command.session in self._own:
            self._do(command)
            return True
        return await beside.asked(self._store, lambda: tell(self._store, command, self._sessions.server))

    def _do(self, command: Command) -> None:
        if (own := self._own.get(command.session)) is None:
            return
        if command.verb == "end":
            own.page.end()
        else:
            own.page.send(command.name, command.data)

    async def look_after(self) -> None:
        """Take what other servers ask for, and keep the rows, until it is cancelled."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def hear(notice: Notice) -> None:
            if notice.scope in (None, self._sessions.inbox):
                with suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(news.set)

        await beside.own(self._store, lambda: self._store.feed(hear))
        renewed = loop.time()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRIED):
                    await news.wait()
            news.clear()
            try:
                for command in await beside.own(self._store, self._sessions.take):
                    self._do(command)
            except StateUnavailable:
                continue  # the store says by its feed when it is back
            except Exception as error:  # of one command: the next ones must not suffer
                self._log.warning("A live page could not be reached (%s).", type(error).__name__)
            if self._sessions.is_behind or loop.time() - renewed > RENEWED:
                renewed = loop.time()
                self._write(self._sessions.renew)

    def close(self) -> None:
        """Drop the rows of this server and end the thread, before the store closes. Blocks. Idempotent.

        What waits to be written is left out, because all of it is dropped.
        """
        if self._is_closed:
            return
        self._is_closed = True
        self._thread.shutdown(cancel_futures=True)
        with suppress(StateUnavailable):
            self._sessions.shut()


def _place(row: Session) -> str | None:
    try:
        return Space.read(row.space).place
    except ValueError:
        return None


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
