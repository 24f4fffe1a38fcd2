"""Visitors and middleware that attack a mounted server: nothing is shown that the host would have refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from harness import kernelspec
from hostile import scope_of, silence
from stage import KERNEL, write
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Scope

from jupyter_app_meta.asgi import AsgiBuilder, create_asgi_app

HTML = [(b"host", b"127.0.0.1"), (b"accept", b"text/html"), (b"cookie", b"person=alice")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a notebook, whose kernel is installed."""
    folder, home = tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("home")
    kernelspec(home, KERNEL)
    for name in ("who", "reports/secret"):
        write(folder / f"{name}.ipynb", "1")
    for name in ("logo", "pictures/map", "reports/chart", "reports/deep/chart"):
        (folder / f"{name}.png").parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.png").write_bytes(b"\x89PNG")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(home / "data"))
        yield folder


@asynccontextmanager
async def hosted(made: AsgiBuilder, path: str) -> AsyncIterator[Starlette]:
    """Mount a builder in a host."""
    host = Starlette()
    dashboards = made.mount(host, path)
    async with dashboards.lifespan(host):
        yield host


async def answer(app: ASGIApp, kind: str, path: str, **more: Any) -> tuple[int, bytes]:
    """Send a request, or a socket's handshake, and return the status and the body of what comes back."""
    first = {"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request"}
    asked, answers = iter([first]), list[Message]()

    async def receive() -> Message:
        return next(asked, None) or await silence()

    async def send(message: Message) -> None:
        answers.append(message)

    scope = scope_of(kind, path, "alice", extensions={"websocket.http.response": {}}, **{"headers": HTML, **more})
    await asyncio.wait_for(app(scope, receive, send), 30)
    statuses = [message["status"] for message in answers if "status" in message]
    return statuses[0] if statuses else 101, b"".join(message.get("body", b"") for message in answers)


# --- what visitors write ----------------------------------------------------------------------------------------------


async def test_a_handshake_at_a_page_starts_no_kernel(folder: Path) -> None:
    """Scripts of other sites may open sockets, and not each browser says what a handshake is for."""
    made = create_asgi_app(cookie_secret=bytes(32), max_pages=1).with_app(path="/", root=folder / "who.ipynb")
    async with hosted(made, "/dash") as host:
        for more in ([], [(b"sec-fetch-dest", b"document")]):
            status, body = await answer(host, "websocket", "/dash/", headers=[*HTML, *more])
            assert status == 200 and b"og:title" in body and b"<script" not in body


@pytest.mark.parametrize("tenant", ["..", ".", "a\0b", "a\x7fb", "../.."])
async def test_no_parameter_of_a_mount_leads_elsewhere(folder: Path, tenant: str) -> None:
    """No browser sends such a path, and the deployer's functions and cells may make a file's name of a parameter."""
    seen: list[object] = []

    def authorize(user: object, request: object) -> bool:
        seen.append(request)
        return True

    made = create_asgi_app(cookie_secret=bytes(32))
    made = made.with_app(path="/who", root=folder / "who.ipynb", authorize=authorize)
    async with hosted(made, "/t/{tenant:path}/d") as host:
        for kind in ("http", "websocket"):
            assert (await answer(host, kind, f"/t/{tenant}/d/who", method="HEAD"))[0] == 404
        assert not seen
        assert (await answer(host, "http", "/t/a..b/.c/d/who", method="HEAD"))[0] == 200
        assert len(seen) == 1


RULES: Mapping[str, Mapping[str, Any]] = {
    "validate": {"validate": lambda user, request: False},
    "validate_callback": {"validate_callback": lambda name, scope: False},
    "middleware": {"middleware": [lambda app: Response(status_code=403)]},
}


@pytest.mark.parametrize("rule", RULES)
async def test_a_page_does_not_lift_the_rule_of_a_folder_below_it(folder: Path, rule: str) -> None:
    """The start page is open, and so are its pictures. The reports are not, at each address of theirs."""
    made = create_asgi_app(cookie_secret=bytes(32)).with_app(path="", root=folder / "who.ipynb")
    for place in ("/reports", "/elsewhere"):
        both = made.with_dynamic_directory(path=place, directory=folder / "reports", **RULES[rule])
        async with hosted(both, "/") as host:
            for path in ("/reports/chart.png", "/reports/deep/chart.png", "/elsewhere/chart.png"):
                assert (await answer(host, "http", path))[0] in (403, 404), path
            for path in ("/logo.png", "/pictures/map.png"):
                assert (await answer(host, "http", path))[0] == 200, path


# --- what deployers write ---------------------------------------------------------------------------------------------


async def test_a_status_may_be_written_by_its_name(folder: Path) -> None:
    """``HTTPStatus`` is as good as a number."""

    def callback(name: str, scope: Scope) -> bool:
        raise HTTPException(HTTPStatus.UNAUTHORIZED)

    made = create_asgi_app(cookie_secret=bytes(32))
    made = made.with_dynamic_directory(path="/nb", directory=folder, validate_callback=callback)
    async with hosted(made, "/dash") as host:
        assert (await answer(host, "http", "/dash/nb/who"))[0] == 401
