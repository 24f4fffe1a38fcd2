"""Servers to measure, and the person who visits them: a browser with a notebook open in JupyterLab."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from harness import AWARE, Server, Visitor, serving

ROOT = Path(__file__).resolve().parent.parent
HEADERS = {
    "User-Agent": (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
    ),
    "Accept-Language": "en-GB,en;q=0.9,de;q=0.8",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Cache-Control": "no-cache",
    "Pragma": "no-cache",
    "X-Request-ID": "0f2d6f0a-6d0c-4c8e-9a53-0c6f0d1f4b7e",
    "X-Forwarded-For": "192.0.2.17",
    "X-Forwarded-Proto": "https",
}
COOKIES = {"theme": "dark", "consent": "necessary", "_ga": "GA1.1.1208462517.1718105122"}

_numbers = count(1)
# Kernels are reached as on most servers, and not as in the tests.
_CONFIG = "c.ServerApp.jpserver_extensions['benchmarks.both'] = True\nc.KernelManager.transport = 'tcp'\n"


@contextmanager
def running(config: str = "", **variables: str) -> Iterator[Server]:
    """Run a server that has plain sockets beside stamped ones (see ``both``)."""
    paths = [str(ROOT / "extension"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    # An installed package has its bytecode: the harness would forbid to write it.
    env = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "", **variables}
    with (
        TemporaryDirectory(prefix="benchmark-") as home,
        serving(Path(home), config=_CONFIG + config, env=env) as server,
    ):
        yield server


def visitor(server: Server) -> Visitor:
    """Return a browser that is logged in."""
    return server.visitor(cookies=COOKIES, headers=HEADERS)


def open_notebook(person: Visitor, kernel: str = AWARE) -> str:
    """Open another notebook as JupyterLab does, and return the id of its kernel."""
    path = f"reports/quarterly sales {next(_numbers)}.ipynb"
    body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": kernel}}
    page = f"{person.server.url}lab/tree/{quote(path)}"
    response = person.call("POST", "/api/sessions", body, headers={"Referer": page})
    response.raise_for_status()
    return str(response.json()["kernel"]["id"])
