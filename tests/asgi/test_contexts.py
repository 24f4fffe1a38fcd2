"""ContextVars through layers of middleware, down and up: what each layer sees, with and without ``transparent``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import Context, ContextVar, copy_context
from pathlib import Path
from typing import Any

import httpx
import pytest
from clients import TestClient
from fastapi import FastAPI
from jupyter_server.base.call_context import CallContext
from stage import write
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from tornado import web

from jupyter_app_meta import HTTPRequest, User
from jupyter_app_meta.asgi import bridge, create_asgi_app
from jupyter_app_meta.asgi.contexts import carry, make_transparent, transparent
from jupyter_app_meta.lifespans import NEVER

value: ContextVar[str] = ContextVar("value", default="unset")
late: ContextVar[str] = ContextVar("late", default="unset")

Next = Callable[[Request], Awaitable[Response]]

seen: list[tuple[str, str]] = []
"""What each layer saw as it came up."""


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    """Begin with an empty list."""
    seen.clear()


class Shiny:
    """Middleware as ASGI has it: it looks where the response starts, and at its end."""

    name = "shiny"

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look at what comes up."""
        value.set(f"{value.get()} {self.name}")

        async def looking(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.append((f"{self.name} start", value.get()))
            await send(message)

        try:
            await self.app(scope, receive, looking)
        finally:
            seen.append((f"{self.name} end", value.get()))


class Bad(BaseHTTPMiddleware):
    """Starlette's own kind: what is below runs in another task."""

    name = "bad"

    async def dispatch(self, request: Request, call_next: Next) -> Response:
        """Look behind ``call_next``."""
        value.set(f"{value.get()} {self.name}")
        try:
            return await call_next(request)
        finally:
            seen.append((self.name, value.get()))


class Bad2(Bad):
    """Another one."""

    name = "bad2"


async def plain(request: Request) -> Response:
    """Set the variable."""
    value.set(f"{value.get()} endpoint")
    return PlainTextResponse("plain")


async def streaming(request: Request) -> Response:
    """Set the variable, and another one in the middle of the response."""
    value.set(f"{value.get()} endpoint")

    async def pieces() -> AsyncIterator[str]:
        yield "one"
        late.set("streamed")
        value.set(f"{value.get()} stream")
        yield "two"

    return StreamingResponse(pieces())


async def failing(request: Request) -> Response:
    """Set the variable, and fail."""
    value.set(f"{value.get()} endpoint")
    raise ValueError("it fails")


async def raw(scope: Scope, receive: Receive, send: Send) -> None:
    """Set the variable, without a Request in between."""
    value.set(f"{value.get()} endpoint")
    await PlainTextResponse("raw")(scope, receive, send)


class Tornado(web.RequestHandler):
    """A handler, as those of dashboards are: it runs in another task."""

    async def get(self) -> None:
        """Set the variable, and jupyter_server's, which knows this visitor's handler."""
        CallContext.set(CallContext.JUPYTER_HANDLER, self)
        value.set(f"{value.get()} endpoint")
        self.write("one")
        await self.flush()
        self.finish("two")


def application(*layers: Any) -> Starlette:
    """Return an application with these layers, the outermost first."""
    handlers = web.Application([("/tornado", Tornado)])
    routes = [Route(f"/{endpoint.__name__}", endpoint) for endpoint in (plain, streaming, failing)]
    routes += [Route("/raw", _Raw()), Route("/tornado", _Bridged(handlers))]
    return Starlette(routes=routes, middleware=[Middleware(layer) for layer in layers])


class _Raw:
    """An ASGI application as an endpoint."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await raw(scope, receive, send)


class _Bridged:
    """A tornado application as an endpoint."""

    def __init__(self, handlers: web.Application) -> None:
        self.handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await bridge.http(self.handlers, scope, receive, send)


async def get(app: ASGIApp, path: str, method: str = "GET") -> httpx.Response:
    """Return the answer of a request that is made in this very task."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(method, path, headers={"Accept": "text/html"})


ORDERS = [(Shiny, Bad), (Bad, Shiny), (Bad, Bad2), (Bad, Shiny, Bad2)]


def names(order: tuple[Any, ...]) -> str:
    """Return the names of the layers."""
    return " ".join(layer.name for layer in order)


@pytest.mark.parametrize("path", ["plain", "streaming", "failing", "raw", "tornado"])
@pytest.mark.parametrize("order", ORDERS, ids=names)
async def test_transparent_layers_all_see_what_is_set_below(order: tuple[type, ...], path: str) -> None:
    """At the start of the response and at its end, every layer sees the value that the endpoint has set."""
    app = make_transparent(application(*order))
    await get(app, f"/{path}")
    everything = f"unset {names(order)} endpoint"
    assert {found.removesuffix(" stream") for _, found in seen} == {everything}
    assert {name.split()[0] for name, _ in seen} == set(names(order).split())
    assert ("shiny start" in dict(seen)) is (Shiny in order and path != "failing")
    assert not [variable.name for variable in copy_context() if variable.name in NEVER]
    assert value.get().removesuffix(" stream") == everything  # in the task of the server, too


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("order", ORDERS, ids=names)
async def test_what_a_deployers_function_sets_comes_up_from_dashboards(
    order: tuple[Any, ...], is_async: bool, tmp_path: Path
) -> None:
    """The functions of a deployer see what is set above them, and what they set is seen there."""

    def authorize(user: User, request: HTTPRequest) -> bool:
        value.set(f"{value.get()} endpoint")
        return True

    async def later(user: User, request: HTTPRequest) -> bool:
        return authorize(user, request)

    write(tmp_path / "page.ipynb", "1")
    made = create_asgi_app(cookie_secret=bytes(32))
    dashboards = made.with_app(
        path="/page", root=tmp_path / "page.ipynb", authorize=later if is_async else authorize
    ).build()
    host = Starlette(routes=[Mount("/dash", dashboards)], middleware=[Middleware(layer) for layer in order])
    async with dashboards.lifespan(host):
        await get(make_transparent(host), "/dash/page", "HEAD")
    assert {found for _, found in seen} == {f"unset {names(order)} endpoint"}
    assert {name.split()[0] for name, _ in seen} == set(names(order).split())


@pytest.mark.parametrize(
    ("order", "lost"),
    [
        ((Shiny, Bad), {"shiny start": "unset shiny bad", "shiny end": "unset shiny bad", "bad": "unset shiny bad"}),
        ((Bad, Shiny), {"bad": "unset bad"}),
        ((Bad, Shiny, Bad2), {"bad": "unset bad", "shiny start": "unset bad shiny bad2"}),
    ],
    ids=lambda given: names(given) if isinstance(given, tuple) else "",
)
async def test_without_it_what_is_set_below_is_lost_above(order: tuple[type, ...], lost: dict[str, str]) -> None:
    """Starlette's own behaviour, which makes the difference: when this fails, ``transparent`` is needed no more."""
    await get(application(*order), "/plain")
    assert {name: found for name, found in seen if name in lost} == lost


async def test_what_a_stream_sets_is_seen_at_its_end() -> None:
    """A value that is set after the response has started comes up at the end, and no earlier."""

    class Looking(Bad):
        async def dispatch(self, request: Request, call_next: Next) -> Response:
            response = await call_next(request)
            seen.append(("after call_next", late.get()))
            return response

    app = make_transparent(application(Looking))
    assert (await get(app, "/streaming")).text == "onetwo"
    assert seen == [("after call_next", "unset")]
    assert (value.get(), late.get()) == ("unset endpoint stream", "streamed")


async def test_a_function_of_fastapi_is_made_transparent() -> None:
    """``@app.middleware("http")`` is a BaseHTTPMiddleware as well."""
    app = FastAPI()

    @app.middleware("http")
    async def look(request: Request, call_next: Next) -> Response:
        response = await call_next(request)
        seen.append(("function", value.get()))
        return response

    app.add_route("/plain", plain)
    await get(make_transparent(app), "/plain")
    assert seen == [("function", "unset endpoint")]


async def test_what_is_set_above_afterwards_stays() -> None:
    """Each value comes up once: a layer that sets it anew behind ``call_next`` has the last word."""

    class Last(Bad):
        async def dispatch(self, request: Request, call_next: Next) -> Response:
            response = await call_next(request)
            seen.append(("below", value.get()))
            value.set("above")
            return response

    await get(make_transparent(application(Shiny, Last)), "/plain")
    assert seen == [("below", "unset shiny endpoint"), ("shiny start", "above"), ("shiny end", "above")]


async def test_a_layer_that_waits_in_another_task_carries_too() -> None:
    """``call_next`` in a task of its own (a timeout): what is set below reaches that task, and the request's own."""

    class Waiting(Bad):
        async def dispatch(self, request: Request, call_next: Next) -> Response:
            async def inner() -> Response:
                response = await call_next(request)
                seen.append(("inner", value.get()))
                return response

            return await asyncio.create_task(inner())

    await get(make_transparent(application(Shiny, Waiting)), "/plain")
    assert seen == [
        ("inner", "unset shiny endpoint"),
        ("shiny start", "unset shiny"),
        ("shiny end", "unset shiny endpoint"),
    ]


async def test_another_requests_context_is_never_carried() -> None:
    """Another visitor's task that sends on this response, as a broadcast does, brings nothing of that visitor."""

    async def foreign(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.get_running_loop().create_task(PlainTextResponse("x")(scope, receive, send), context=others)

    others = copy_context()
    others.run(value.set, "mallory")
    app = Starlette(middleware=[Middleware(transparent(Bad))])
    app.mount("/", foreign)
    assert (await get(app, "/")).text == "x"
    assert seen == [("bad", "unset bad")]


async def test_an_earlier_request_of_a_connection_is_foreign_too() -> None:
    """uvicorn may start a request in a context of the one before: its mark is not believed again."""
    earlier: list[Context] = []

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        if earlier:
            earlier[0].run(value.set, "mallory")
            await asyncio.get_running_loop().create_task(
                PlainTextResponse("x")(scope, receive, send), context=earlier[0]
            )
        else:
            earlier.append(copy_context())
            await PlainTextResponse("x")(scope, receive, send)

    app = Starlette(middleware=[Middleware(transparent(Bad))])
    app.mount("/", endpoint)
    await get(app, "/")
    again = asyncio.get_running_loop().create_task(get(app, "/"), context=earlier[0].copy())
    assert (await again).text == "x"
    assert seen == [("bad", "unset bad"), ("bad", "unset bad bad")]


async def test_call_context_is_never_carried() -> None:
    """jupyter_server's CallContext knows the handler of one visitor: it stays where it was set."""
    before = copy_context()
    below = copy_context()
    below.run(CallContext.set, CallContext.JUPYTER_HANDLER, "alice's handler")
    below.run(value.set, "below")
    carry(before, below)
    assert (value.get(), CallContext.get(CallContext.JUPYTER_HANDLER)) == ("below", None)


def test_sockets_pass_as_they_are() -> None:
    """Starlette never calls such middleware for sockets; neither does the transparent one."""

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(value.get())
        await socket.close()

    app = Starlette(routes=[WebSocketRoute("/", echo)], middleware=[Middleware(transparent(Bad))])
    with TestClient(app).websocket_connect("/") as socket:
        assert socket.receive_text() == "unset"


def test_only_starlettes_own_kind_is_changed() -> None:
    """Other middleware is returned as it is; a transparent class stays itself, and looks like its original."""

    def function(app: ASGIApp) -> ASGIApp:
        return app

    assert transparent(Shiny) is Shiny
    assert transparent(function) is function  # type: ignore[arg-type]  # add_middleware takes both
    made = transparent(Bad)
    assert transparent(made) is made and issubclass(made, Bad)
    assert (made.__name__, made.__doc__, made.__module__) == (Bad.__name__, Bad.__doc__, Bad.__module__)


def test_an_application_that_has_started_is_refused() -> None:
    """Its middleware is made already: a change would have no effect."""
    app = application(Bad)
    TestClient(app).get("/plain")
    with pytest.raises(RuntimeError, match="has started: call make_transparent before"):
        make_transparent(app)
