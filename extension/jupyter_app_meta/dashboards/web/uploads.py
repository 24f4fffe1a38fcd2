"""How large one message of a page may be, and what becomes of a larger one.

The browser is told why (close code 1009) and the log names the option. What the browser has sent
meanwhile is read and dropped for a moment: a connection that is closed over unread bytes is reset, and
a browser whose connection was reset never learns the code.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketHandler, WebSocketProtocol, WebSocketProtocol13

from ..limits import largest

TOO_BIG = 1009
"""The close code for a message that is larger than the page takes."""

DRAINED_BYTES, DRAINED_SECONDS, CHUNK = 256 * 1024 * 1024, 20.0, 64 * 1024


def settings(limit: int) -> dict[str, Any]:
    """Return the settings of an application whose pages may upload so many bytes at once."""
    return {"websocket_max_message_size": largest(limit)}


class Limited(WebSocketHandler):
    """A WebSocket that says when it was closed over a message that is too large."""

    def get_websocket_protocol(self) -> WebSocketProtocol | None:
        """Return tornado's protocol, with an ear for messages that are too large."""
        found = super().get_websocket_protocol()
        if isinstance(found, WebSocketProtocol13):
            return _Protocol(self, False, found.params)
        return found

    def on_too_big(self) -> None:
        """Hear that a message was refused for its size."""


class _Protocol(WebSocketProtocol13):
    """Tornado's protocol; it ends a connection with 1009 in order."""

    handler: Limited
    _drain: asyncio.Task[None] | None = None
    _is_too_big = False

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        if code == TOO_BIG and not self._is_too_big:
            self._is_too_big = True
            self.handler.on_too_big()
        super().close(code, reason)

    def _abort(self) -> None:
        if not self._is_too_big:
            super()._abort()
        elif self._drain is None:
            self.client_terminated = self.server_terminated = True
            self._drain = asyncio.get_running_loop().create_task(self._end())

    async def _end(self) -> None:
        with suppress(StreamClosedError, TimeoutError):
            await asyncio.wait_for(_drop(self.stream), DRAINED_SECONDS)
        super()._abort()


async def _drop(stream: Any) -> None:
    """Read until the other side closes, or has sent enough."""
    dropped = 0
    while dropped < DRAINED_BYTES:
        dropped += len(await stream.read_bytes(CHUNK, partial=True))
