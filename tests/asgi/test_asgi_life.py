"""Dashboards in each form of a lifespan, in a real uvicorn: what is begun before them is left after their kernels."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from harness import Server, Socket, free_port, kernelspec, launched
from stage import KERNEL, WHO, browse, kernels, write

COMMON = """
import os, sys
from contextlib import asynccontextmanager
from contextvars import ContextVar

import anyio, psutil, uvicorn
from fastapi import FastAPI

from jupyter_app_meta import create_asgi_app
from jupyter_app_meta.asgi import run, within

stage = ContextVar("stage", default="outside")
options = {"host": "127.0.0.1", "port": int(sys.argv[1]), "log_level": "warning"}
broken = []


def say(event):
    with open(os.environ["EVENTS"], "a") as file:
        print(event, file=file)


def kernels():
    return sum(map(is_kernel, psutil.Process().children(recursive=True)))


def is_kernel(process):
    try:
        return "ipykernel_launcher" in process.cmdline()  # a zombie has no command line
    except psutil.Error:
        return False


async def failing(event):
    await event.wait()
    raise ValueError("the group fails")


@asynccontextmanager
async def around(app=None):
    say(f"enter {stage.get()}")
    stage.set("inside")
    try:
        async with anyio.create_task_group() as group:
            broken.append(anyio.Event())
            group.start_soon(failing, broken[0])
            yield
            group.cancel_scope.cancel()
    finally:
        say(f"leave {kernels()}")


def host(lifespan=None):
    app = FastAPI(lifespan=lifespan)
    app.get("/fail")(lambda: broken[0].set())
    return app


def builder(**more):
    made = create_asgi_app(meta=lambda request: {"stage": stage.get()}, user=lambda scope: None, **more)
    return made.with_app(path="", root="page.ipynb", warm=1)
"""

FORMS = {
    "host": "app = host(around); builder().mount(app); uvicorn.run(app, **options)",
    "part": """
dashboards = builder().build()

@asynccontextmanager
async def own(app):
    async with around(), dashboards.lifespan(app):
        yield

app = host(own)
app.mount("/", dashboards)
uvicorn.run(app, **options)
""",
    "argument": "app = builder(lifespan=around).build(); uvicorn.run(app, **options)",
    "within": """
@asynccontextmanager
async def factory():
    async with around():
        app = host()
        builder().mount(app)
        yield app

uvicorn.run(within(factory), **options)
""",
    "run": """
class Factory:
    async def __aenter__(self):
        self.around = around()
        await self.around.__aenter__()
        app = host()
        builder().mount(app)
        return app

    async def __aexit__(self, *error):
        return await self.around.__aexit__(*error)

run(Factory(), **options)
""",
}
"""How dashboards and their surroundings are put together."""

SEEN = {"host": "outside", "part": "outside", "argument": "inside", "within": "inside", "run": "inside"}
"""The variable of the surroundings, as requests see it. What a host's own lifespan sets, none of its requests sees."""


def lived(home: Path, form: str, end: Callable[[Server], object]) -> tuple[list[str], int, int]:
    """Serve a page in this form, open it, and end the server; return what it said, the socket's code, its status."""
    port = free_port()
    kernelspec(home, KERNEL)
    write(home / "root" / "page.ipynb", WHO, 'print("meta", dict(m.meta))')
    (script := home / "host.py").write_text(COMMON + FORMS[form])
    (temporary := home / "tmp").mkdir()
    env = {"EVENTS": str(home / "events"), "TMPDIR": str(temporary)}
    with launched(home, [str(script), str(port)], f"http://127.0.0.1:{port}/", env=env) as server:
        opened = browse(server.visitor(), "")
        assert f"meta {{'stage': '{SEEN[form]}'}}" in opened.html
        socket, running = opened.connect(), [*kernels(server).values()]
        end(server)
        code = closing_code(socket)
        status = server.process.wait(60)
    assert psutil.wait_procs(running, timeout=60)[1] == []
    assert [*temporary.glob("app-meta*")] == []
    return (home / "events").read_text().splitlines(), code, status


def closing_code(socket: Socket) -> int:
    """Return the code with which the server closes a socket."""
    while True:
        kind, data = socket.connection.recv_data(control_frame=True)
        if kind == 8:
            return int.from_bytes(data[:2], "big")


@pytest.mark.parametrize("form", FORMS)
def test_what_is_begun_before_the_dashboards_is_left_after_their_kernels(tmp_path: Path, form: str) -> None:
    """SIGTERM: sockets are closed with 1012, the kernels end, the warm one too, and then the context is left."""
    events, code, status = lived(tmp_path, form, lambda server: server.process.send_signal(signal.SIGTERM))
    assert (events, code, status) == (["enter outside", "leave 0"], 1012, -signal.SIGTERM)


@pytest.mark.parametrize(("form", "status"), [("within", -signal.SIGTERM), ("run", 1)])
def test_a_failing_group_ends_the_kernels_and_the_server(tmp_path: Path, form: str, status: int) -> None:
    """In the same order. The error is seen."""
    found = lived(tmp_path, form, lambda server: server.visitor().get("fail"))
    assert found == (["enter outside", "leave 0"], 1012, status)
    assert "ValueError: the group fails" in (tmp_path / "server.log").read_text()
