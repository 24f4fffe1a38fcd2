"""`make demo`: what a newcomer starts and opens."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"http://127\.0\.0\.1:(\d+)/lab/tree/01_hello\.ipynb\?region=emea&token=(\w+)")


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Port 8888, taken by us or by somebody else."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            taken.bind(("127.0.0.1", 8888))
            taken.listen()
        yield 8888


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo, with its copy of the notebooks in a folder of its own."""
    env = {**os.environ, "DEMO_HOME": str(tmp_path)}
    command = [sys.executable, str(PROJECT / "tools/demo.py")]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with process:
        watchdog = threading.Timer(120, process.kill)
        watchdog.start()
        yield process
        watchdog.cancel()
        process.kill()


def link(process: subprocess.Popen[str]) -> re.Match[str]:
    """Return the link as soon as it is printed."""
    assert process.stdout is not None
    found = next((match for line in process.stdout if (match := LINK.search(line))), None)
    assert found is not None, "no link was printed"
    return found


def test_the_link_opens_and_ctrl_c_stops(demo: subprocess.Popen[str], tmp_path: Path) -> None:
    """The printed link opens JupyterLab on a copy of the notebooks; nobody enters without the token."""
    opened = link(demo)
    with urllib.request.urlopen(opened[0], timeout=30) as page:
        assert b"jupyter-config-data" in page.read()
    with urllib.request.urlopen(f"http://127.0.0.1:{opened[1]}/lab", timeout=30) as page:
        assert "login" in page.url
    assert (tmp_path / "notebooks/01_hello.ipynb").read_bytes() == (PROJECT / "notebooks/01_hello.ipynb").read_bytes()
    assert opened[2] not in Path(f"/proc/{demo.pid}/cmdline").read_text()
    demo.send_signal(signal.SIGINT)
    assert demo.wait(30) == 0


def test_a_taken_port_is_passed_over(taken_port: int, demo: subprocess.Popen[str]) -> None:
    """Where 8888 is taken the demo uses the next free port and prints it."""
    assert int(link(demo)[1]) > taken_port
