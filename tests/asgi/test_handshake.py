"""A socket is accepted only where the host would have shown the page: real Starlette stacks, some of them hostile."""

from __future__ import annotations

import asyncio
import logging
from importlib.metadata import version
from typing import Any

import pytest
from fastapi import FastAPI
from hostile import (
    HARMLESS,
    PATH,
    REFUSING,
    Caches,
    Copies,
    Login,
    Pure,
    RaisesAtOnce,
    http,
    look,
    raises,
    scope_of,
    silence,
    swallow,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from jupyter_app_meta.asgi.handshake import KEY, Judge
from jupyter_app_meta.asgi.visitor import KEPT, Visitors

LOG = logging.getLogger("test_handshake")


class Door:
    """What is below the host: it shows a page to each GET, and lets a socket in that was judged so."""

    def __init__(self, *, limit: float = 10, host: ASGIApp | None = None, user: Any = None) -> None:
        self.judge = Judge(self, Visitors(user, LOG), LOG, host, limit)
        self.shown: list[Scope] = []
        self.judged: list[Scope | int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge a socket, answer a handshake, or show a page."""
        if scope["type"] == "websocket":
            self.judged.append(await self.judge.judge(scope))
        elif not await self.judge.answers(scope, send):
            self.shown.append(scope)
            await JSONResponse({"user": scope.get("user")})(scope, receive, send)


async def knock(host: ASGIApp, door: Door, person: str = "alice", path: str = f"/dash{PATH}") -> Scope | int:
    """Open a socket, and return what the door made of it."""
    seen = len(door.judged)
    await host(scope_of("websocket", path, person), silence, swallow)
    assert len(door.judged) == seen + 1
    return door.judged[-1]


def hosted(door: ASGIApp, *middleware: Any, mount: str = "/dash") -> Starlette:
    """Return a host with this middleware, the first one outermost, in which the door is mounted twice."""
    routes = [Mount(mount, door), Mount("/open", door)]
    return Starlette(routes=routes, middleware=[Middleware(each) for each in middleware])


# --- a host and its login ---------------------------------------------------------------------------------------------


async def test_a_socket_is_the_visitor_whom_the_host_logs_in() -> None:
    """What HTTP middleware finds out about a page's visitor holds for the socket."""
    door = Door()
    host = hosted(door, Login)
    scope = await knock(host, door, "bob")
    assert isinstance(scope, dict) and scope["type"] == "websocket" and scope["subprotocols"] == ["v1"]
    assert scope["user"]["username"] == "bob" and scope["state"]["tenant"] == "tenant of bob"
    assert scope[KEPT].key == "host:user:bob:" and KEY not in scope
    assert await knock(host, door, "mallory") == 401


async def test_a_function_of_the_deployers_names_the_visitor_of_a_socket() -> None:
    """``user=`` is asked of the scope that the host's middleware has seen, async or not."""

    async def user(scope: Scope) -> object:
        return {"is_authenticated": True, "username": scope["state"]["tenant"]}

    door = Door(user=user)
    scope = await knock(hosted(door, Login), door)
    assert isinstance(scope, dict) and scope[KEPT].values["username"] == "tenant of alice"


async def test_parameters_sessions_and_what_was_taken_away_are_the_hosts() -> None:
    """Path parameters and sessions come along; a user that the GET does not have is not the socket's."""

    class Sessions(Pure):
        async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
            await self.app({**scope, "session": {"cart": 1}}, receive, send)

    class OnSockets:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "websocket":
                scope["user"] = {"is_authenticated": True, "username": "mallory"}
            await self.app(scope, receive, send)

    door = Door()
    host = Starlette(routes=[Mount("/t/{tenant}/d", door)], middleware=[Middleware(Sessions), Middleware(OnSockets)])
    scope = await knock(host, door, path=f"/t/acme/d{PATH}")
    assert isinstance(scope, dict) and "user" not in scope and scope["path_params"]["tenant"] == "acme"
    assert scope["session"] == {"cart": 1} and scope[KEPT].key == ""


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 503])
async def test_a_refusal_of_the_host_is_the_sockets(status: int) -> None:
    """Its status comes out."""

    async def refuse(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return Response(status_code=status)

    door = Door()
    assert await knock(hosted(door, http(refuse)), door) == status


# --- hostile hosts ----------------------------------------------------------------------------------------------------

SWALLOWS = tuple(map(int, version("starlette").split(".")[:2])) < (0, 46)
"""Whether BaseHTTPMiddleware loses an error of the application below it that comes after the whole response."""


@pytest.mark.parametrize(
    ("middleware", "is_outermost"),
    [
        (each, is_outermost)
        for each in REFUSING
        for is_outermost in (True, False)
        if is_outermost or each is not RaisesAtOnce or not SWALLOWS
    ],
)
async def test_a_socket_is_refused_in_doubt(middleware: Any, is_outermost: bool) -> None:
    """Where the host refuses, does not answer, or answers unlike for a page, the socket is refused."""
    door = Door(limit=0.2)
    host = hosted(door, *((middleware, Login) if is_outermost else (Login, middleware)))
    assert await knock(host, door) in (403, 500)


@pytest.mark.parametrize("middleware", HARMLESS)
async def test_a_harmless_host_lets_sockets_in(middleware: Any) -> None:
    """A copied scope, another ``receive`` and a cache that is empty do no harm."""
    door = Door()
    scope = await knock(hosted(door, middleware, Login, middleware), door)
    assert isinstance(scope, dict) and scope["user"]["username"] == "alice"


async def test_no_cached_answer_lets_a_socket_in() -> None:
    """Not another visitor's, and not one's own."""
    door = Door()
    host = hosted(door, Caches, Login)
    assert isinstance(await knock(host, door, "alice"), dict)
    assert [await knock(host, door, person) for person in ("bob", "mallory", "alice")] == [403] * 3


@given(st.lists(st.sampled_from([*REFUSING, *HARMLESS, Login]), max_size=4), st.sampled_from(["alice", "mallory"]))
@settings(max_examples=150)
def test_never_a_socket_that_the_host_would_have_refused(stack: list[Any], person: str) -> None:
    """Whatever the host is made of: who gets a socket would have got the page, as the same visitor."""

    async def both() -> None:
        door = Door(limit=0.1)
        judged = await knock(hosted(door, *stack), door, person)
        if isinstance(judged, int):
            assert 400 <= judged <= 599
            return
        page = Door()
        assert await look(hosted(page, *stack), person) == 200
        assert [scope.get("user") for scope in page.shown] == [judged.get("user")]

    asyncio.run(both())


async def test_a_host_that_does_not_end_is_left() -> None:
    """Its task is cancelled; the visitor waits no longer than the limit."""
    ended: list[str] = []

    async def holds_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")
        return await call_next(request)

    door = Door(limit=0.05)
    assert await knock(hosted(door, http(holds_on)), door) == 403
    while not ended:
        await asyncio.sleep(0)


async def test_what_a_host_does_after_its_answer_holds_nobody_up() -> None:
    """A slow background task of the host's delays no socket."""
    going = asyncio.Event()

    async def works_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
        answer = await call_next(request)
        answer.background = _Background(going)  # type: ignore[assignment]  # called as one of Starlette's
        return answer

    door = Door(limit=60)
    assert isinstance(await knock(hosted(door, http(works_on)), door), dict)
    going.set()


class _Background:
    def __init__(self, going: asyncio.Event) -> None:
        self._going = going

    async def __call__(self) -> None:
        await self._going.wait()


async def test_two_visitors_at_once_are_two() -> None:
    """Handshakes that are judged at the same time are not mixed up."""
    door = Door()
    host = hosted(door, Copies, Login)
    people = ["alice", "bob", "mallory"] * 5
    place = {"app": host, "app_root_path": "", "root_path": "/dash"}
    scopes = [scope_of("websocket", f"/dash{PATH}", person, **place) for person in people]
    judged = await asyncio.gather(*map(door.judge.judge, scopes))
    names = [scope["user"]["username"] if isinstance(scope, dict) else scope for scope in judged]
    assert names == ["alice", "bob", 401] * 5


# --- where the host is found ------------------------------------------------------------------------------------------


async def test_a_host_below_a_root_path_is_entered_there() -> None:
    """A root path of the server's or of FastAPI's own is not mistaken for a mount."""
    door = Door()
    app = FastAPI()
    app.root_path = "/proxied"
    app.add_middleware(Login)
    app.mount("/dash", door)
    for path in (f"/proxied/dash{PATH}", f"/dash{PATH}"):
        scope = await knock(app, door, path=path)
        assert isinstance(scope, dict) and scope["user"]["username"] == "alice", path
        assert await knock(app, door, "mallory", path) == 401


@pytest.mark.parametrize("mount", ["/", "/dash", "/t/{tenant}"])
async def test_an_outer_application_is_asked_if_it_is_named(mount: str, caplog: pytest.LogCaptureFixture) -> None:
    """Without ``host`` the inner one is asked, which does not know the outer one's visitors; the log says so."""
    inner, outer = Starlette(), Starlette(middleware=[Middleware(Login)])
    outer.mount("/sub", inner)
    path = f"/sub{mount.format(tenant='acme').rstrip('/')}{PATH}"
    door = Door()
    inner.mount(mount, door)
    scope = await knock(outer, door, path=path)
    assert isinstance(scope, dict) and "user" not in scope and scope[KEPT].key == ""
    assert caplog.text.count("create_asgi_app(host=...)") == 1

    inner.router.routes.clear()
    door = Door(host=outer)
    inner.mount(mount, door)
    scope = await knock(outer, door, path=path)
    assert isinstance(scope, dict) and scope["user"]["username"] == "alice"
    assert await knock(outer, door, "mallory", path) == 401


async def test_an_inner_application_judges_what_the_outer_one_has_begun() -> None:
    """Pure ASGI middleware of the outer one names the visitor; HTTP middleware of the inner one still refuses."""

    class Names(Pure):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            scope["user"] = {"is_authenticated": True, "username": "alice"}
            await self.app(scope, receive, send)

    for more, expected in (((), "alice"), ((Middleware(http(raises)),), 403)):
        door = Door()
        inner = Starlette(routes=[Mount("/dash", door)], middleware=more)
        outer = Starlette(routes=[Mount("/sub", inner)], middleware=[Middleware(Names)])
        scope = await knock(outer, door, path=f"/sub/dash{PATH}")
        assert (scope["user"]["username"] if isinstance(scope, dict) else scope) == expected


async def test_an_application_without_a_host_judges_by_itself() -> None:
    """There its own scope counts, and the middleware of its own mounts."""
    door = Door()
    scope = await knock(door, door)
    assert isinstance(scope, dict) and scope[KEPT].key == ""
    user = {"is_authenticated": True, "username": "alice"}
    await door(scope_of("websocket", PATH, "alice", user=user), silence, swallow)
    scope = door.judged[-1]
    assert isinstance(scope, dict) and scope[KEPT].key == "host:user:alice:"


async def test_a_route_that_hides_the_mount_refuses() -> None:
    """Where a GET of the same path leads to a route of the host's, sockets do not get by."""
    door = Door()

    async def own(request: Request) -> Response:
        return Response("the host's own")

    host = Starlette(routes=[Route("/dash/{rest:path}", own), Mount("/dash", door)])
    assert await knock(host, door) == 403
