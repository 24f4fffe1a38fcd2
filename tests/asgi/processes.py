"""Real ASGI servers, each in a process of its own, at a Unix socket: no port has to be free."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

HERE = Path(__file__).parent

COMMANDS = {
    "run": ["{here}/lived.py", "{socket}"],
    "uvicorn": ["-m", "uvicorn", "lived:app", "--uds", "{socket}"],
    "granian": ["-m", "granian", "--interface", "asgi", "--uds", "{socket}", "lived:app"],
    "hypercorn": ["-m", "hypercorn", "--bind", "unix:{socket}", "lived:app"],
}
"""How each server is started."""

INTERRUPTIBLE = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Starts a program as a terminal does: a shell that runs the tests in the background lets them ignore SIGINT."""

LONG = 60.0
"""Seconds after which a server that neither serves nor ends has failed: a machine may be busy."""


@dataclass(frozen=True, slots=True)
class Served:
    """A server in a process of its own."""

    process: subprocess.Popen[bytes]
    socket: Path
    home: Path

    def events(self) -> list[str]:
        """Return what its application has said so far."""
        said = self.home / "events"
        return said.read_text().splitlines() if said.exists() else []

    def output(self) -> str:
        """Return what it has printed so far."""
        return (self.home / "output").read_text(errors="replace")

    def status(self) -> int:
        """Return its exit status, once it has ended."""
        return self.process.wait(LONG)

    def client(self) -> httpx.AsyncClient:
        """Return a client of it."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.socket))
        return httpx.AsyncClient(transport=transport, base_url="http://server", timeout=LONG)

    def wait_for(self, event: str) -> None:
        """Wait until its application has said this."""
        self._wait(lambda: event in self.events(), f"say {event!r}")

    def listens(self) -> None:
        """Wait until it takes connections."""

        def takes() -> bool:
            with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
                connection.connect(str(self.socket))
                return True
            return False

        self._wait(takes, "listen")

    def ready(self) -> None:
        """Wait until it answers: some servers take connections before anything serves them."""

        def answers() -> bool:
            with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
                connection.settimeout(LONG)
                connection.connect(str(self.socket))
                connection.sendall(b"GET / HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n")
                return b"200" in connection.recv(16)
            return False

        self._wait(answers, "answer")

    def _wait(self, is_so: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + LONG
        while not is_so():
            assert self.process.poll() is None, f"it ended and did not {what}: {self.output()}"
            assert time.monotonic() < until, f"it did not {what}: {self.output()}"
            time.sleep(0.02)


@contextmanager
def served(server: str, fault: str = "", *, ready: bool = True) -> Iterator[Served]:
    """Start a server, and wait until it answers."""
    with tempfile.TemporaryDirectory(prefix="am", dir="/tmp") as place:  # a socket's name must be short
        home = Path(place)
        arguments = [word.format(here=HERE, socket=home / "s") for word in COMMANDS[server]]
        env = {**os.environ, "EVENTS": str(home / "events"), "FAULT": fault, "PYTHONPATH": path()}
        with (home / "output").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-ISc", INTERRUPTIBLE, sys.executable, *arguments],
                stdout=output,
                stderr=output,
                env=env,
                cwd=home,
                start_new_session=True,
            )
        one = Served(process, home / "s", home)
        try:
            if ready:
                one.ready()
            yield one
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its workers too
            process.wait()


def path() -> str:
    """Return where the servers find their application."""
    return os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH", "")]))
