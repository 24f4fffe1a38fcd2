"""The input of a request: its body, and the message that the client has left.

1. A body is bounded in bytes and in seconds, as by tornado's own server.
2. A handler that wants its whole body begins when the body has arrived. A handler that takes it in pieces
   (``stream_request_body``) begins earlier; the next piece is read when it is done with the last.
3. Only if it matters, one task waits for the message that the client has left, and reads one message. Some middleware
   answers each further ``receive()`` at once with the same body, so it is not called again.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Receive
from tornado import httputil
from tornado.log import app_log

from .connection import Connection
from .refusals import Refused

DIGITS = 20
"""How many digits of a declared length are read. Even their beginning is more than any body may have."""


class Gone(Exception):
    """The client left before its body was complete."""


class Intake:
    """The input of one request, for the delegate that tornado has found."""

    def __init__(self, connection: Connection, delegate: httputil.HTTPMessageDelegate, receive: Receive) -> None:
        self._connection, self._delegate, self._receive = connection, delegate, receive
        self._ear: asyncio.Task[None] | None = None
        self._refused: Refused | None = None

    async def begin(self, start: httputil.RequestStartLine, headers: httputil.HTTPHeaders) -> None:
        """Begin the handler. Raises ``Refused`` for a body that is too large or too slow."""
        length = headers.get("Content-Length", "")[:DIGITS]
        declared = int(length) if length.isdecimal() else 0
        begun: Any = self._delegate.headers_received(start, headers)
        if begun is not None:
            self._ear = asyncio.create_task(self._stream(begun, declared))
            return
        try:
            await self._read(declared)
        except Gone:
            self._forget()
            return
        except BaseException:
            self._forget()
            raise
        self._delegate.finish()
        if self._connection.hears_leaving:
            self.listen()

    def listen(self) -> None:
        """Wait for the message that the client has left."""
        if self._ear is None:
            self._ear = asyncio.create_task(self._listen())

    def end(self) -> None:
        """Stop waiting, and tell a handler that still works that its client has left."""
        if self._ear is not None:
            self._ear.cancel()
        self._connection.leave()

    def check(self) -> None:
        """Raise the refusal that came while the handler took the body, if nothing has been answered yet."""
        if self._refused is not None and not self._connection.outbox.has_begun:
            raise self._refused

    async def _stream(self, begun: asyncio.Future[None], declared: int) -> None:
        try:
            await begun
            await self._read(declared)
        except Gone:
            self._forget()
        except Refused as refused:
            self._refused = refused
            self._forget("its request was refused" if self._connection.outbox.has_begun else "")
        except Exception:
            app_log.exception("Uncaught exception while a body was read")
            self._forget("its handler failed while it read the body")
        else:
            if not self._connection.is_finished:
                self._delegate.finish()
            await self._listen()

    async def _read(self, declared: int) -> None:
        limit = self._connection.max_body
        if declared > limit:
            raise _too_large(limit)
        patience = asyncio.timeout(self._connection.body_timeout)
        try:
            async with patience:
                await self._take(limit)
        except TimeoutError:
            if not patience.expired():
                raise
            raise Refused(408, "The request's body did not arrive in time. Send it again.") from None

    async def _take(self, limit: int) -> None:
        taken = 0
        while not self._connection.is_finished:
            message = await self._receive()
            if message["type"] != "http.request":
                raise Gone
            piece = message.get("body") or b""
            taken += len(piece)
            if taken > limit:
                raise _too_large(limit)
            handled: Any = self._delegate.data_received(piece) if piece else asyncio.sleep(0)
            if handled is not None:
                await handled
            if not message.get("more_body"):
                return

    async def _listen(self) -> None:
        try:
            message = await self._receive()
        except Exception:
            app_log.exception("Uncaught exception in receive(): it is not known whether the client is still there")
            return
        if message["type"] == "http.disconnect":
            self._connection.leave()

    def _forget(self, fault: str = "") -> None:
        """Tell the delegate that no more input comes, and send nothing more."""
        self._connection.set_close_callback(None)  # the delegate tells the handler
        self._delegate.on_connection_close()
        self._connection.outbox.close(fault and f"The response was given up: {fault}.")


def _too_large(limit: int) -> Refused:
    return Refused(
        413, f"The request's body is too large: at most {limit} bytes are accepted here. Send a smaller one."
    )
