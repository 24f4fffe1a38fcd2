"""A lifespan around all requests, under any ASGI server.

The order is always the same: enter, serve, refuse new requests (503, sockets 1013), let requests end (sockets 1012),
end what serves them, leave. All of it is one task. Three ways lead there:

1. The server speaks the lifespan protocol with us (``within(factory)`` at the top of a server).
2. We are part of a host's lifespan (``around``).
3. No part of the host runs our lifespan. Then the first request starts it, in its own task, which has nothing of that
   request. If it fails to start, requests get 503, and it is tried again after a pause.

Each event loop has its own start and end. Nothing is made before a server runs, so an application may be built before
a fork.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from contextvars import Context, copy_context

from starlette.types import ASGIApp, Receive, Scope, Send

from ...errors import LifespanError
from ...lifespans import Variables, shielded
from .factories import AppFactory, entered
from .gate import Gate
from .inside import alive, lifespan_scope
from .protocol import Server
from .stopping import is_worker, stop_server

PAUSE = 5.0
"""After this many seconds, a lifespan that did not start is tried again."""

UNSEEN = (
    "No lifespan was run, so the first request starts it, and it may not be left when the server ends: use mount(app), "
    "or pass lifespan=dashboards.lifespan to the host, and let the server run lifespans."
)

Enter = Callable[[object], AbstractAsyncContextManager[ASGIApp]]
"""What is entered; it gets the host's application, if that is known."""


def within(factory: AppFactory) -> Within:
    """Return an ASGI application whose requests run within the factory's context, under any server.

    ``uvicorn main:app`` with ``app = within(app_factory)``. The factory is an ``asynccontextmanager`` that yields the
    application, an object with ``__aenter__`` and ``__aexit__``, a class of one, an async function, or an application.
    """
    return Within(lambda _: entered(factory))


class Within:
    """An ASGI application whose requests run within a context that is entered once for each event loop."""

    def __init__(self, enter: Enter, *, log: logging.Logger | None = None) -> None:
        self._enter = enter
        self._log = log or logging.getLogger("jupyter_app_meta")
        self._lives: dict[asyncio.AbstractEventLoop, _Life] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or speak the lifespan protocol. Raises RuntimeError if no asyncio loop runs."""
        life = self._life()
        if scope["type"] == "lifespan":
            await life.protocol(scope, receive, send)
            return
        await life.begun()
        await life.gate(scope, receive, send)

    @asynccontextmanager
    async def around(self, app: object = None) -> AsyncIterator[None]:
        """Enter and leave as a part of a host's lifespan; ``app`` is the host's application.

        Raises LifespanError if it is already entered.
        """
        life = self._life()
        before = copy_context()
        with life.once():
            async with self._enter(app) as inner:
                life.gate.open(inner, Variables.since(before))
                try:
                    yield
                finally:
                    await shielded(life.gate.close())

    async def aclose(self) -> None:
        """End the lifespan that the first request has started, and answer 503 from now on. Idempotent."""
        await self._life().close()

    def _life(self) -> _Life:
        loop = needs_asyncio()
        if loop not in self._lives:
            for other in [other for other in self._lives if other.is_closed()]:
                del self._lives[other]
            self._lives[loop] = _Life(self._enter, self._log)
        return self._lives[loop]


def needs_asyncio() -> asyncio.AbstractEventLoop:
    """Return the running loop; raises RuntimeError under another library, such as trio."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "jupyter_app_meta needs asyncio: run the server with it, for example `hypercorn -k asyncio`."
        ) from None


class _Life:
    """One start and end, on one event loop."""

    def __init__(self, enter: Enter, log: logging.Logger) -> None:
        self._enter, self._log = enter, log
        self.gate = Gate()
        self._is_taken = False
        self._own: asyncio.Task[None] | None = None
        self._started: asyncio.Future[None] | None = None
        self._ending = asyncio.Event()
        self._not_before = 0.0

    @contextmanager
    def once(self) -> Iterator[None]:
        """Make sure that the lifespan is entered only once; raises LifespanError if it is entered and not left."""
        if self._is_taken:
            raise LifespanError("The lifespan is entered twice: leave out one of mount(), lifespan= and `async with`.")
        self._is_taken = True
        try:
            yield
        finally:
            self._is_taken = False
            self._ending.set()  # from now on, no request starts the lifespan

    # The lifespan protocol

    async def protocol(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak the lifespan protocol with a server."""
        server = Server(receive, send, self._log)
        await receive()

        async def serve(app: ASGIApp, variables: Variables) -> None:
            self.gate.open(app, variables)
            await server.started()
            try:
                await server.until_it_stops(self.gate)
            finally:
                await shielded(self.gate.close())

        try:
            with self.once():
                await alive(self._enter(scope.get("app")), scope, serve)
        except BaseException as error:
            await server.failed(error)
            raise
        await server.ended()

    # If no part of the host runs the lifespan

    async def begun(self) -> None:
        """Start the lifespan if nothing else has or will; return when it has started or failed."""
        if self._is_taken and self._own is None:
            return
        if self._own is None and not self._ending.is_set() and time.monotonic() >= self._not_before:
            loop = asyncio.get_running_loop()
            self._log.warning(UNSEEN)
            self._is_taken, self._started = True, loop.create_future()
            self._own = loop.create_task(self._alone(self._started), context=Context())
        if self._started is not None:
            await asyncio.shield(self._started)

    async def _alone(self, started: asyncio.Future[None]) -> None:
        scope = lifespan_scope()

        async def serve(app: ASGIApp, variables: Variables) -> None:
            self.gate.open(app, variables, scope["state"])
            started.set_result(None)
            try:
                await self._ending.wait()
            finally:
                await shielded(self.gate.close())

        try:
            await alive(self._enter(None), scope, serve)
            if not self._ending.is_set():  # the lifespan failed, and the deployer's code has swallowed the error
                self._stop(None)
        except Exception as error:
            self._has_failed(error, has_started=started.done())
        finally:
            self._is_taken, self._own = False, None
            if not started.done():
                started.set_result(None)

    def _has_failed(self, error: Exception, *, has_started: bool) -> None:
        if not has_started:
            self._not_before = time.monotonic() + PAUSE
            self._log.error("The lifespan did not start; it is tried again in %d seconds.", PAUSE, exc_info=error)
            return
        self._stop(error)

    def _stop(self, error: Exception | None) -> None:
        self._ending.set()
        self._log.critical("The lifespan failed; the server stops.", exc_info=error)
        if not stop_server() and is_worker():
            raise SystemExit(1) from error

    async def close(self) -> None:
        """End the lifespan that the first request has started; idempotent."""
        self._ending.set()
        if self._own is not None:
            await asyncio.wait((self._own,))
        await self.gate.close()
