"""What the log says about a server on which dashboards cannot work."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
import uvicorn
import websocket
from exchange import http_scope, websocket_scope
from stage import write
from starlette.applications import Starlette

from jupyter_app_meta.asgi import create_asgi_app
from jupyter_app_meta.asgi.hints import EVERY, NO_SOCKETS, NOT_HERE, Hints
from jupyter_app_meta.dashboards.visits import REMEMBERED, Presence, Visit, Visits

log = logging.getLogger("tests.hints")
UPGRADE = ((b"Upgrade", b"WebSocket"), (b"Connection", b"Upgrade"))


def kernel() -> str:
    """Return the id of a kernel."""
    return str(uuid.uuid4())


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return which hints were logged."""
    return [record.message for record in caplog.records if record.message in (NO_SOCKETS, NOT_HERE)]


def watch(hints: Hints, kernel_id: str, make: Any = http_scope, headers: Any = (), rest: str = "") -> None:
    """Watch a request for a kernel."""
    hints.watch(make(path=f"/dash/api/kernels/{kernel_id}{rest}", headers=[*headers]))


def test_a_kernel_of_another_process_is_told_once_an_hour(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its model or its socket is asked for, and whoever asks."""
    hints, now = Hints(Visits(), log), 10.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    watch(hints, kernel(), websocket_scope, rest="/channels")
    for _ in range(3):
        watch(hints, kernel())
    assert told(caplog) == [NOT_HERE]
    now += EVERY
    watch(hints, kernel())
    assert told(caplog) == [NOT_HERE] * 2


def test_a_kernel_that_was_here_is_none_of_another_process(caplog: pytest.LogCaptureFixture) -> None:
    """A page that was closed or has ended asks for its kernel too; of those, only so many are remembered."""
    visits = Visits()
    hints, ids = Hints(visits, log), [kernel() for _ in range(REMEMBERED + 1)]
    for kernel_id in ids:
        visits.begin(
            cast(Visit, SimpleNamespace(flight=None, presence=Presence(), run=None)), kernel_id, cast(Any, None)
        )
        watch(hints, kernel_id)
        visits.forget(kernel_id)
        watch(hints, kernel_id)
    assert told(caplog) == []
    watch(hints, ids[0])
    assert told(caplog) == [NOT_HERE]


@pytest.mark.parametrize("path", ["/", "/dash/api/kernels", "/api/kernels/x", "/sales/api", "/api/kernels/a-b-c"])
def test_other_requests_tell_nothing(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """Not even if they have odd headers."""
    Hints(Visits(), log).watch(http_scope(path=path, headers=[*UPGRADE]))
    assert told(caplog) == []


@contextmanager
def served(app: Starlette) -> Iterator[tuple[uvicorn.Server, socket.socket]]:
    """Give a uvicorn that speaks no WebSocket, and the socket on which it will listen."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield uvicorn.Server(uvicorn.Config(app, ws="none", log_level="critical")), listening


async def test_a_server_without_a_websocket_library_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A real one: it serves the handshake as a request. The sentence names the package."""
    write(tmp_path / "page.ipynb", "1")
    host = Starlette()
    create_asgi_app(cookie_secret=bytes(32)).with_app(path="", root=tmp_path / "page.ipynb").mount(host, "/dash")
    with served(host) as (server, listening):
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        address = f"127.0.0.1:{listening.getsockname()[1]}/dash/api/kernels/{kernel()}"
        for _ in range(2):
            with pytest.raises(websocket.WebSocketBadStatusException):
                await asyncio.to_thread(websocket.create_connection, f"ws://{address}/channels", timeout=60)
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"http://{address}")).status_code == 403
        server.should_exit = True
        await serving
    assert told(caplog) == [NO_SOCKETS, NOT_HERE]
    assert "uvicorn[standard]" in NO_SOCKETS
