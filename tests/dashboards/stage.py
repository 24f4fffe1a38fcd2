"""Real dashboard servers, with notebooks written for one test, and visitors who open their pages."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import nbformat
import psutil
from harness import HERE as JOURNEY
from harness import NO_TLS, Server, Socket, Visitor, free_port, kernelspec, launched, python_path
from harness import eventually as eventually  # noqa: PLC0414  # for those who import it from here
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from jupyter_app_meta.dashboards import Builder

HERE = Path(__file__).parent
KERNEL = "dashboard-test"

WHO = """from jupyter_app_meta import app_meta
m = app_meta()
print(f"<{m.user and m.user.username}|{dict(m.request.query_params)}|{dict(m.request.path_params)}|{m.mode}>")"""
"""A cell that prints who it sees."""

SLIDER = """import ipywidgets
from jupyter_app_meta import app_meta, session
slider, label = ipywidgets.IntSlider(), ipywidgets.Label("untouched")
def moved(change):
    m = app_meta()
    label.value = f"{m.user.username}|{dict(m.request.query_params)}|{session.get('client_id')}|{change.new}"
slider.observe(moved, "value")
display(ipywidgets.VBox([slider, label]))
print("slider", slider.comm.comm_id, "label", label.comm.comm_id)"""
"""A cell with a slider whose callback writes into a label who moved it; it prints the ids of both comms."""

ASK = "from jupyter_app_meta import app_meta\nasked = app_meta()\n"
"""The beginning of a cell that, where kernels are forked, is to run in each visitor's own and not ahead."""

FORK = bool(os.environ.get("APP_META_TESTS_FORK"))
"""Whether each dashboard of the servers forks its kernels, also those of tests that say nothing about it."""

PREAMBLE = f"""
import logging, sys
sys.path[:0] = [{str(JOURNEY)!r}, {str(HERE)!r}]
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
from jupyter_app_meta.dashboards import create_app
from providers import People
"""


def write(path: Path, *cells: str, kernel: str = KERNEL, **metadata: Any) -> Path:
    """Write a notebook; a cell that begins with ``%md`` is text."""
    spec = {"name": kernel, "display_name": kernel, "language": "python"}
    made = [new_markdown_cell(c[3:].strip()) if c.startswith("%md") else new_code_cell(c) for c in cells]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=made, metadata={"kernelspec": spec, **metadata}), path)
    return path


@contextmanager
def staging(
    home: Path, app: str, *, prefix: str = "/", env: Mapping[str, str] | None = None, port: int | None = None
) -> Iterator[Server]:
    """Run the builder that the Python text ``app`` calls ``app``, in ``home/root`` where its notebooks are.

    ``create_app`` and ``People`` (the identity of the cookie ``person``) are there already.
    """
    port = port or free_port()
    kernelspec(home, KERNEL)
    (home / "root").mkdir(exist_ok=True)
    script = home / "app.py"
    script.write_text(f"{PREAMBLE}\n{app}\n\napp.run(port={port}, ip='127.0.0.1')\n")
    with launched(home, [str(script)], f"http://127.0.0.1:{port}{prefix}", env=env) as server:
        yield server


@asynccontextmanager
async def served(builder: Builder) -> AsyncIterator[httpx.AsyncClient]:
    """Serve in this process, for what starts no kernel: the index, a HEAD, a refused visitor."""
    application, port = builder.build(), free_port()
    server = application.listen(port, "127.0.0.1")
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, verify=NO_TLS) as client:
            yield client
    finally:
        server.stop()
        await application.close()


@contextmanager
def serving_folder(home: Path, *arguments: str, prefix: str = "/") -> Iterator[Server]:
    """Run ``jupyter app-meta serve`` with these arguments in ``home/root``."""
    port = free_port()
    kernelspec(home, KERNEL)
    (home / "root").mkdir(exist_ok=True)
    argv = ["-m", "jupyter_app_meta.cli", "serve", *arguments, f"--port={port}", "--no-browser"]
    env = {"PYTHONPATH": python_path(JOURNEY)}
    with launched(home, argv, f"http://127.0.0.1:{port}{prefix}", env=env) as server:
        yield server


@dataclass(frozen=True)
class Opened:
    """A page that a visitor has opened."""

    visitor: Visitor
    response: httpx.Response

    @property
    def html(self) -> str:
        """The whole page, with its quotes as people see them."""
        return self.response.text.replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">")

    @property
    def kernel_id(self) -> str:
        """The kernel that the page tells its script to connect to."""
        found = re.search(r'"kernelId": "([0-9a-f-]{36})"', self.html)
        assert found, self.html[-2000:]
        return found[1]

    def connect(self, **options: Any) -> Socket:
        """Open the page's WebSocket."""
        return self.visitor.connect(self.kernel_id, **options)

    def listen(self) -> Socket:
        """Open the page's WebSocket; return it when it hears what the kernel publishes without being asked."""
        socket = self.connect()
        socket.collect(socket.send(socket.message("kernel_info_request", {})))
        return socket

    def close(self) -> httpx.Response:
        """Close the page, as its script does."""
        return self.visitor.http.post(f"voila/api/shutdown/{self.kernel_id}", data={"_xsrf": ""})


def visit(server: Server, person: str | None, path: str = "", **query: str) -> Opened:
    """Open a page as this person, in a browser of their own."""
    return browse(server.visitor(cookies={"person": person} if person else {}), path, **query)


def browse(visitor: Visitor, path: str = "", **query: str) -> Opened:
    """Open a page in a browser that is there already."""
    return Opened(visitor, visitor.get(path.lstrip("/"), params=query))


def kernels(server: Server) -> dict[str, psutil.Process]:
    """Return the processes of a server's kernels by their kernel ids."""
    found = {}
    for process in psutil.Process(server.process.pid).children(recursive=True):
        with suppress(psutil.Error):
            if match := re.search(r"kernel-([0-9a-f-]{36})\.json", " ".join(process.cmdline())):
                found[match[1]] = process
    return found


def kernel_process(server: Server, kernel_id: str) -> psutil.Process:
    """Return the process of a page's kernel. A page that asks nothing may be complete before its fork has its name."""
    eventually(lambda: kernel_id in kernels(server))
    return kernels(server)[kernel_id]


def sockets(process: psutil.Process) -> list[Path]:
    """Return the files at which a kernel listens. No channel has a port."""
    assert len(process.net_connections("inet")) <= 1  # ipykernel's own, for what processes of the kernel print
    return [Path(str(found.laddr)) for found in process.net_connections("unix") if str(found.laddr).startswith("/")]


def move(socket: Socket, opened: Opened, value: int, metadata: Any = None) -> str:
    """Move the slider of SLIDER and return what its callback wrote into the label."""
    found = re.search(r"slider ([0-9a-f]{32}) label ([0-9a-f]{32})", opened.html)
    assert found, opened.html[-2000:]
    slider, label = found.groups()
    data = {"method": "update", "state": {"value": value}, "buffer_paths": []}
    socket.send(socket.message("comm_msg", {"comm_id": slider, "data": data}, metadata))

    def written(message: dict[str, Any]) -> bool:
        content = message["content"]
        return (
            message["header"]["msg_type"] == "comm_msg"
            and content["comm_id"] == label
            and "value" in content["data"].get("state", {})
        )

    return str(socket.until(written)[-1]["content"]["data"]["state"]["value"])
