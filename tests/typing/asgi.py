"""What platform engineers write around dashboards in an application of theirs, as type checkers read it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import assert_type

from fastapi import FastAPI
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

import jupyter_app_meta as marimo
from jupyter_app_meta import HTTPRequest, User, app_meta
from jupyter_app_meta.asgi import AsgiApp, AsgiBuilder, create_asgi_app


class AuthMiddleware(BaseHTTPMiddleware):
    """A login of the host's."""

    async def dispatch(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        """Put the user into the scope."""
        request.scope["user"] = {"is_authenticated": True, "username": "example_user"}
        request.scope["meta"] = {"some_key": "some_value"}
        return await call_next(request)


class PureMiddleware:
    """Middleware of one mount."""

    def __init__(self, app: ASGIApp, option: int = 0) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        await self.app(scope, receive, send)


async def my_login_route(request: Request) -> Response:
    """Log in."""
    return RedirectResponse("/", 303)


# one notebook at each path
server = (
    marimo.create_asgi_app()
    .with_app(path="", root="./pages/index.py")
    .with_app(path="/dashboard", root="./pages/dashboard.py")
)
app = FastAPI()
app.add_middleware(AuthMiddleware)
app.add_route("/login", my_login_route, methods=["POST"])
app.mount("/", server.build())
assert_type(server.mount(app), AsgiApp)

# a directory
server = marimo.create_asgi_app().with_dynamic_directory(path="/dashboard", directory="./notebooks")
assert_type(server, AsgiBuilder)

# a loop over the notebooks of a folder
server = create_asgi_app()
for filename in sorted(Path("notebooks").iterdir()):
    if filename.suffix == ".py":
        server = server.with_app(path=f"/{filename.stem}", root=filename)


def greet() -> str:
    """A cell that knows its visitor."""
    request = app_meta().request
    assert request is not None and request.user is not None
    return str(request.user["username"]) if request.user["is_authenticated"] else "nobody"


async def user_of(scope: Scope) -> object:
    """Say who the visitor is."""
    return scope["session"].get("user")


def may_see(app_path: str, scope: Scope) -> bool:
    """Decide about a notebook of a directory."""
    return app_path in scope["user"]["dashboards"]


async def only_staff(user: User, request: HTTPRequest) -> bool | str:
    """Decide about a page."""
    return "staff" in user["groups"] or "/login"


@contextlib.asynccontextmanager
async def lifespan(app: object) -> AsyncGenerator[dict[str, str]]:
    """Surround the dashboards."""
    yield {"tenant": "ours"}


every = (
    create_asgi_app(
        user=user_of,
        host=app,
        lifespan=lifespan,
        on_error="host",
        meta=lambda request: {"path": request.url.path},
        warm=1,
        max_age=60,
        max_pages=20,
        idle_timeout=60,
        connect_timeout=30,
        cookie_secret=bytes(32),
        config={"VoilaConfiguration": {"theme": "dark"}},
    )
    .with_app(path="/a", root="a.ipynb", authorize=only_staff, warm=0, middleware=[AuthMiddleware, PureMiddleware])
    .with_app(path="/b", root="b.md", middleware=[lambda app: PureMiddleware(app, option=1)])
    .with_dynamic_directory(path="/c", directory="c", validate=only_staff)
    .with_dynamic_directory(path="/d", directory="d", validate_callback=may_see)
    .with_index(path="/all")
)
dashboards = every.build()
assert_type(dashboards, AsgiApp)
joined = FastAPI(lifespan=dashboards.lifespan)


async def end() -> None:
    """Surround the dashboards by hand."""
    async with dashboards.lifespan(app):
        pass
    await dashboards.aclose()
