"""One request as a server hands it in: what the application receives, and what it has sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import Message, Scope
from tornado.web import Application, RequestHandler

from jupyter_app_meta.asgi import bridge

HOST = (b"host", b"here.example")
END: Message = {"type": "http.request", "body": b"", "more_body": False}
GONE: Message = {"type": "http.disconnect"}
HUNG_UP: Message = {"type": "websocket.disconnect", "code": 1006}


class Exchange:
    """The server's side of one request. ``hold`` makes the server take no message of this type."""

    def __init__(self, *messages: Message, hold: str = "") -> None:
        self.sent: list[Message] = []
        self.came = asyncio.Event()
        self.on_send: Callable[[Message], None] = lambda message: None
        self._hold = hold
        self._queue: asyncio.Queue[Message] = asyncio.Queue()
        for message in messages:
            self.put(message)

    def put(self, message: Message) -> None:
        """Let something come."""
        self._queue.put_nowait(message)

    async def receive(self) -> Message:
        """Return what has come, or wait for it."""
        return await self._queue.get()

    async def send(self, message: Message) -> None:
        """Take a message."""
        if message["type"] == self._hold:
            await asyncio.Event().wait()
        self.sent.append(message)
        self.on_send(message)
        self.came.set()

    async def until(self, count: int) -> Message:
        """Return the last message as soon as there are so many."""
        async with asyncio.timeout(10):
            while len(self.sent) < count:
                self.came.clear()
                await self.came.wait()
        return self.sent[-1]

    @property
    def types(self) -> list[str]:
        """The types of what was sent."""
        return [str(message["type"]) for message in self.sent]

    @property
    def status(self) -> int:
        """The status of what was sent."""
        return int(self.sent[0]["status"])

    @property
    def body(self) -> bytes:
        """The body of what was sent."""
        return b"".join(message.get("body", b"") for message in self.sent)


def http_scope(**values: Any) -> Scope:
    """Return the scope of a plain GET, with these values."""
    return {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [HOST], **values}


def websocket_scope(**values: Any) -> Scope:
    """Return the scope of a handshake, with these values."""
    offered: Mapping[str, Any] = {"websocket.http.response": {}}
    scope = {"path": "/", "query_string": b"", "headers": [HOST], "subprotocols": [], "extensions": offered}
    return {"type": "websocket", **scope, **values}


def application(handler: type[RequestHandler]) -> Application:
    """Return an application of one handler, for every path."""
    return Application([("/.*", handler)], log_function=lambda handler: None)


async def ask(handler: type[RequestHandler], exchange: Exchange, scope: Scope | None = None, **options: Any) -> None:
    """Serve one request with this handler, to its end."""
    async with asyncio.timeout(20):
        await bridge.http(application(handler), scope or http_scope(), exchange.receive, exchange.send, **options)


async def connect(handler: type[RequestHandler], exchange: Exchange, scope: Scope | None = None) -> None:
    """Serve one handshake with this handler, to its end."""
    exchange_scope = scope or websocket_scope()
    async with asyncio.timeout(20):
        await bridge.websocket(application(handler), exchange_scope, exchange.receive, exchange.send)
