"""tornado's connection of one request, which answers in ASGI messages.

1. A header with a line break or a NUL is refused here, because not every server checks for them.
2. ``Date``, ``Server`` and the headers of one hop (``Connection``, ``Transfer-Encoding``) are the server's own.
3. A body has as many bytes as its Content-Length says, and none after HEAD, 204 and 304. Otherwise the response is
   given up.
4. A refused handshake is answered with the handler's response if the server can send one
   (``websocket.http.response``), and otherwise with 403.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from typing import NoReturn

from starlette.types import Scope
from tornado import httputil
from tornado.escape import utf8
from tornado.log import app_log, gen_log
from tornado.web import RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from .outbox import Outbox
from .refusals import POLICY_VIOLATION, response_kind
from .socket import Socket

WITHHELD = frozenset(
    b"connection date keep-alive proxy-connection server te trailer trailers transfer-encoding upgrade".split()
)
"""Response headers that the server writes, or that only the server can know."""

SCHEMES = {"ws": "http", "wss": "https"}
SWITCHING, BODILESS, UPGRADE_REQUIRED = 101, (204, 304), 426

_name = re.compile(rb"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_break = re.compile(rb"[\r\n\0]")


@dataclass(frozen=True, slots=True)
class Peer:
    """The client, according to the server. tornado calls this a connection's context.

    ``address`` may come from a header, because servers believe X-Forwarded-For of the proxies that they trust.
    """

    remote_ip: str
    protocol: str
    address: tuple[str, int] | None

    @classmethod
    def of(cls, scope: Scope) -> Peer:
        """Return the client of a scope; a unix socket has none, which tornado writes as 0.0.0.0."""
        scheme = str(scope.get("scheme") or "http")
        client = scope.get("client")
        address = (str(client[0]), int(client[1] or 0)) if client else None
        return cls(address[0] if address else "0.0.0.0", SCHEMES.get(scheme, scheme), address)  # noqa: S104  # see above


class Connection(httputil.HTTPConnection):
    """The connection of one request; ``socket`` is the WebSocket that a handshake asks for."""

    no_keep_alive = False

    def __init__(self, scope: Scope, outbox: Outbox, socket: Socket | None = None) -> None:
        self.scope, self.outbox, self.context = scope, outbox, Peer.of(scope)
        self.max_body, self.body_timeout = 0, 0.0
        self.is_finished = self._has_begun = False
        self._kind, self._socket = response_kind(scope), socket
        self._remaining: int | None = None
        self._close_callback: Callable[[], None] | None = None

    @property
    def hears_leaving(self) -> bool:
        """Whether the handler does something when its client leaves."""
        return getattr(self._close_callback, "__func__", None) not in (None, RequestHandler.on_connection_close)

    def websocket(self, handler: WebSocketHandler) -> Socket | None:
        """Return the WebSocket that the client asks for; None if it asks for none, or the server has none."""
        if self._socket is not None:
            self._socket.handler = handler
        return self._socket

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        """Take the function that is called if the client leaves before the response is complete."""
        self._close_callback = callback

    def set_max_body_size(self, max_body_size: int) -> None:
        """Take how many bytes the body may have. A handler that reads its body in pieces may ask for more."""
        self.max_body = max_body_size

    def set_body_timeout(self, timeout: float) -> None:
        """Take within how many seconds the body must arrive."""
        self.body_timeout = timeout

    def write_headers(
        self,
        start_line: httputil.RequestStartLine | httputil.ResponseStartLine,
        headers: httputil.HTTPHeaders,
        chunk: bytes | None = None,
    ) -> asyncio.Future[None]:
        """Begin the response. Raises ValueError for headers that would break it."""
        status, pairs = int(start_line[1]), encoded(headers)
        if status == SWITCHING:
            return self._upgrade(pairs)
        if self._kind is None:
            return self._refuse()
        self._has_begun, self._remaining = True, self._expected(status, headers)
        if status in BODILESS:
            pairs = [pair for pair in pairs if pair[0] != b"content-length"]
        status = status if 200 <= status < 600 else 500  # servers accept no other status
        start = {"type": f"{self._kind}.start", "status": status, "headers": pairs}
        begun = self.outbox.put(start, carries=True)
        return self.write(chunk) if chunk else begun

    def write(self, chunk: bytes) -> asyncio.Future[None]:
        """Send a piece of the body. Raises HTTPOutputError if the body then exceeds its Content-Length."""
        if self._remaining is not None:
            self._remaining -= len(chunk)
            if self._remaining < 0:
                self._give_up("it has more bytes than its Content-Length says")
        return self.outbox.put({"type": f"{self._kind}.body", "body": bytes(chunk), "more_body": True}, carries=True)

    def finish(self) -> None:
        """End the response. Raises HTTPOutputError if the body is shorter than its Content-Length."""
        if self.is_finished:
            return
        self.is_finished = True
        if not self._has_begun:
            self._give_up("its headers could not be sent")
        if self._remaining and not self.outbox.is_closed:
            self._give_up(f"{self._remaining} bytes of its Content-Length are missing")
        self.outbox.end({"type": f"{self._kind}.body", "body": b"", "more_body": False})

    def detach(self) -> Detached:
        """Leave the connection to the handler, which can only close it."""
        self._close_callback = None
        return Detached(self.outbox)

    def leave(self) -> None:
        """Send nothing more, and tell the handler that its client has left. Idempotent."""
        self.outbox.close()
        callback, self._close_callback = self._close_callback, None
        if callback is None:
            return
        try:
            copy_context().run(callback)
        except Exception:
            app_log.exception("Uncaught exception in %s", getattr(callback, "__qualname__", callback))

    def _upgrade(self, pairs: list[tuple[bytes, bytes]]) -> asyncio.Future[None]:
        """Accept a handshake if the handler has taken our WebSocket. tornado's own needs a stream of bytes."""
        self.is_finished = True
        if self._socket is not None and self._socket.handler is not None:
            self.outbox.gone = WebSocketClosedError
            return self.outbox.put(self._socket.acceptance(pairs), carries=True)
        gen_log.error(
            "A WebSocket was refused. Inside ASGI, a handler's get_websocket_protocol must return "
            "self.request.connection.websocket(self)."
        )
        if self._kind is None:
            return self._refuse()
        self.outbox.put({"type": f"{self._kind}.start", "status": UPGRADE_REQUIRED, "headers": []})
        return self.outbox.end({"type": f"{self._kind}.body", "body": b"", "more_body": False})

    def _refuse(self) -> asyncio.Future[None]:
        """Refuse a handshake without a response; the server answers 403."""
        self.is_finished = True
        return self.outbox.put({"type": "websocket.close", "code": POLICY_VIOLATION}, carries=True, is_last=True)

    def _expected(self, status: int, headers: httputil.HTTPHeaders) -> int | None:
        """Return how many bytes the body has; None if that is not known before its end."""
        if self.scope.get("method") == "HEAD" or status in BODILESS:
            return 0
        return int(headers["Content-Length"]) if "Content-Length" in headers else None

    def _give_up(self, fault: str) -> NoReturn:
        self.outbox.close(f"The response was given up: {fault}.")
        raise httputil.HTTPOutputError(f"The response was given up: {fault}.")


class Detached:
    """Stands for a connection that its handler has taken."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def close(self) -> None:
        """Give the response up, unless it is complete."""
        if not self._outbox.is_complete:
            self._outbox.close("The response was given up by its handler, before it was complete.")

    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._outbox.is_closed


def encoded(headers: httputil.HTTPHeaders) -> list[tuple[bytes, bytes]]:
    """Return response headers for ASGI. Raises ValueError if one has a line break or an invalid name."""
    pairs = []
    for name, value in headers.get_all():
        pair = utf8(name).lower(), value.encode("latin-1") if isinstance(value, str) else value
        if not _name.fullmatch(pair[0]) or _break.search(pair[1]):
            raise ValueError(f"A response header must have a valid name, and a value without line breaks: {name!r}.")
        if pair[0] not in WITHHELD:
            pairs.append(pair)
    return pairs
