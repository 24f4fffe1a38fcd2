"""The dashboard servers that are compared: ours, forked, warm and cold, and Voila's own, preheated and cold.

Each shows the visitor of a notebook that is written in that server's own way of asking who came.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import nbformat
import psutil
from harness import BARE, Server, free_port, kernelspec, launched
from nbformat.v4 import new_code_cell, new_notebook

NOTEBOOKS = {
    "bare": "ready = True",
    "pandas": "import pandas as pd\nimport matplotlib.pyplot as plt\nframe = pd.DataFrame({'x': range(1000)})",
}
OURS = "from jupyter_app_meta import app_meta\nprint('visitor', app_meta().request.query_params['user'], 'is here')"
VOILA_COLD = "import os\nprint('visitor', os.environ['QUERY_STRING'].partition('=')[2], 'is here')"
VOILA_AHEAD = (
    "from voila.utils import get_query_string\nprint('visitor', get_query_string().partition('=')[2], 'is here')"
)
KERNEL_ID = re.compile(r'"kernelId": "([0-9a-f-]{36})"')
POOL = 2


@dataclass
class Contender:
    """A running server of one kind, and how to ask it for a page."""

    name: str
    ask: str
    server: Server
    path: str
    open_pages: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """The kernel of each page, and the cookies of its visitor."""

    def address(self, notebook: str, person: str) -> str:
        """The URL of a notebook's page for a person."""
        return f"{self.server.url}{self.path.format(notebook)}?user={person}"

    def visit(self, notebook: str, person: str) -> float:
        """Return the seconds from the request to the visitor's name among the bytes of the page."""
        found, text = None, ""
        with httpx.Client(timeout=300) as client:
            start = time.perf_counter()  # the client has read its certificates by now, which takes up to 30 ms
            with client.stream("GET", self.address(notebook, person)) as response:
                for piece in response.iter_text():
                    text += piece
                    if found is None and f"visitor {person} is here" in text:
                        found = time.perf_counter() - start
            cookies = dict(client.cookies)
        if found is None:
            raise RuntimeError(f"{self.name} lost {person}: {text[-500:]}")
        if kernel := KERNEL_ID.search(text):
            self.open_pages.append((kernel[1], cookies))
        return found

    def close_pages(self) -> None:
        """End the kernels of the pages that were opened."""
        for kernel_id, cookies in self.open_pages:
            url = f"{self.server.url}voila/api/shutdown/{kernel_id}"
            answer = httpx.post(url, timeout=60, cookies=cookies)
            if answer.status_code not in (204, 403):  # a page in a browser may have closed itself
                answer.raise_for_status()
        self.open_pages.clear()

    def processes(self) -> list[psutil.Process]:
        """The server and its kernels."""
        process = psutil.Process(self.server.process.pid)
        return [process, *process.children(recursive=True)]

    def cpu(self) -> float:
        """Return the seconds of processor time that the server and its kernels, also those that ended, have taken."""
        total = 0.0
        for process in self.processes():
            try:
                total += sum(process.cpu_times()[:4])
            except psutil.NoSuchProcess:
                continue
        return total

    def kernel_memory(self) -> list[float]:
        """Return the proportional set size of each kernel, in bytes."""
        return [float(process.memory_full_info().pss) for process in self.processes()[1:]]


@contextmanager
def contenders() -> Iterator[list[Contender]]:
    """Run all five."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(ours("warm", POOL)),
            stack.enter_context(ours("forked", 0, NOTEBOOKS, "--fork", f"--fork-spares={POOL}")),
            stack.enter_context(ours("cold", 0, NOTEBOOKS, "--no-fork")),
            stack.enter_context(_voila("Voila preheated", ahead=True)),
            stack.enter_context(_voila("Voila cold", ahead=False)),
        ]


def settle(running: list[Contender], timeout: float = 90) -> None:
    """Wait until no server and none of its kernels is at work."""
    deadline = time.monotonic() + timeout
    before = [contender.cpu() for contender in running]
    calm = 0
    while calm < 2 and time.monotonic() < deadline:
        time.sleep(0.5)
        now = [contender.cpu() for contender in running]
        calm = calm + 1 if sum(now) - sum(before) < 0.06 else 0
        before = now


@contextmanager
def home(ask: str, notebooks: Mapping[str, str] = NOTEBOOKS) -> Iterator[Path]:
    """Make a folder with notebooks that end by asking who visits, and delete it."""
    with TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        (folder / "root").mkdir()
        kernelspec(folder, BARE)
        spec = {"name": BARE, "display_name": BARE, "language": "python"}
        for notebook, first in notebooks.items():
            cells = [new_code_cell(first), new_code_cell(ask)]
            made = new_notebook(cells=cells, metadata={"kernelspec": spec})
            nbformat.write(made, folder / "root" / f"{notebook}.ipynb")
        yield folder


@contextmanager
def ours(name: str, warm: int, notebooks: Mapping[str, str] = NOTEBOOKS, *options: str) -> Iterator[Contender]:
    """Run our own server, with so many kernels ahead of each notebook, and these further options."""
    with home(OURS, notebooks) as folder:
        port = free_port()
        argv = [
            "-m",
            "jupyter_app_meta.cli",
            "serve",
            ".",
            f"--port={port}",
            "--no-browser",
            f"--warm={warm}",
            *options,
        ]
        with launched(folder, argv, f"http://127.0.0.1:{port}/", env=environment()) as server:
            yield Contender(name, OURS, server, "{}")


@contextmanager
def _voila(name: str, *, ahead: bool) -> Iterator[Contender]:
    ask = VOILA_AHEAD if ahead else VOILA_COLD
    with home(ask) as folder:
        port = free_port()
        options = [f"--preheat_kernel={ahead}", f"--pool_size={POOL}"] if ahead else []
        xsrf = "--Voila.tornado_settings={'disable_check_xsrf': True}"  # else no page of it can be closed
        argv = ["-m", "voila", ".", f"--port={port}", "--no-browser", xsrf, *options]
        with launched(folder, argv, f"http://127.0.0.1:{port}/", env=environment()) as server:
            yield Contender(name, ask, server, "voila/render/{}.ipynb")


def environment() -> dict[str, str]:
    """Return the variables of a contender: an installed package has its bytecode."""
    return {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": ""}
