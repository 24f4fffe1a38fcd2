"""JupyterLab inside a FastAPI application, for the people whom the application knows. Run it with ``python main.py``.

1. The login is pure ASGI middleware, because it must judge the handshakes of WebSockets as well as requests.
2. jupyter_server has no port. Its tornado application is called through ``jupyter_app_meta.asgi.bridge``.
3. jupyter_server starts before the application serves, and ends its kernels before the process ends (``run``).

A visitor who may open Lab may run any code as the account of this process, and read all of its files.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from http.cookies import SimpleCookie
from typing import Any, cast
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jupyter_server.auth.identity import IdentityProvider, User
from jupyter_server.serverapp import ServerApp
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose
from tornado.httputil import HTTPServerRequest
from tornado.web import Application
from tornado.websocket import WebSocketHandler
from traitlets.config import Config

from jupyter_app_meta.asgi import bridge, run

PLACE = "/lab-server"
LIMITS = bridge.Limits(max_body=200 * 1024 * 1024, body_timeout=300)
"""Lab saves and uploads whole files. Those who do so are logged in."""

PASSWORDS: dict[str, str] = json.loads(os.environ.pop("LAB_PASSWORDS", "{}"))  # kernels inherit the environment
"""The password of each person. Yours is a database on another machine, or OpenID Connect."""

sessions: dict[str, str] = {}

FORM = """<!doctype html><html lang="en"><title>Log in</title><form method="post">
<label>Name <input name="username"></label> <label>Password <input name="password" type="password"></label>
<button>Log in</button></form>"""


class Login:
    """Refuses strangers, and says who each visitor is: for requests and for WebSockets."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Put the visitor into the scope."""
        if scope["type"] in ("http", "websocket"):
            username = sessions.get(_cookie(scope, "session"))
            if username is None and (scope["type"], scope["path"]) != ("http", "/login"):
                refused = PlainTextResponse("Please log in.", 401) if scope["type"] == "http" else WebSocketClose()
                await refused(scope, receive, send)
                return
            scope["user"] = {"is_authenticated": username is not None, "username": username}
        await self._app(scope, receive, send)


def _cookie(scope: Scope, name: str) -> str:
    lines = [value.decode("latin-1") for key, value in scope["headers"] if key == b"cookie"]
    found = SimpleCookie("; ".join(lines)).get(name)
    return found.value if found else ""


async def ask() -> HTMLResponse:
    """Show the form."""
    return HTMLResponse(FORM)


async def log_in(request: Request) -> Response:
    """Begin a session."""
    form = {name: values[0] for name, values in parse_qs((await request.body()).decode("latin-1")).items()}
    username, password = form.get("username", ""), form.get("password", "")
    if not secrets.compare_digest(PASSWORDS.get(username, "").encode(), password.encode()) or not password:
        return HTMLResponse(FORM, 401)
    session = secrets.token_urlsafe()
    sessions[session] = username
    answer = RedirectResponse(f"{PLACE}/lab", 303)
    answer.set_cookie("session", session, httponly=True, samesite="lax", secure=request.url.scheme == "https")
    return answer


class HostIdentity(IdentityProvider):
    """The host's ``scope["user"]`` is Lab's user. There is no token, no password and no other login page."""

    def get_user(self, handler: Any) -> User | None:
        """Return the visitor of a request."""
        user = handler.request.connection.scope.get("user")
        return User(user["username"]) if user and user["is_authenticated"] is True else None


class Lab:
    """jupyter_server's application as an ASGI application, mounted at ``PLACE``."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or a WebSocket. Lab's own routes have the mount's path, so nothing is taken off it."""
        scope = {**scope, "root_path": "", "app_root_path": ""}
        application = cast(Application, self)  # the bridge asks an application for ``find_handler`` only
        if scope["type"] == "http":
            await bridge.http(application, scope, receive, send, limits=LIMITS)
        else:
            await bridge.websocket(application, scope, receive, send)

    def find_handler(self, request: HTTPServerRequest) -> Any:
        """Return tornado's delegate of a request, with a handler that takes the WebSocket of the ASGI server."""
        delegate: Any = self._application.find_handler(request)
        made = getattr(delegate, "handler_class", None)
        if isinstance(made, type) and issubclass(made, WebSocketHandler):
            delegate.handler_class = _in_asgi(made)  # type: ignore[arg-type]  # mypy takes a class for its instances
        return delegate


@cache
def _in_asgi(handler: type[WebSocketHandler]) -> type[WebSocketHandler]:
    def get_websocket_protocol(self: Any) -> Any:
        return self.request.connection.websocket(self)

    return type(handler.__name__, (handler,), {"get_websocket_protocol": get_websocket_protocol})


class HostedServer(ServerApp):
    """A jupyter_server that leaves signals to the host's server."""

    def init_signal(self) -> None:
        """Do nothing: uvicorn handles SIGTERM and Ctrl-C."""


def configuration() -> Config:
    """Return the options of jupyter_server."""
    config = Config()
    config.ServerApp.jpserver_extensions = {"jupyterlab": True, "jupyter_app_meta": True}
    config.ServerApp.identity_provider_class = HostIdentity
    config.ServerApp.base_url = f"{PLACE}/"
    config.ServerApp.open_browser = False
    return config


@asynccontextmanager
async def factory() -> AsyncIterator[ASGIApp]:
    """Start jupyter_server, give the application, and end the kernels."""
    server = HostedServer.instance(config=configuration())
    server.initialize([], new_httpserver=False)
    await server._post_start()  # type: ignore[no-untyped-call]  # not all of it has types
    app = FastAPI()
    app.add_middleware(Login)
    app.get("/login")(ask)
    app.post("/login")(log_in)
    app.mount(PLACE, Lab(server.web_app))
    try:
        yield app
    finally:
        await server._cleanup()
        HostedServer.clear_instance()


if __name__ == "__main__":
    run(factory, port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
