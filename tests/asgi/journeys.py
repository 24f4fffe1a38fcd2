"""A FastAPI application with a login of its own, and dashboards at three places: a real uvicorn in a process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import Server, free_port, kernelspec, launched
from stage import KERNEL

HOST = """
import sys
from contextlib import asynccontextmanager
from contextvars import ContextVar

import uvicorn
from fastapi import FastAPI
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import Response

from jupyter_app_meta import create_asgi_app

stage = ContextVar("stage", default="outside")


class Login(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        person = request.cookies.get("person")
        if not person:
            return Response("please log in", 401)
        request.scope["user"] = {"is_authenticated": True, "username": person}
        return await call_next(request)


class Staff(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        assert request.scope["app_meta_file"].endswith("page.ipynb")
        if request.cookies.get("staff") != "yes":
            return Response("staff only", 402)
        return await call_next(request)


@asynccontextmanager
async def lifespan(app):
    stage.set("inside")
    yield


builder = create_asgi_app(lifespan=lifespan, meta=lambda request: {"stage": stage.get()})


def mounted(builder, *paths, **routes):
    dashboards = builder.build()
    app = FastAPI(lifespan=dashboards.lifespan)
    app.add_middleware(Login)
    for name, answer in routes.items():
        app.get(f"/{name}")(answer)
    for path in paths:
        app.mount(path, dashboards)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", timeout_graceful_shutdown=5)
"""
"""The host. ``mounted`` serves what a builder makes at these paths, and functions of the host's own."""


@contextmanager
def hosting(home: Path, dashboards: str, **env: str) -> Iterator[Server]:
    """Serve the dashboards that this Python text makes of ``builder`` and mounts, in ``home/root``."""
    port = free_port()
    kernelspec(home, KERNEL)
    (script := home / "host.py").write_text(f"{HOST}\n{dashboards}")
    with launched(home, [str(script), str(port)], f"http://127.0.0.1:{port}/", env=env) as server:
        yield server


def at(host: Server, place: str) -> Server:
    """Return the dashboards at a place of the host."""
    found = Server(host.home, host.url + place, host.process, "")
    found.closing = host.closing
    return found
