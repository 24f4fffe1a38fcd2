"""Middleware of hosts, some of it hostile, and how a test asks such a host for a page or a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATH = "/api/kernels/k/channels"


def scope_of(kind: str, path: str, person: str, **more: Any) -> Scope:
    """Return the scope in which a server hands over a request of this person."""
    headers = [(b"host", b"127.0.0.1"), (b"cookie", f"person={person}".encode()), (b"x-app-meta-handshake", b"forged")]
    scope: Scope = {"type": kind, "path": path, "raw_path": path.encode(), "query_string": b"session_id=1"}
    scope.update(root_path="", headers=headers, asgi={"version": "3.0"}, http_version="1.1", state={})
    own: dict[str, Any] = {"scheme": "http", "method": "GET"}
    if kind == "websocket":
        own = {"scheme": "ws", "subprotocols": ["v1"]}
        headers += [(b"upgrade", b"websocket"), (b"connection", b"Upgrade"), (b"sec-websocket-key", b"x")]
    return {**scope, **own, **more}


async def look(host: ASGIApp, person: str = "alice", path: str = f"/dash{PATH}") -> int:
    """Open the page of the same address, and return its status; 500 if the host raised."""
    statuses: list[int] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Message:
        return next(asked, None) or await silence()

    with suppress(Exception):
        await asyncio.wait_for(host(scope_of("http", path, person), receive, send), 30)
    return statuses[0] if statuses else 500


async def silence() -> Message:
    """Receive nothing."""
    await asyncio.Event().wait()
    raise AssertionError


async def swallow(message: Message) -> None:
    """Send nothing on."""


class Login(BaseHTTPMiddleware):
    """Knows alice and bob by their cookie, and lets no other visitor in."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Log in."""
        person = request.cookies.get("person")
        if person not in ("alice", "bob"):
            return Response(status_code=401)
        request.scope["user"] = {"is_authenticated": True, "username": person}
        request.state.tenant = f"tenant of {person}"
        return await call_next(request)


Dispatch = Callable[[Request, RequestResponseEndpoint], Awaitable[Response]]


def http(dispatch: Dispatch) -> Callable[[ASGIApp], ASGIApp]:
    """Return Starlette's middleware of this function."""
    return lambda app: BaseHTTPMiddleware(app, dispatch)


async def redirects(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Send the visitor to a login."""
    return RedirectResponse("/login")


async def refuses_afterwards(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Refuse when everything is done."""
    await call_next(request)
    return Response(status_code=403)


async def raises(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Fail."""
    raise PermissionError


async def raises_afterwards(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Fail when everything is done."""
    await call_next(request)
    raise PermissionError


async def says_204(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Answer as we do, without asking the application."""
    return Response(status_code=204)


async def says_204_afterwards(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Answer as we do, in the place of our answer."""
    await call_next(request)
    return Response(status_code=204)


async def swallows(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Make a good answer of each bad one, which no visitor would get to see."""
    try:
        answer = await call_next(request)
    except Exception:
        return Response(status_code=204)
    return answer if answer.status_code < 300 else Response(status_code=204)


async def rewrites(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Lead the request to where everybody may be."""
    request.scope["path"] = request.scope["path"].replace("/dash", "/open")
    return await call_next(request)


async def posts(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Make another request of it."""
    request.scope["method"] = "POST"
    return await call_next(request)


async def forgets(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Forget the headers of an answer."""
    return Response(status_code=(await call_next(request)).status_code)


async def never_ends(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Take for ever."""
    await asyncio.Event().wait()
    return await call_next(request)


async def streams(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Answer without an end."""

    async def body() -> Any:
        yield b"."
        await asyncio.Event().wait()

    return StreamingResponse(body())


class Pure:
    """Pure ASGI middleware, whose subclasses see HTTP alone."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look at what is HTTP."""
        await (self.http if scope["type"] == "http" else self.app)(scope, receive, send)

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Do harm."""
        await self.app(scope, receive, send)


class Copies(Pure):
    """Hands on a copy of the scope."""

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Copy it."""
        await self.app(dict(scope), receive, send)


class Rebuilds(Pure):
    """Hands on a scope of its own making."""

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep what the specification knows."""
        known = {name: value for name, value in scope.items() if "." not in name}
        await self.app(known, receive, send)


class Receives(Pure):
    """Replaces ``receive``."""

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give bodies of its own."""

        async def body() -> Message:
            await asyncio.sleep(0)  # otherwise Starlette's StreamingResponse, which waits for the end, stops the loop
            return {"type": "http.request", "body": b"x" * 100_000, "more_body": True}

        await self.app(scope, body, send)


class RaisesAtOnce(Pure):
    """Fails right after everything has been sent."""

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Fail."""
        await self.app(scope, receive, send)
        raise PermissionError


class AsksTwice(Pure):
    """Calls what is below it twice, the second time for another visitor."""

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call it."""
        await self.app(dict(scope), receive, swallow)
        await self.app({**scope, "user": {"is_authenticated": True, "username": "bob"}}, receive, send)


class AnswersTwice(Pure):
    """Sends its own answer and then the one from below."""

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send both."""
        await Response(status_code=403)(scope, receive, send)
        await self.app(scope, receive, send)


class SaysOtherwise(Pure):
    """Changes the status of each good answer, and keeps its headers."""

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse."""

        async def changed(message: Message) -> None:
            await send({**message, "status": 403} if "status" in message else message)

        await self.app(scope, receive, changed)


class StaysSilent(Pure):
    """Drops the end of each answer."""

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Drop it."""

        async def begun(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)

        await self.app(scope, receive, begun)
        await asyncio.Event().wait()


class Caches(Pure):
    """Keeps the first answer of each address for everybody, whatever it says of being kept."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self.kept: dict[str, list[Message]] = {}

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from memory."""
        if scope["path"] not in self.kept:
            answer: list[Message] = []

            async def keep(message: Message) -> None:
                answer.append(message)

            await self.app(scope, receive, keep)
            self.kept[scope["path"]] = answer
        for message in self.kept[scope["path"]]:
            await send(message)


REFUSING: Sequence[Any] = [
    *(http(each) for each in (redirects, refuses_afterwards, raises, raises_afterwards, says_204, says_204_afterwards)),
    *(http(each) for each in (rewrites, posts, forgets, never_ends, streams)),
    *(Rebuilds, RaisesAtOnce, AsksTwice, AnswersTwice, SaysOtherwise, StaysSilent),
]
HARMLESS: Sequence[Any] = [Copies, Receives, http(swallows), Caches, Pure]
