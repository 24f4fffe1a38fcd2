"""A gate that passes requests to an application while it is open, and knows the requests that are under way.

1. Each request sees the ContextVars of the lifespan, even if the request before it has changed them.
2. As soon as the end begins, new requests get 503 and new sockets 1013.
3. An open socket gets 1012: at once if it waits for a message, otherwise before it reads the next one.
4. Requests have some seconds to end. Requests that have not ended by then are cancelled.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...lifespans import Variables

GRACE = 10.0
"""How many seconds requests have to end, once the server stops."""

LAST = 1.0
"""How many seconds requests have after they were cancelled."""

RESTARTS, COME_AGAIN = 1012, 1013
"""Codes that close a socket: the service restarts; try again later."""

TEXT = b"The server is starting or stopping. Try again in a few seconds."

HEADERS = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", str(len(TEXT)).encode()),
    (b"retry-after", b"5"),
    (b"cache-control", b"no-store"),
]


class Gate:
    """An ASGI application that passes requests to another one while it is open."""

    def __init__(self) -> None:
        self._app: ASGIApp | None = None
        self._variables = Variables()
        self._state: dict[str, Any] = {}
        self._passing: dict[object, asyncio.Task[Any] | None] = {}
        self._sockets: set[_Socket] = set()
        self._idle = asyncio.Event()

    def open(self, app: ASGIApp, variables: Variables, state: dict[str, Any] | None = None) -> None:
        """Let requests through; ``state`` is added to the state that the server gives to each request."""
        self._app, self._variables, self._state = app, variables, state or {}

    @property
    def is_open(self) -> bool:
        """Whether requests are let through."""
        return self._app is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        app = self._app
        if app is None:
            await unavailable(scope, receive, send)
            return
        self._variables.bind()
        if self._state:
            scope["state"] = {**self._state, **scope.get("state", {})}
        entry = object()  # the task would not do, because a server may run all its requests in one task
        self._passing[entry] = asyncio.current_task()
        self._idle.clear()
        try:
            if scope["type"] == "websocket":
                await self._pass_socket(app, scope, receive, send)
            else:
                await app(scope, receive, send)
        finally:
            del self._passing[entry]
            if not self._passing:
                self._idle.set()

    async def _pass_socket(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        socket = _Socket(receive, send)
        self._sockets.add(socket)
        try:
            await app(scope, socket.receive, socket.send)
        finally:
            self._sockets.discard(socket)

    def refuse(self) -> None:
        """Let no further request through, and tell the open sockets that the server stops."""
        self._app = None
        for socket in tuple(self._sockets):
            socket.end()

    async def close(self, grace: float = GRACE) -> None:
        """Let no further request through, and return when those under way have ended. Idempotent."""
        self.refuse()
        if await self._is_idle(grace):
            return
        for task in tuple(self._passing.values()):
            if task is not None and task is not asyncio.current_task():
                task.cancel("The server stops.")
        await self._is_idle(LAST)

    async def _is_idle(self, seconds: float) -> bool:
        if not self._passing:
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        return not self._passing


class _Socket:
    """A socket that tells its application that the server stops, with a message that the browser never sent."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._waiting: asyncio.Task[Any] | None = None
        self._is_ending = self._is_over = False

    def end(self) -> None:
        """Wake the application if it waits for a message. Otherwise it learns of the end when it asks for one."""
        if not self._is_ending and self._waiting is not None:
            self._waiting.cancel()
        self._is_ending = True

    async def receive(self) -> Message:
        """Return the browser's next message, or that the socket is closed."""
        if self._is_ending:
            return await self._goodbye()
        task = self._waiting = asyncio.current_task()
        assert task is not None
        cancellations = task.cancelling()
        try:
            return await self._receive()
        except asyncio.CancelledError:
            # `end` cancels only this wait. A task for each message would be needed only for the last one.
            if not self._is_ending or task.uncancel() > cancellations:
                raise
        finally:
            self._waiting = None
        return await self._goodbye()

    async def send(self, message: Message) -> None:
        """Send a message of the application, unless the socket is closed."""
        if not self._is_over:
            await self._send(message)

    async def _goodbye(self) -> Message:
        if not self._is_over:
            self._is_over = True
            with suppress(Exception):  # the server may already have closed it
                await self._send({"type": "websocket.close", "code": RESTARTS})
        return {"type": "websocket.disconnect", "code": RESTARTS}


async def unavailable(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 503 with a Retry-After; close a socket with 1013."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": COME_AGAIN})
        return
    await send({"type": "http.response.start", "status": 503, "headers": HEADERS})
    await send({"type": "http.response.body", "body": TEXT})
