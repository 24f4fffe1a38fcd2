"""Whole servers, each in a process of its own: what they do in order, and how they end."""

from __future__ import annotations

import asyncio
import inspect
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from processes import COMMANDS, LONG, Served, served
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed

from jupyter_app_meta.asgi.serve import run
from jupyter_app_meta.errors import LifespanError

TERM = -signal.SIGTERM


async def opened(server: Served) -> ClientConnection:
    """Open a socket, and see it echo."""
    connection = await unix_connect(str(server.socket), "ws://server/socket", open_timeout=LONG)
    await connection.send("hello")
    assert await connection.recv() == "hello"
    return connection


async def closed(connection: ClientConnection) -> int | None:
    """Return the code with which the server closes a socket."""
    with pytest.raises(ConnectionClosed):
        async with asyncio.timeout(LONG):
            await connection.recv()
    return connection.close_code


async def fails_in(server: Served) -> tuple[httpx.Response, int | None]:
    """Let the task group fail while a request is under way and a socket is open; return how both end."""
    async with server.client() as client, server.client() as other:
        connection = await opened(server)
        slow = asyncio.create_task(client.get("/slow"))
        await asyncio.to_thread(server.wait_for, "slow begins")
        await other.get("/fail")
        return await slow, await closed(connection)


@pytest.mark.parametrize(("name", "status"), [("run", 1), ("uvicorn", TERM), ("granian", 1), ("hypercorn", None)])
async def test_a_failing_task_group_stops_the_server(name: str, status: int | None) -> None:
    """Requests end as they would have, sockets are closed with 1012, then the context is left; the error is seen."""
    with served(name) as server:
        slow, code = await fails_in(server)
        found = await asyncio.to_thread(server.status)
        assert (slow.status_code, slow.text, code) == (200, "999 nobody", 1012)
        first, last = server.events()[:3], server.events()[3:]
        assert first == ["enter", "slow begins", "the group fails"]
        assert sorted(last[:2]) == ["slow ends", "socket 1012"] and last[2:] == ["the error arrives", "leave"]
        assert "ValueError: a secret of the deployer's" in server.output()
        assert status is None or found == status  # hypercorn's command says 0 or 1, as its versions differ


async def test_a_swallowed_error_ends_run_in_peace() -> None:
    """Where the factory swallows the error of its task group, ``run`` stops all the same and returns."""
    with served("run", "swallowed") as server:
        await fails_in(server)
        assert await asyncio.to_thread(server.status) == 0
        assert server.events()[-3:] == ["the error arrives", "leave", "run returns"]


@pytest.mark.parametrize(("name", "status"), [("run", 1), ("uvicorn", 3), ("granian", 1)])
def test_a_context_that_does_not_start_starts_no_server(name: str, status: int) -> None:
    """The error is seen, no request is served, and the server ends as it ends for any failed start."""
    with served(name, "start", ready=False) as server:
        assert server.status() == status
        assert server.events() == ["enter"]
        assert "ValueError: a secret of the deployer's" in server.output()


def test_an_error_while_leaving_is_raised() -> None:
    """``run`` raises what leaving the context raises, in place of the signal that made it leave."""
    with served("run", "leave") as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.status() == 1
        assert server.events() == ["enter", "leave"]
        assert "ValueError: a secret of the deployer's" in server.output()


@pytest.mark.parametrize("name", ["run", "uvicorn"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
async def test_a_signal_closes_sockets_then_leaves(name: str, number: int) -> None:
    """Sockets are closed with 1012 and the context is left before the process ends, by that very signal."""
    with served(name) as server:
        connection = await opened(server)
        server.process.send_signal(number)
        code = await closed(connection)
        found = await asyncio.to_thread(server.status)
        assert server.events() == ["enter", "socket 1012", "leave"]
        assert code == 1012
        is_free = (name, number) == ("uvicorn", signal.SIGINT)  # its command ends with 0 or 1, as its versions differ
        assert found == -number or (is_free and found in (0, 1))


@pytest.mark.parametrize("name", ["granian", "hypercorn"])
def test_a_signal_leaves_under_other_servers(name: str) -> None:
    """They tell an application of a signal once their sockets are closed: then the context is left."""
    with served(name) as server:
        server.process.send_signal(signal.SIGTERM)
        server.status()
        assert server.events() == ["enter", "leave"]


def test_a_signal_while_the_context_is_entered_ends_that() -> None:
    """SIGTERM does not wait for a start that never ends."""
    with served("run", "start slowly", ready=False) as server:
        server.wait_for("enter")
        server.process.send_signal(signal.SIGTERM)
        assert server.status() == TERM
        assert server.events() == ["enter"]


@contextmanager
def scripted(script: str, *arguments: str, ready: bool) -> Iterator[Served]:
    """Serve with this script."""
    code = f"import sys, lived\nfrom jupyter_app_meta.asgi import run\n{script}".replace("{", "{{").replace("}", "}}")
    COMMANDS["scripted"] = ["-c", code, *arguments]
    try:
        with served("scripted", ready=ready) as server:
            yield server
    finally:
        del COMMANDS["scripted"]


def test_an_address_that_is_taken_leaves_the_context() -> None:
    """uvicorn says that it cannot listen; the context is left before the process ends with uvicorn's status."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with scripted("run(lived.factory, port=int(sys.argv[1]))", port, ready=False) as server:
            assert server.status() == (3 if RESETS else 1)
            assert server.events() == ["enter", "leave"]
            assert "address already in use" in server.output()


BARE = """
if "absent" in sys.argv:
    sys.modules.update(dict.fromkeys(("websockets", "wsproto")))  # as if they were not installed
run(lived.factory, uds=sys.argv[1], ws=sys.argv[2])
"""

BLANK = "uvicorn has no WebSocket library, so dashboards stay blank: pip install 'uvicorn[standard]'."


@pytest.mark.parametrize(
    ("library", "ws", "times"), [("absent", "auto", 1), ("absent", "none", 0), ("present", "auto", 0)]
)
def test_a_missing_websocket_library_is_told_at_the_start(library: str, ws: str, times: int) -> None:
    """Before the first page is blank, once, with the fix. Other applications are served all the same."""
    with scripted(BARE, "{socket}", ws, library, ready=True) as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.status() == TERM
        assert server.output().count(BLANK) == times
        assert server.events() == ["enter", "leave"]


def pipelined(server: Served, *paths: str, people: Sequence[str] = ("", "")) -> list[str]:
    """Send requests of these people at once on one connection, and return the bodies of the answers."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(LONG)
        connection.connect(str(server.socket))
        asked = zip(paths, people, strict=True)
        requests = "\r\n".join(
            f"GET {path} HTTP/1.1\r\nHost: server\r\nCookie: p={person}\r\n" for path, person in asked
        )
        connection.sendall(f"{requests}Connection: close\r\n\r\n".encode())
        answers = b"".join(iter(lambda: connection.recv(65536), b""))
    return [part.rpartition(b"\r\n")[2].decode() for part in answers.split(b"HTTP/1.1 ")[1:]]


RESETS = "reset_contextvars" in inspect.signature(uvicorn.Config).parameters
"""Whether this uvicorn can keep one request's variables from the next. Older releases cannot."""


def test_one_visitors_variables_do_not_reach_the_next_on_a_connection() -> None:
    """``run`` resets ContextVars between requests, and sets those of the factory anew in each."""
    with served("run") as server:
        first, second = pipelined(server, "/set", "/var")
    assert first == "999 nobody"
    assert second == "999 nobody" or not RESETS


DASHBOARDS = """
import uvicorn
from nbformat import v4, write
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from jupyter_app_meta import create_asgi_app

class Login:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            scope["user"] = {"is_authenticated": True, "username": Request(scope).cookies["p"]}
        await self.app(scope, receive, send)

def on_error(status, request):
    before = lived.visitor.get()
    lived.visitor.set(request.user.username)
    return f"{request.user.username} after {before}"

write(v4.new_notebook(), "page.ipynb")
app = Starlette(middleware=[Middleware(Login)])
create_asgi_app(on_error=on_error, cookie_secret=bytes(32)).with_app(path="/page", root="page.ipynb").mount(app)
serve = run if sys.argv[2] == "run" else lambda app, **options: uvicorn.run(app, **options)
serve(app, uds=sys.argv[1], http=sys.argv[3])
"""


@pytest.mark.parametrize("http", ["h11", "httptools"])
@pytest.mark.parametrize("way", ["run", "uvicorn"])
def test_two_visitors_of_dashboards_on_one_connection_are_two(way: str, http: str) -> None:
    """Each is who the host says, whatever the ContextVars of a connection are; ``run`` resets them, too."""
    with scripted(DASHBOARDS, "{socket}", way, http, ready=False) as server:
        server.listens()
        people = ["alice", "bob", "alice", "carol"]
        found = [answer.split(" after ") for answer in pipelined(server, *["/absent"] * 4, people=people)]
    assert [person for person, _ in found] == people
    if way == "run" and RESETS:
        assert {before for _, before in found} == {"nobody"}


@pytest.mark.parametrize(
    ("options", "fix"),
    [
        ({"workers": 2}, r"workers=2 .*within\(\) for several"),
        ({"reload": True}, r"reload=True .*uvicorn --reload"),
        ({"interface": "wsgi"}, r"interface='wsgi' .*leave it out"),
        ({"lifespan": "off"}, r"lifespan='off' .*leave it out"),
    ],
)
def test_options_that_cannot_hold_are_refused(options: dict[str, Any], fix: str) -> None:
    """An option of uvicorn's that would have no effect is refused by its name, before anything is entered."""
    with pytest.raises(LifespanError, match=fix):
        run(lambda: pytest.fail("it was entered"), **options)


def test_several_workers_from_the_environment_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvicorn reads WEB_CONCURRENCY; ``run`` cannot serve with several processes."""
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    with pytest.raises(LifespanError, match="WEB_CONCURRENCY is 3"):
        run(lambda: pytest.fail("it was entered"))
