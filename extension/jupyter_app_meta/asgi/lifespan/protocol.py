"""The server, as the lifespan protocol shows it.

If the surrounding context fails while the server serves, the server is told to stop, and the failure waits until the
server has let its clients go. The server is told only the type of an error, because a server's log should not have its
text. Our own log has the whole error.
"""

from __future__ import annotations

import asyncio
import logging

from starlette.types import Receive, Send

from ...lifespans import shielded
from .gate import GRACE, Gate
from .stopping import is_worker, stop_server


class Server:
    """A server that speaks the lifespan protocol."""

    def __init__(self, receive: Receive, send: Send, log: logging.Logger) -> None:
        self._receive, self._send, self._log = receive, send, log
        self._has_started = self._was_cancelled = self._is_told = False

    async def started(self) -> None:
        """Tell the server that it may serve."""
        await self._send({"type": "lifespan.startup.complete"})
        self._has_started = True

    async def until_it_stops(self, gate: Gate) -> None:
        """Return when the server stops. If the surrounding context fails first, stop the server, then be cancelled."""
        try:
            await self._receive()
        except asyncio.CancelledError:
            self._was_cancelled = True
            gate.refuse()
            self._is_told = stop_server()
            await shielded(self._let_go(gate))
            raise

    async def _let_go(self, gate: Gate) -> None:
        """Return when requests have ended and, if the server was told to stop, when it has let its clients go."""
        await gate.close()
        if not self._is_told:
            return
        try:
            async with asyncio.timeout(GRACE):
                await self._receive()
        except TimeoutError:
            self._log.warning("The server was told to stop, but has not stopped: leaving the lifespan anyway.")

    async def failed(self, error: BaseException) -> None:
        """Log an error, and tell the server its type."""
        if isinstance(error, asyncio.CancelledError):
            return
        when = "failed" if self._has_started else "did not start"
        self._log.critical("The lifespan %s; the server stops.", when, exc_info=error)
        self._end_worker(error)
        kind = "lifespan.shutdown.failed" if self._has_started else "lifespan.startup.failed"
        await self._send({"type": kind, "message": f"{type(error).__name__} in the lifespan."})

    async def ended(self) -> None:
        """Tell the server that the lifespan has ended."""
        self._end_worker(None)
        await self._send({"type": "lifespan.shutdown.complete"})

    def _end_worker(self, error: BaseException | None) -> None:
        """End a worker that no signal reaches, if the lifespan was over before the server stopped."""
        if self._was_cancelled and not self._is_told and is_worker():
            raise SystemExit(1) from error
