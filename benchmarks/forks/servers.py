"""The servers that are compared, each with one page, and what they cost: processor time and memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import psutil
from harness import BARE, Server, free_port, kernelspec, launched
from nbformat.v4 import new_code_cell, new_notebook

from ..contenders import environment
from ..report import note
from . import pages, visits

POOL = 2
"""How many kernels are ahead of their visitors: warm ones, preheated ones, and forks."""

MISSING = "There are no frameworks to compare with: `make bench` installs them into {}."

_people = (f"v{number:05}x" for number in count(1))


@dataclass(frozen=True, slots=True)
class Contender:
    """A server of one kind: how it is started, and how its visitors talk to it."""

    name: str
    visit: type[visits.Visit]
    argv: list[str]
    page: str
    """Whose page it is (``pages``)."""
    python: str = sys.executable
    is_slow: bool = False
    """Whether a page takes a second or more."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs."""

    contender: Contender
    server: Server
    url: str

    @property
    def name(self) -> str:
        """The contender's name."""
        return self.contender.name

    def visitor(self) -> visits.Visit:
        """Return a visitor who has not opened the page yet."""
        return self.contender.visit(self.url, next(_people))

    def processes(self) -> list[psutil.Process]:
        """The server and what it started."""
        process = psutil.Process(self.server.process.pid)
        return [process, *process.children(recursive=True)]

    def cpu(self) -> float:
        """Return the seconds of processor time that all of them have taken, also those that ended."""
        return sum(self._each(lambda process: float(sum(process.cpu_times()[:4]))))

    def memory(self) -> float:
        """Return the proportional set size of all of them, in MiB."""
        return sum(self._each(lambda process: float(process.memory_full_info().pss))) / 2**20

    def _each(self, ask: Callable[[psutil.Process], float]) -> list[float]:
        found = []
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                found.append(ask(process))
        return found

    def settle(self, timeout: float = 60) -> None:
        """Wait until the server is at rest."""
        deadline, calm, before = time.monotonic() + timeout, 0, self.cpu()
        while calm < 3 and time.monotonic() < deadline:
            time.sleep(0.2)
            now = self.cpu()
            calm, before = (calm + 1 if now - before < 0.02 else 0), now


def _ours(name: str, *options: str, is_slow: bool = False) -> Contender:
    argv = ["-m", "jupyter_app_meta.cli", "serve", ".", "--port={port}", "--no-browser", *options]
    return Contender(name, visits.Notebook, argv, "ours", is_slow=is_slow)


def _voila(name: str, page: str, *options: str, is_slow: bool = False) -> Contender:
    xsrf = "--Voila.tornado_settings={'disable_check_xsrf': True}"  # else no page of it can be closed
    argv = ["-m", "voila", ".", "--port={port}", "--no-browser", xsrf, *options]
    return Contender(name, visits.Notebook, argv, page, is_slow=is_slow)


def _framework(name: str, visit: type[visits.Visit], *argv: str) -> Contender:
    python = str(peers() / "bin" / "python")
    return Contender(name, visit, ["-m", *argv], name.lower(), python=python)


def peers() -> Path:
    """Return the environment of the frameworks."""
    return Path(sys.prefix).with_name(Path(sys.prefix).name + "-peers")


def forked() -> Contender:
    """Return our own server with forked kernels."""
    return _ours("forked", "--warm=0", "--fork", f"--fork-spares={POOL}")


def all_contenders() -> list[Contender]:
    """Return all of them; raises FileNotFoundError without the frameworks' environment."""
    if not (peers() / "bin" / "python").exists():
        raise FileNotFoundError(MISSING.format(peers().name))
    return [
        forked(),
        _ours("warm", f"--warm={POOL}"),
        _ours("cold", "--no-fork", is_slow=True),
        _voila("Voila preheated", "Voila ahead", "--preheat_kernel=True", f"--pool_size={POOL}", is_slow=True),
        _voila("Voila cold", "Voila", "--preheat_kernel=False", is_slow=True),
        _framework("Panel", visits.Panel, "panel", "serve", "page.py", "--port={port}"),
        _framework("Streamlit", visits.Streamlit, "streamlit", "run", "page.py", "--server.port={port}", *_STREAMLIT),
        _framework("Solara", visits.Solara, "solara", "run", "page.py", "--port={port}", "--no-open", "--production"),
        _framework("marimo", visits.Marimo, "marimo", "run", "page.py", "--port={port}", "--headless", "--no-token"),
    ]


_STREAMLIT = ("--server.headless=true", "--browser.gatherUsageStats=false", "--server.fileWatcherType=none")
_QUIET = {"SOLARA_TELEMETRY_MIXPANEL_ENABLE": "false"}


@contextmanager
def running(contender: Contender, head: str) -> Iterator[Running]:
    """Run a server with a page of this kind, until it is ready for its first visitor."""
    with TemporaryDirectory(prefix="benchmark-") as name:
        folder, port = Path(name), free_port()
        page = _written(folder, contender, head)
        argv = [part.replace("{port}", str(port)) for part in contender.argv]
        base = f"http://127.0.0.1:{port}"
        env = {**environment(), **_QUIET, "HOME": str(folder)}
        with launched(folder, argv, f"{base}/", env=env, python=contender.python) as server:
            found = Running(contender, server, base + page)
            found.settle()
            try:
                yield found
            except Exception:
                note(f"{contender.name} failed. The end of its log:\n{server.log[-3000:]}")
                raise


def _written(folder: Path, contender: Contender, head: str) -> str:
    """Write the page, and return its path on the server."""
    root = folder / "root"
    root.mkdir()
    if contender.visit is not visits.Notebook:
        (root / "page.py").write_text(pages.program(contender.page, head))
        return "/page" if contender.visit is visits.Panel else "/"
    kernelspec(folder, BARE)
    spec = {"name": BARE, "display_name": BARE, "language": "python"}
    cells = [new_code_cell(source) for source in pages.cells(contender.page, head)]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": spec}), root / "page.ipynb")
    return "/page" if contender.page == "ours" else "/voila/render/page.ipynb"
