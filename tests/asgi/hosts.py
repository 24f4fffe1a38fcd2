"""Real servers, each in a thread of its own with a real socket: tornado's own, and those that speak ASGI."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send
from tornado.httpserver import HTTPServer
from tornado.web import Application
from uvicorn.config import WS_PROTOCOLS
from zoo import MAX_BODY

from jupyter_app_meta.asgi import bridge

with warnings.catch_warnings():  # a part of it is old, and still supported
    warnings.simplefilter("ignore")
    import uvicorn.protocols.websockets.websockets_impl

Serve = Callable[[Any, socket.socket, Callable[[], Awaitable[None]]], Coroutine[Any, Any, None]]
"""Serves an application on a socket until it is told to end."""


def asgi(application: Application, limits: bridge.Limits = bridge.Limits(max_body=MAX_BODY)) -> ASGIApp:  # noqa: B008  # frozen
    """Return a tornado application as an ASGI application."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await bridge.http(application, scope, receive, send, limits=limits)
        elif scope["type"] == "websocket":
            await bridge.websocket(application, scope, receive, send)

    return app


class Through(BaseHTTPMiddleware):
    """Middleware that passes everything on."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Pass it on."""
        return await call_next(request)


def mounted(app: ASGIApp, *, through: bool = False) -> Starlette:
    """Return a Starlette application with this one at its root."""
    host = Starlette(routes=[Mount("/", app)])
    if through:
        host.add_middleware(Through)
    return host


async def serve_tornado(application: Application, listening: socket.socket, end: Callable[[], Awaitable[None]]) -> None:
    """Serve with tornado's own server."""
    server = HTTPServer(application, max_body_size=MAX_BODY)
    server.add_socket(listening)
    await end()
    server.stop()
    with suppress(TimeoutError):
        await asyncio.wait_for(server.close_all_connections(), 1)


def serve_uvicorn(http: str, ws: str, wrap: Callable[[ASGIApp], ASGIApp] = lambda app: app) -> Serve:
    """Return what serves with uvicorn's implementations of these names."""

    ws = ws if ws in WS_PROTOCOLS else "auto"  # older versions have fewer

    async def serve(application: Application, listening: socket.socket, end: Callable[[], Awaitable[None]]) -> None:
        options: dict[str, Any] = {"log_config": None, "access_log": False, "lifespan": "off"}
        config = uvicorn.Config(wrap(asgi(application)), http=http, ws=ws, timeout_graceful_shutdown=1, **options)
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server.serve(sockets=[listening]))
        await end()
        server.should_exit = True
        await serving

    return serve


async def serve_hypercorn(
    application: Application, listening: socket.socket, end: Callable[[], Awaitable[None]]
) -> None:
    """Serve with hypercorn."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind, config.graceful_timeout, config.errorlog = [f"fd://{listening.detach()}"], 1, None
    await serve(asgi(application), config, shutdown_trigger=end)  # type: ignore[arg-type]  # its own types


async def serve_granian(application: Application, listening: socket.socket, end: Callable[[], Awaitable[None]]) -> None:
    """Serve with granian, which binds its socket itself; ours keeps the port until then."""
    from granian.server.embed import Server

    port = listening.getsockname()[1]
    server: Any = Server(asgi(application), port=port, interface="asginl", log_enabled=False)  # type: ignore[arg-type]
    serving = asyncio.ensure_future(server.serve())
    await end()
    server.stop()
    with suppress(TimeoutError):
        await asyncio.wait_for(serving, 2)


HOSTS: dict[str, tuple[Serve, Callable[[], asyncio.AbstractEventLoop] | None]] = {
    "tornado": (serve_tornado, None),
    "uvicorn-h11-websockets": (serve_uvicorn("h11", "websockets"), None),
    "uvicorn-httptools-uvloop-sansio": (serve_uvicorn("httptools", "websockets-sansio"), uvloop.new_event_loop),
    "uvicorn-h11-wsproto": (serve_uvicorn("h11", "wsproto"), None),
    "uvicorn-mounted": (serve_uvicorn("auto", "auto", mounted), None),
    "uvicorn-BaseHTTPMiddleware": (serve_uvicorn("auto", "auto", lambda app: mounted(app, through=True)), None),
    "hypercorn": (serve_hypercorn, None),
    "granian": (serve_granian, None),
}


@contextmanager
def running(name: str, application: Application) -> Iterator[int]:
    """Serve an application with the host of this name, in a thread; yields the port."""
    serve, new_loop = HOSTS[name]
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    if name != "granian":
        listening.listen(128)
        listening.setblocking(False)
    ended = threading.Event()

    async def end() -> None:
        while not ended.is_set():
            await asyncio.sleep(0.02)

    def work() -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner, closing(listening):
            runner.run(serve(application, listening, end))

    thread = threading.Thread(target=work, name=name)
    thread.start()
    try:
        _await(port, thread)
        yield port
    finally:
        ended.set()
        thread.join(20)
        assert not thread.is_alive(), f"{name} did not end"


def _await(port: int, thread: threading.Thread) -> None:
    """Wait until a server listens."""
    until = time.monotonic() + 20
    while time.monotonic() < until and thread.is_alive():
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.02)
    raise AssertionError("the server does not listen")
