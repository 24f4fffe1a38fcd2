"""Ends of dashboards inside a host that are not a single SIGTERM: in each, kernels end before what surrounds them."""

from __future__ import annotations

import gc
import inspect
import signal
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import pytest
import uvicorn
from clients import TestClient
from fastapi import FastAPI
from harness import Server, kernelspec
from stage import ASK, KERNEL, WHO, browse, eventually, kernels, write
from surroundings import FORMS, SEEN, closing_code, folders, have_ended, lived, living, opened, said, short_folder

from jupyter_app_meta.asgi import create_asgi_app

UVICORNS = 0 if "KeyboardInterrupt" in inspect.getsource(uvicorn.run) else -signal.SIGINT
"""Newer releases of uvicorn keep KeyboardInterrupt to themselves."""

INTERRUPTED = {"host": UVICORNS, "within": UVICORNS, "run": -signal.SIGINT}
"""How a process ends after Ctrl-C."""

ENDLESS = f"""{ASK}
import os, time
with open(os.environ["EVENTS"], "a") as file:
    print("cell", file=file)
time.sleep(600)
"""

PATIENT = """
from jupyter_app_meta.asgi import serve
from jupyter_app_meta.asgi.lifespan.gate import Gate
serve.GRACE, Gate.close.__defaults__ = 600, (600,)
"""
"""Whatever waits for requests waits longer than a test."""


def interrupt(server: Server) -> None:
    """Do what Ctrl-C does in a terminal; kernels have sessions of their own."""
    server.process.send_signal(signal.SIGINT)


@pytest.mark.parametrize("form", ["host", "run"])
def test_ctrl_c_ends_the_kernels_before_what_surrounds_them(tmp_path: Path, form: str) -> None:
    """In the order of SIGTERM: sockets are closed with 1012, kernels end, the context is left."""
    assert lived(tmp_path, form, interrupt) == (["enter outside", "leave 0"], 1012, INTERRUPTED[form])


@pytest.mark.parametrize("form", ["within", "run"])
def test_a_second_ctrl_c_waits_for_no_page_and_still_ends_the_kernels(tmp_path: Path, form: str) -> None:
    """A page that never ends holds the first one up. The second ends its request, all kernels and then the context."""
    write(tmp_path / "root" / "endless.ipynb", ENDLESS)
    code = FORMS[form].replace("builder()", 'builder().with_app(path="/endless", root="endless.ipynb")')
    code = code.replace("**options", "**options, timeout_graceful_shutdown=600")
    with ThreadPoolExecutor() as pool, living(tmp_path, PATIENT + code) as server:
        socket = opened(server, SEEN[form]).connect()
        page = pool.submit(browse, server.visitor(), "endless")
        eventually(lambda: "cell" in said(tmp_path))
        running = [*kernels(server).values()]
        interrupt(server)
        assert (closing_code(socket), server.process.poll()) == (1012, None)
        interrupt(server)
        assert server.process.wait(60) == INTERRUPTED[form]
        assert page.exception() is not None or "Traceback" not in page.result().html
    assert have_ended(running)
    assert said(tmp_path) == ["enter outside", "cell", "leave 0"]


@pytest.mark.parametrize("form", ["host", "within"])
def test_a_reload_ends_one_process_in_order_and_begins_the_next(tmp_path: Path, form: str) -> None:
    """A touched file: sockets are closed with 1012, kernels end, the context is left, and only then entered again."""
    code = FORMS[form].replace("uvicorn.run(within(factory), **options)", "app = within(factory)")
    code = code.replace("uvicorn.run(app, **options)", "")
    command = "-m uvicorn host:app --reload --app-dir {home}/code --reload-dir {home}/code --port {port}"
    with living(tmp_path, code, *command.split()) as server:
        socket, first = opened(server, SEEN[form]).connect(), kernels(server)
        (tmp_path / "code" / "host.py").touch()
        assert closing_code(socket) == 1012
        eventually(lambda: said(tmp_path) == ["enter outside", "leave 0", "enter outside"])
        opened(server, SEEN[form])
        assert have_ended([*first.values()])
        assert folders(Path(psutil.Process(server.process.pid).environ()["TMPDIR"])) == 1
        last = kernels(server)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(60)
    assert have_ended([*last.values()])
    assert said(tmp_path) == ["enter outside", "leave 0"] * 2


CANCELLED = """
asked = asyncio.Event()

async def stoppable(scope, receive, send):
    if scope.get("path") == "/stop":
        asked.set()
    await app(scope, receive, send)

def serve(**more):
    return uvicorn.Server(uvicorn.Config(stoppable, **options, **more)).serve()

asyncio.run(main())
say(f"threads {threading.active_count()}")
"""

APPS = {"host": FORMS["host"].replace("uvicorn.run(app, **options)", "")}
APPS["within"] = FORMS["within"].replace("uvicorn.run(within(factory), **options)", "app = within(factory)")

WAYS = {
    "task": """
async def main():
    serving = asyncio.create_task(serve())
    await asked.wait()
    serving.cancel()
    await asyncio.wait([serving])
    say(f"cancelled {serving.cancelled()}")
""",
    "group": """
async def main():
    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        await asked.wait()
        group.cancel_scope.cancel()
    say("cancelled True")
""",
    "around": """
async def main():
    with anyio.CancelScope() as scope:
        async with app.router.lifespan_context(app), anyio.create_task_group() as group:
            group.start_soon(lambda: serve(lifespan="off"))
            await asked.wait()
            scope.cancel()
    say(f"cancelled {scope.cancelled_caught}")
""",
}
"""How a program of the deployer's cancels its server, or what surrounds it."""


@pytest.mark.parametrize(("way", "app"), [("task", "host"), ("group", "within"), ("around", "host")])
def test_a_cancellation_from_outside_ends_the_kernels_before_what_surrounds_them(
    tmp_path: Path, way: str, app: str
) -> None:
    """At once if it reaches the lifespan. uvicorn does not pass it on: its lifespan ends with the loop."""
    with living(tmp_path, APPS[app] + WAYS[way] + CANCELLED) as server:
        page = opened(server, "inside" if way == "around" else SEEN[app])
        page.connect()
        running = [*kernels(server).values()]
        with suppress(httpx.TransportError):
            page.visitor.get("stop")
        assert server.process.wait(60) == 0
    assert have_ended(running)
    ends = ["leave 0", "cancelled True"] if way == "around" else ["cancelled True", "leave 0"]
    assert said(tmp_path) == ["enter outside", *ends, "threads 1"]


class Left(NamedTuple):
    """What there is in this process."""

    kernels: int
    folders: int
    threads: list[str]
    descriptors: int


def is_kernel(process: psutil.Process) -> bool:
    """Whether this is the process of a kernel that has not ended."""
    with suppress(psutil.Error):
        return "ipykernel_launcher" in process.cmdline()
    return False


def left(temporary: Path) -> Left:
    """Count it."""
    gc.collect()
    process = psutil.Process()
    processes = sum(map(is_kernel, process.children(recursive=True)))
    threads = sorted(thread.name for thread in threading.enumerate())
    return Left(processes, folders(temporary), threads, process.num_fds())


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for the temporary files of this process."""
    with short_folder() as folder:
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        yield folder


def test_each_time_of_a_test_client_leaves_nothing(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a new loop at each ``with``. A page, a socket and a warm kernel: then all has ended, in order."""
    kernelspec(tmp_path, KERNEL)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    write(tmp_path / "page.ipynb", WHO)
    events: list[str] = []

    @asynccontextmanager
    async def around(app: object) -> AsyncIterator[None]:
        events.append("enter")
        yield
        events.append(f"leave {left(temporary)[:2]}")

    host = FastAPI(lifespan=around)
    create_asgi_app(user=lambda scope: None).with_app(path="", root=tmp_path / "page.ipynb", warm=1).mount(host)
    found = [left(temporary)]
    for _ in range(3):
        with TestClient(host) as client:
            kernel_id = client.get("/").text.partition('"kernelId": "')[2][:36]
            with client.websocket_connect(f"/api/kernels/{kernel_id}/channels"):
                assert folders(temporary) == 1 and left(temporary).kernels >= 1
        found.append(left(temporary))
    assert events == ["enter", "leave (0, 0)"] * 3
    assert [each[:3] for each in found] == [found[0][:3]] * 4
    eventually(lambda: left(temporary).descriptors <= found[1].descriptors)  # ZeroMQ closes some of them later


def test_a_test_client_outside_its_lifespan_serves_whole_pages(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ``with`` it has a loop for each request. The request starts the dashboards, and its loop ends them."""
    kernelspec(tmp_path, KERNEL)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    write(tmp_path / "page.ipynb", WHO)
    host = FastAPI()
    create_asgi_app(user=lambda scope: None).with_app(path="", root=tmp_path / "page.ipynb").mount(host)
    before = left(temporary)
    for _ in range(2):
        assert "</html>" in TestClient(host).get("/").text
        assert left(temporary)[:3] == before[:3]
