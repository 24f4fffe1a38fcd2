"""How large one message of a page may be, and what happens to a larger one.

The browser is told why (close code 1009), and the log names the option. For a moment, the bytes that the browser still
sends are read and dropped. Otherwise closing over unread bytes would reset the connection, and the browser would never
learn the code.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Protocol, runtime_checkable

from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketHandler, WebSocketProtocol, WebSocketProtocol13

from ..load.limits import largest

TOO_BIG = 1009
"""The close code for a message that is too large."""

DRAINED_BYTES, DRAINED_SECONDS, CHUNK = 256 * 1024 * 1024, 20.0, 64 * 1024


def settings(limit: int) -> dict[str, Any]:
    """Return the settings of an application whose pages may upload ``limit`` bytes at once."""
    return {"websocket_max_message_size": largest(limit)}


@runtime_checkable
class Upgradable(Protocol):
    """A connection that has its WebSocket itself, because it is not a stream of bytes."""

    def websocket(self, handler: WebSocketHandler) -> WebSocketProtocol | None:
        """Return the WebSocket that the client asks for; None if there is none."""
        ...


class Limited(WebSocketHandler):
    """A WebSocket that notices when it is closed because a message is too large."""

    def get_websocket_protocol(self) -> WebSocketProtocol | None:
        """Return the connection's own WebSocket, or tornado's, extended to notice messages that are too large.

        tornado sends no pings: jupyter_server does, and its settings are milliseconds where tornado reads seconds.
        """
        if isinstance(self.request.connection, Upgradable):
            return self.request.connection.websocket(self)
        found = super().get_websocket_protocol()
        if isinstance(found, WebSocketProtocol13):
            found.params.ping_interval = found.params.ping_timeout = None
            return _Protocol(self, False, found.params)
        return found

    def on_too_big(self) -> None:
        """Notice that a message was refused because of its size."""


class _Protocol(WebSocketProtocol13):
    """tornado's protocol, which ends a connection properly after 1009."""

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
    """Read until the other side closes the connection, or has sent too much."""
    dropped = 0
    while dropped < DRAINED_BYTES:
        dropped += len(await stream.read_bytes(CHUNK, partial=True))
