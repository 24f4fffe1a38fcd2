"""tornado's WebSocketProtocol in ASGI messages.

1. Messages go in and out in order. A message is handled when the handler is done with the one before.
2. One message waits and one more is read, so that a client's leaving is noticed while the handler is busy, even if the
   handler waits for its own write. Messages that came before the client left are still handled.
3. ASGI has no pings, because servers send their own. A handler's ping is answered as soon as the server has everything
   that was written before it. So a client that does not read is noticed, as with tornado.
4. A message that is too large closes with 1009, an error of the handler with 1011. A code or reason that no server
   could send is replaced, because closing must not fail.
5. Closing takes at most ``LINGER`` seconds, even if the client reads nothing.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import Any

from starlette.types import Message, Receive
from tornado.escape import json_encode, to_unicode, utf8
from tornado.log import app_log
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from .outbox import Outbox

LINGER = 5.0
"""How many seconds a client has to read the end of a socket. tornado gives the same."""

NORMAL, TOO_BIG, INTERNAL_ERROR = 1000, 1009, 1011
UNTOLD = (1005, 1006)
"""Codes that no client sends. They stand for a close without a code, and for a broken connection."""

LONGEST_REASON = 123
"""How many bytes a close frame has for its reason."""


class Socket:
    """The WebSocket of one handler, which is its ``ws_connection``.

    It does not inherit from tornado's class: the abstract methods differ between versions, and only tornado itself
    calls them.
    """

    def __init__(self, outbox: Outbox, receive: Receive, offered: list[str]) -> None:
        self.handler: WebSocketHandler | None = None
        self.selected_subprotocol: str | None = None
        self.client_terminated = False
        self._outbox, self._receive, self._offered = outbox, receive, offered
        self._inbox: asyncio.Queue[Message | None] = asyncio.Queue(maxsize=1)
        self._listening: asyncio.Task[None] | None = None
        self._has_ended = asyncio.Event()
        self._closed_with: tuple[int | None, str | None] = None, None
        self._is_open = self._is_closing = False

    async def accept_connection(self, handler: WebSocketHandler) -> None:
        """Accept the handshake, open the handler, and hand it each message until either side closes."""
        chosen = handler.select_subprotocol(list(self._offered))
        if chosen is not None and chosen not in self._offered:
            raise ValueError("select_subprotocol must return None or one of the protocols that the client offers.")
        self.selected_subprotocol = chosen
        handler.clear_header("Content-Type")
        handler.set_status(101)
        handler.finish().add_done_callback(self._accepted)
        self._is_open = True
        try:
            await self._serve(handler)
        except asyncio.CancelledError:  # the loop ends, and so does the socket, as with tornado
            self.close(INTERNAL_ERROR)
        except Exception:
            handler.log_exception(*sys.exc_info())
            self.close(INTERNAL_ERROR)
        finally:
            self._end(handler)

    def acceptance(self, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
        """Return the accepting message, with the handler's headers. The server itself writes those of the handshake."""
        kept = [pair for pair in headers if not pair[0].startswith(b"sec-websocket-") and pair[0] != b"content-length"]
        return {"type": "websocket.accept", "subprotocol": self.selected_subprotocol, "headers": kept}

    def write_message(self, message: str | bytes | dict[str, Any], binary: bool = False) -> asyncio.Future[None]:
        """Send a message; the future is done when the server has taken it. Raises WebSocketClosedError."""
        if self.is_closing():
            raise WebSocketClosedError
        if isinstance(message, dict):
            message = json_encode(message)
        if binary:
            return self._outbox.put({"type": "websocket.send", "bytes": utf8(message)})
        return self._outbox.put({"type": "websocket.send", "text": to_unicode(message)})

    def write_ping(self, data: bytes) -> None:
        """Answer a ping when the server has everything that was written before it."""
        handler = self.handler

        def answer(reached: asyncio.Future[None]) -> None:
            if handler is None or self.client_terminated or reached.exception() is not None:
                return
            try:
                handler.on_pong(data)
            except Exception:
                handler.log_exception(*sys.exc_info())
                self.close(INTERNAL_ERROR)

        self._outbox.put(None).add_done_callback(answer)

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Close the socket. The client has ``LINGER`` seconds to read what was written before. Idempotent."""
        if self.is_closing():
            return
        self._closed_with = code, reason
        text = (reason or "").encode(errors="replace")[:LONGEST_REASON].decode(errors="ignore")
        self._outbox.put({"type": "websocket.close", "code": sendable(code), "reason": text}, is_last=True)
        self._outbox.hurry(LINGER)
        self._stop()

    def is_closing(self) -> bool:
        """Whether either side has closed."""
        return self._is_closing or self.client_terminated or self._outbox.is_closed

    def on_connection_close(self) -> None:
        """Do nothing. tornado calls this when we have told the handler that the socket is closed."""

    def set_nodelay(self, value: bool) -> None:
        """Do nothing, because servers send at once."""

    def hang_up(self) -> None:
        """End the socket without a close frame, because its request has ended. Idempotent."""
        self.client_terminated = True
        self._outbox.close()
        if self._listening is not None:
            self._listening.cancel()
        self._stop()

    async def farewell(self) -> None:
        """Wait until the handler and the client have been told of the end, at most ``LINGER`` seconds for each."""
        if not self._is_open:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                await self._has_ended.wait()
        if self._listening is not None:
            await asyncio.wait((self._listening,), timeout=LINGER)

    async def _serve(self, handler: WebSocketHandler) -> None:
        opened = handler.open(*handler.open_args, **handler.open_kwargs)
        if opened is not None:
            await opened
        while not self._is_closing:
            message = await self._inbox.get()
            if message is None or self._is_closing:
                return
            await self._handle(handler, message)

    async def _handle(self, handler: WebSocketHandler, message: Message) -> None:
        text: str | None = message.get("text")
        data: str | bytes = text if text is not None else message.get("bytes") or b""
        if size(data) > handler.max_message_size:
            self.close(TOO_BIG, "message too big")
            if hear := getattr(handler, "on_too_big", None):
                hear()
            return
        handled = handler.on_message(data)
        if handled is not None:
            await handled

    def _accepted(self, sent: asyncio.Future[None]) -> None:
        """Begin to listen. Not every server lets an application listen before it has accepted the handshake."""
        if sent.cancelled() or sent.exception() is not None:
            self.hang_up()
        else:
            self._listening = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        message: Message = {}
        try:
            while (message := await self._receive())["type"] == "websocket.receive":
                if self._is_closing:
                    await asyncio.sleep(0)  # some servers' receive() never waits
                else:
                    await self._inbox.put(message)
        except Exception:
            app_log.exception("Uncaught exception in receive(), which counts as the end of the socket")
        self._hear_end(message)
        if not self._has_ended.is_set():
            await self._inbox.put(None)

    def _hear_end(self, message: Message) -> None:
        """Stop writing at once. Messages that came before are still handled."""
        if not self._is_closing and not self.client_terminated:
            code = message.get("code")
            self._closed_with = code if code not in UNTOLD else None, message.get("reason") or None
        self.client_terminated = True
        self._outbox.close()

    def _stop(self) -> None:
        self._is_closing = True
        if self._inbox.empty():
            self._inbox.put_nowait(None)

    def _end(self, handler: WebSocketHandler) -> None:
        """Tell the handler that the socket is closed, and discard messages that no client will read."""
        self._is_closing = True
        try:
            handler.on_ws_connection_close(*self._closed_with)
        except Exception:
            handler.log_exception(*sys.exc_info())
        while not self._inbox.empty():
            self._inbox.get_nowait()
        self._outbox.settle()
        self._has_ended.set()


def size(data: str | bytes) -> int:
    """Return how many bytes a message has on the wire."""
    return len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode(errors="replace"))


def sendable(code: int | None) -> int:
    """Return a close code that may be sent: 1000 for none, 1011 for a code that no side may send."""
    if code is None:
        return NORMAL
    return code if code in (1000, 1001, 1002, 1003) or 1007 <= code <= 1014 or 3000 <= code <= 4999 else INTERNAL_ERROR
