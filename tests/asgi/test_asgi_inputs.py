"""Bad input of an ASGI host and its visitors: each has its outcome, and a sentence that names the fix."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from clients import TestClient
from fastapi import FastAPI
from harness import Server, free_port, kernelspec, launched, without_kernels
from journeys import at
from stage import ASK, KERNEL, Opened, browse, eventually, kernels, write
from test_asgi_app import refused

from jupyter_app_meta.asgi import create_asgi_app
from jupyter_app_meta.errors import LifespanError

HOST = """
import datetime, logging, os

import uvicorn
from fastapi import FastAPI
from starlette.middleware.base import BaseHTTPMiddleware

from jupyter_app_meta import create_asgi_app

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")


class Row:
    '''A row of a database whose session is closed.'''

    is_authenticated, id, name = True, 17, "Ann"

    @property
    def username(self):
        raise RuntimeError("CANARY")


class Old:
    username = "old"

    def is_authenticated(self):
        return True


odd = {"username": "odd", "is_authenticated": True, "since": datetime.date(2026, 1, 1), "rate": float("nan"), "team": 5}
odd["again"] = odd
users = {
    "unnamed": {"is_authenticated": True},
    "raising": Row(),
    "odd": odd,
    "absent": {"username": "absent"},
    "text": {"username": "text", "is_authenticated": "true"},
    "method": Old(),
}
seen = {}


class Login(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        request.scope["user"] = users.get(request.cookies.get("person"))
        return await call_next(request)


def authorize(user, request):
    seen.clear()
    seen.update(user)
    return False


app = FastAPI()
app.add_middleware(Login)
app.get("/seen")(lambda: seen)
builder = create_asgi_app()
builder = builder.with_dynamic_directory(path="", directory=".")
builder = builder.with_app(path="/closed", root="who.ipynb", authorize=authorize)
for path in ("/one", "/two"):
    builder.mount(app, path)
uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning", timeout_graceful_shutdown=5)
"""

SHOWN = """import json
from jupyter_app_meta import app_meta
print("user", json.dumps(app_meta().user))"""

MEMBERS = "from jupyter_app_meta import app_meta\napp_meta().require_user()"

ENDLESS = (
    ASK
    + """import os, time
open(os.environ["BEGUN"], "w").close()
time.sleep(600)"""
)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A host with odd users, in which one builder is built twice."""
    home, port = tmp_path_factory.mktemp("inputs"), free_port()
    kernelspec(home, KERNEL)
    for name, cell in (("who", SHOWN), ("members", MEMBERS), ("endless", ENDLESS)):
        write(home / "root" / f"{name}.ipynb", cell)
    (script := home / "host.py").write_text(HOST)
    env = {"PORT": str(port), "BEGUN": str(home / "begun")}
    with launched(home, [str(script)], f"http://127.0.0.1:{port}/", env=env) as server:
        yield server


def opened(host: Server, person: str, path: str) -> Opened:
    """Open a page as this person."""
    return browse(at(host, "one/").visitor(cookies={"person": person}), path)


def seen(host: Server, person: str) -> dict[str, Any]:
    """Return what ``authorize`` sees of a person, without a kernel."""
    assert opened(host, person, "closed").response.status_code == 403
    found: dict[str, Any] = host.visitor().get("seen").json()
    return found


@pytest.mark.parametrize(
    ("person", "username", "name"), [("raising", "17", "Ann"), ("odd", "odd", "odd")], ids=["raising", "not JSON"]
)
def test_what_cannot_be_read_of_a_user_is_left_out(host: Server, person: str, username: str, name: str) -> None:
    """A property that raises, and values that are not JSON: the user is known by what is left."""
    user = seen(host, person)
    assert (user["username"], user["name"], user["is_authenticated"]) == (username, name, True)
    assert user.get("team") == (5 if person == "odd" else None)
    assert {"since", "rate", "again"}.isdisjoint(user)


UNNAMED = 'scope["user"] (dict) is authenticated but has no username, so the visitor is treated as not authenticated'
NO_FLAG = "is treated as not authenticated: its is_authenticated is not True"
REMEDY = "give create_asgi_app(user=...) a function that"


@pytest.mark.parametrize("person", ["unnamed", "absent", "text", "method"])
def test_a_user_in_doubt_has_not_logged_in(host: Server, person: str) -> None:
    """The page's visitor is not authenticated. The log says once why, and how it is mended."""
    assert seen(host, person)["is_authenticated"] is False
    sentence = UNNAMED if person == "unnamed" else NO_FLAG
    lines = [line for line in host.log.splitlines() if sentence in line]
    assert 1 <= len(lines) <= 2  # each of the two applications says it once
    assert all(REMEDY in line for line in lines) and "CANARY" not in host.log


def test_a_page_that_needs_a_login_names_the_host(host: Server) -> None:
    """The visitor reads where to log in, and the log has under the page's id what the host must do."""
    page = opened(host, "absent", "members")
    found = re.search(r"Log in to the application that shows this page.*?(E-[0-9A-F]{4}).*scope", page.html, re.DOTALL)
    assert found and "this server has no login" not in page.html
    lines = [line for line in host.log.splitlines() if found[1] in line]
    assert "let its middleware set scope['user'], with is_authenticated True." in lines[-1]
    page.close()


def test_two_applications_of_one_builder_are_two(host: Server) -> None:
    """``build()`` twice: a kernel of the one is unknown to the other. A notebook sees what is left of an odd user."""
    page = opened(host, "odd", "who")
    user = json.loads(re.search(r"user ({.*?})\n?<", page.html.replace("&#34;", '"').replace("&quot;", '"'))[1])  # type: ignore[index]
    assert (user["username"], user["team"], "again" in user) == ("odd", 5, False)
    page.connect().connection.close()
    page.visitor.server = at(host, "two/")
    page.visitor.http.base_url = page.visitor.server.url
    assert refused(page, page.kernel_id)[:2] == (403, 403)
    page.visitor.http.base_url = f"{host.url}one/"
    assert page.close().status_code == 204


def test_a_body_over_the_limit_is_refused(host: Server) -> None:
    """413, and the limit. The same body below it is taken."""
    visitor = at(host, "one/").visitor()
    path = "voila/api/shutdown/00000000-0000-4000-8000-000000000000"
    large = visitor.http.post(path, content=b"x" * 65537)
    assert (large.status_code, large.text) == (
        413,
        "The request's body is too large: at most 65536 bytes are accepted here. Send a smaller one.",
    )
    assert visitor.http.post(path, content=b"x" * 65536).status_code == 403


def test_a_client_that_leaves_while_its_page_is_made_ends_the_kernel(host: Server) -> None:
    """Through the host's BaseHTTPMiddleware too."""
    with socket.create_connection(("127.0.0.1", int(host.url.rstrip("/").rpartition(":")[2]))) as connection:
        connection.sendall(b"GET /one/endless HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/html\r\n\r\n")
        eventually((host.home / "begun").exists)
        assert kernels(host)
    eventually(lambda: not kernels(host))
    assert "Traceback" not in without_kernels(host.log)


def test_a_lifespan_that_is_joined_twice_is_refused(tmp_path: Path) -> None:
    """The start fails, and the error names the three ways of which one is enough."""

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[None]:
        async with dashboards.lifespan(app):
            yield

    app = FastAPI(lifespan=own)
    builder = create_asgi_app(cookie_secret=bytes(32))
    dashboards = builder.with_app(path="", root=write(tmp_path / "page.ipynb", "1")).mount(app)
    with pytest.raises(LifespanError, match="leave out one of mount"), TestClient(app):
        pytest.fail("it has started")


@pytest.mark.parametrize("kind", ["http", "websocket", "lifespan"])
def test_trio_is_refused_with_the_fix(tmp_path: Path, kind: str) -> None:
    """Dashboards need asyncio's loop: the message says how a server gets one."""

    async def channel(*_: object) -> Any:
        pytest.fail("it was called")

    dashboards = create_asgi_app().with_app(path="", root=write(tmp_path / "page.ipynb", "1")).build()
    call = dashboards({"type": kind, "path": "/"}, channel, channel)
    with pytest.raises(RuntimeError, match=r"needs asyncio: .*hypercorn -k asyncio"):
        call.send(None)
