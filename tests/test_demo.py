"""`make demo` and `make lab`: what a newcomer starts and opens."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

PROJECT = Path(__file__).resolve().parent.parent
LINKS = {
    "demo": re.compile(r"http://127\.0\.0\.1:(\d+)/\s"),
    "lab": re.compile(r"http://127\.0\.0\.1:(\d+)/lab/tree/01_hello\.ipynb\?region=emea&token=(\w+)"),
}
FIRST = {"demo": 8866, "lab": 8888}

Process = subprocess.Popen[str]
Start = Callable[[str], tuple[Process, re.Match[str]]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start one of the two, with its copy of the notebooks in a folder of its own; return it with its link."""
    with ExitStack() as stack:

        def start(name: str) -> tuple[Process, re.Match[str]]:
            process = stack.enter_context(started(name, tmp_path))
            assert process.stdout is not None
            found = next((match for line in process.stdout if (match := LINKS[name].search(line))), None)
            assert found is not None, "no link was printed"
            return process, found

        yield start


@contextmanager
def started(name: str, home: Path) -> Iterator[Process]:
    """Run a tool as a shell runs it in the background: with SIGINT ignored."""
    process = subprocess.Popen(
        ["sh", "-c", 'trap "" INT; exec "$0" "$@"', sys.executable, "-m", f"tools.{name}"],
        cwd=PROJECT,
        env={**os.environ, "DEMO_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        watchdog = threading.Timer(120, process.kill)
        watchdog.start()
        yield process
        watchdog.cancel()
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()


@pytest.fixture
def taken_ports() -> Iterator[None]:
    """The first ports of both, taken by us or by another program."""
    with ExitStack() as stack:
        for port in FIRST.values():
            taken = stack.enter_context(socket.socket())
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                taken.bind(("127.0.0.1", port))
                taken.listen()
        yield


def assert_ctrl_c_stops(process: Process) -> None:
    """Press Ctrl-C: the tool ends in peace, and nothing that it started outlives it."""
    offspring = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    _, alive = psutil.wait_procs(offspring, timeout=60)
    assert alive == []


def test_lab(taken_ports: None, start: Start, tmp_path: Path) -> None:
    """The link, on a free port, opens JupyterLab on a copy of the notebooks; no client enters without the token."""
    process, opened = start("lab")
    assert int(opened[1]) > FIRST["lab"]
    with urllib.request.urlopen(opened[0], timeout=60) as page:
        assert b"jupyter-config-data" in page.read()
    with urllib.request.urlopen(f"http://127.0.0.1:{opened[1]}/lab", timeout=60) as page:
        assert "login" in page.url
    assert (tmp_path / "notebooks/01_hello.ipynb").read_bytes() == (PROJECT / "notebooks/01_hello.ipynb").read_bytes()
    assert opened[2] not in Path(f"/proc/{process.pid}/cmdline").read_text()
    assert_ctrl_c_stops(process)


def test_demo(taken_ports: None, start: Start, tmp_path: Path) -> None:
    """The link, on a free port, asks who one is; then it lists the dashboards, and they greet that person."""
    process, opened = start("demo")
    assert int(opened[1]) > FIRST["demo"]
    assert (tmp_path / "notebooks/dashboards/sales.csv").exists()
    with httpx.Client(base_url=opened[0].strip(), follow_redirects=True, timeout=60) as browser:
        choice = browser.get("/sales")
        assert [name for name in ("Alice Andrews", "Bob Brown", "Carol Clark") if name not in choice.text] == []
        page = log_in(browser, "bob", "/sales")
        assert page.url.path == "/sales" and "Good to see you, Bob Brown." in page.text
        index = browser.get("/")
        assert [name for name in ("Personal sales", "Live plot", "Bob Brown") if name not in index.text] == []
    assert_ctrl_c_stops(process)


def log_in(browser: httpx.Client, person: str, address: str = "/") -> httpx.Response:
    """Press the button of a person on the way to an address."""
    return browser.post("/login", data={"_xsrf": browser.cookies["_xsrf"], "person": person, "next": address})
