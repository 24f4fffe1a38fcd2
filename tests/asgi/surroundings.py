"""Dashboards and what surrounds them, put together in each way, in a real uvicorn that notes what happens."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
from harness import Server, Socket, free_port, kernelspec, launched
from stage import KERNEL, SLIDER, WHO, Opened, browse, kernels, write

from jupyter_app_meta.dashboards.setup import runtime

COMMON = """
import asyncio, json, os, signal, sys, threading
from contextlib import asynccontextmanager
from contextvars import ContextVar

import anyio, psutil, uvicorn
from fastapi import FastAPI
from jupyter_client.kernelspec import KernelSpecManager

from jupyter_app_meta import create_asgi_app
from jupyter_app_meta.asgi import run, within

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started the tests without it
stage = ContextVar("stage", default="outside")
options = {"host": "127.0.0.1", "port": int(os.environ["PORT"]), "log_level": "warning"}
broken = []


def say(event):
    with open(os.environ["EVENTS"], "a") as file:
        print(event, file=file)


def kernels():
    return sum(map(is_kernel, psutil.Process().children(recursive=True)))


def is_kernel(process):
    try:
        started = {"ipykernel_launcher", "jupyter_app_meta.kernel.forks.template"}
        return not started.isdisjoint(process.cmdline())  # a zombie has no command line
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


seen = {}


def sees(hook, answer=None):
    def called(*arguments):
        seen[hook] = sorted({*seen.get(hook, ()), stage.get()})
        return answer(*arguments) if callable(answer) else answer

    return called


class Specs(KernelSpecManager):
    def get_kernel_spec(self, name):
        spec = super().get_kernel_spec(name)
        spec.env["STAGE"] = stage.get()  # the server's own work: it starts a kernel, warm or not
        return spec


def page_of_error(status, request):
    return json.dumps({**seen, "on_error": [stage.get()]})


def user(scope):
    is_handshake = scope["path"].endswith("/channels")
    return sees("user of a socket" if is_handshake else "user", None)()


def meta(request):
    return {"stage": stage.get()}


def builder(**more):
    own = {"VoilaConfiguration": {"kernel_spec_manager_class": Specs}}
    made = create_asgi_app(meta=meta, user=user, on_error=page_of_error, config=own, **more)
    made = made.with_dynamic_directory(path="/nb", directory=".", validate_callback=sees("validate_callback", True))
    return made.with_app(path="", root="page.ipynb", warm=1, authorize=sees("authorize", True))
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


SHOWN = """import os
print("meta", dict(m.meta), "environment", os.environ["STAGE"])"""
"""A cell that prints what the page's hook and the start of its kernel have seen."""


@contextmanager
def living(home: Path, code: str, *command: str) -> Iterator[Server]:
    """Serve what this code makes, in ``home/root``; in the end, nothing is left of its folders."""
    port = free_port()
    kernelspec(home, KERNEL)
    write(home / "root" / "page.ipynb", WHO, SHOWN, SLIDER.replace("{change.new}", "{change.new}|{m.request.meta}"))
    (script := home / "code" / "host.py").parent.mkdir()
    script.write_text(COMMON + code)
    argv = [word.format(port=port, home=home) for word in command] or [str(script)]
    with short_folder() as temporary:
        env = {"EVENTS": str(home / "events"), "TMPDIR": str(temporary), "PORT": str(port)}
        with launched(home, argv, f"http://127.0.0.1:{port}/", env=env) as server:
            yield server
        assert folders(temporary) == 0


@contextmanager
def short_folder() -> Iterator[Path]:
    """Make a folder for temporary files whose path is short enough for kernels' sockets."""
    with tempfile.TemporaryDirectory(prefix="am", dir="/tmp") as name:
        yield Path(name)


def folders(temporary: Path) -> int:
    """Count the folders of servers that there are."""
    return len([*temporary.glob(f"{runtime.PREFIX}*")])


def opened(server: Server, stage: str = "outside") -> Opened:
    """Open the page, and see which value its request sees. The start of its warm kernel has seen the lifespan's."""
    page = browse(server.visitor(), "")
    assert f"meta {{'stage': '{stage}'}} environment inside" in page.html
    return page


def said(home: Path) -> list[str]:
    """Return what has happened so far."""
    events = home / "events"
    return events.read_text().splitlines() if events.exists() else []


def have_ended(running: Sequence[psutil.Process]) -> bool:
    """Whether these kernels have ended."""
    return psutil.wait_procs(running, timeout=60)[1] == []


def lived(home: Path, form: str, end: Callable[[Server], object]) -> tuple[list[str], int, int]:
    """Serve a page in this form, open it, and end the server; return what it said, the socket's code, its status."""
    with living(home, FORMS[form]) as server:
        socket, running = opened(server, SEEN[form]).connect(), [*kernels(server).values()]
        end(server)
        code = closing_code(socket)
        status = server.process.wait(60)
    assert have_ended(running)
    return said(home), code, status


def closing_code(socket: Socket) -> int:
    """Return the code with which the server closes a socket."""
    while True:
        kind, data = socket.connection.recv_data(control_frame=True)
        if kind == 8:
            return int.from_bytes(data[:2], "big")
