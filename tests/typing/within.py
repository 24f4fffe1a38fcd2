"""What platform engineers write around their applications: checked by mypy, and no part of a test run."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from typing import Self

import anyio
from fastapi import FastAPI
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from jupyter_app_meta.asgi import make_transparent, run, transparent, within
from jupyter_app_meta.dashboards import create_app

tenant: ContextVar[str] = ContextVar("tenant")


@contextlib.asynccontextmanager
async def app_factory() -> AsyncGenerator[FastAPI]:
    """Surround an application."""
    async with anyio.create_task_group():
        tenant.set("ours")
        yield FastAPI()


class ACMGRFastAPI(FastAPI):
    """An application that is its own context."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        return None


async def make_app() -> FastAPI:
    """Make an application."""
    return FastAPI()


class Login(BaseHTTPMiddleware):
    """Middleware of a host's."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Let everybody in."""
        return await call_next(request)


@contextlib.asynccontextmanager
async def lifespan(app: object) -> AsyncGenerator[dict[str, str]]:
    """Surround a server."""
    yield {"tenant": "ours"}


@contextlib.asynccontextmanager
async def bare() -> AsyncGenerator[None]:
    """Surround a server."""
    yield


applications = [within(app_factory), within(ACMGRFastAPI), within(ACMGRFastAPI()), within(make_app), within(FastAPI())]
login: type[Login] = transparent(Login)
app: FastAPI = make_transparent(FastAPI())
builders = [create_app(lifespan=lifespan), create_app(lifespan=bare)]


def main() -> None:
    """Serve."""
    run(app_factory, port=8000, log_level="warning")
    run(ACMGRFastAPI, host="0.0.0.0")
    run(ACMGRFastAPI())
