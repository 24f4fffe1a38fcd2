"""One request of an ASGI server, served by a tornado application.

No bytes are written in between. tornado is called as its own server calls it: ``find_handler``, and then the delegate's
``headers_received``, ``data_received`` and ``finish``.

1. Requests that tornado's server refuses before any handler are refused here: a request without exactly one Host (400),
   and a body that is too large (413) or too slow (408).
2. ``request.path`` is the route below the mount, ``request.base`` is the mount, and ``request.uri`` is both, as the
   browser asked.
3. A handler is told that its client has left if it wants to know, or if it sends its response in pieces.
4. A handler's task begins in the context of its request. ``outbox`` says which ContextVars come back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Scope, Send
from tornado import httputil
from tornado.iostream import StreamClosedError
from tornado.web import Application

from . import requests
from .connection import Connection
from .intake import Intake
from .outbox import Outbox
from .paths import split
from .refusals import Refuse, Refused, plain, redirect
from .socket import Socket


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a request's body may be, in bytes, and within how many seconds it must arrive."""

    max_body: int = 64 * 1024
    body_timeout: float = 30


LIMITS = Limits()
"""The limits for strangers. No route of a dashboard needs a larger body than a login form."""


async def http(
    application: Application,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    limits: Limits = LIMITS,
    refuse: Refuse = plain,
) -> None:
    """Serve one request of an ``http`` scope; ``refuse`` answers requests that do not reach tornado.

    Raises ``Unfinished`` if a response is given up after it has begun, and the errors of ``send``.
    """
    place = split(scope)
    if not place.route:
        await redirect(scope, send, place.base)
        return
    connection = Connection(scope, Outbox(StreamClosedError))
    connection.max_body, connection.body_timeout = limits.max_body, limits.body_timeout
    try:
        start, request = requests.read(scope, place, connection)
        with connection.outbox.belonging():
            intake = Intake(connection, application.find_handler(request), receive)
            await _exchanged(connection, intake, start, request, send)
        intake.check()
    except Refused as refused:
        await refuse(scope, receive, send, refused.status, str(refused))


async def _exchanged(
    connection: Connection, intake: Intake, start: httputil.RequestStartLine, request: requests.Request, send: Send
) -> None:
    """Let tornado have the request, and send what it answers."""
    try:
        await intake.begin(start, request.headers)
        await connection.outbox.relay(send, intake.listen)
    finally:
        intake.end()


async def websocket(
    application: Application, scope: Scope, receive: Receive, send: Send, *, refuse: Refuse = plain
) -> None:
    """Serve one handshake of a ``websocket`` scope, and the socket if it is accepted.

    A handler is on our side if its ``get_websocket_protocol`` returns ``self.request.connection.websocket(self)``;
    tornado's own protocol needs a stream of bytes, and is refused.
    """
    if (await receive())["type"] != "websocket.connect":
        return
    place = split(scope)
    outbox = Outbox(StreamClosedError)
    socket = Socket(outbox, receive, list(scope.get("subprotocols") or ()))
    connection = Connection(scope, outbox, socket)
    try:
        if not place.route:
            raise Refused(404, "There is no socket at this address.")
        start, request = requests.read(scope, place, connection)
    except Refused as refused:
        await refuse(scope, receive, send, refused.status, str(refused))
        return
    with outbox.belonging():
        try:
            _begin(application.find_handler(request), start, request)
            await outbox.relay(send)
            await socket.farewell()
        finally:
            connection.leave()
            socket.hang_up()


def _begin(delegate: Any, start: Any, request: requests.Request) -> None:
    """Begin the handler of a handshake, which has no body."""
    begun = delegate.headers_received(start, request.headers)
    if begun is None:
        delegate.finish()
    else:
        begun.add_done_callback(lambda _: delegate.finish())
