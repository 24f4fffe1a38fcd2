"""The port that a server listens on: the configured port, one of the next ones, or any free port."""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from tornado.httpserver import HTTPServer

LAST = 65535


class Listening(Protocol):
    """An application that can listen."""

    def listen(self, port: int, address: str | None = None) -> HTTPServer:
        """Listen on a port; raises OSError."""


def listen(application: Listening, port: int, ip: str, retries: int, log: logging.Logger) -> tuple[HTTPServer, int]:
    """Return the listening server and its port: this port, or one of the next ``retries`` ports if it is in use.

    Port 0 is any free port. Raises OSError if there is none.
    """
    for candidate in range(port, min(port + retries, LAST) + 1):
        try:
            server = application.listen(candidate, ip)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or candidate == min(port + retries, LAST) or port == 0:
                raise
            log.warning("Port %s is in use, trying %s.", candidate, candidate + 1)
        else:
            return server, taken(server)
    raise AssertionError("the last candidate listens or raises")


def addresses(server: HTTPServer) -> list[str]:
    """Return the addresses that a server listens on; a socket that is a file has none."""
    names = [listening.getsockname() for listening in server._sockets.values()]
    return [str(name[0]) for name in names if isinstance(name, tuple)]


def listening(port: int) -> set[str]:
    """Return the addresses on which this process listens with a port; empty where its sockets cannot be listed."""
    folder = Path("/proc/self/fd" if Path("/proc/self/fd").exists() else "/dev/fd")
    found = set()
    for name in os.listdir(folder) if folder.exists() else ():
        with suppress(OSError, ValueError):
            if not stat.S_ISSOCK(os.stat(int(name)).st_mode):  # a copy of another file would stay open
                continue
            with socket.socket(fileno=os.dup(int(name))) as one:
                if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    address, *rest = one.getsockname()
                    found |= {str(address)} if rest and rest[0] == port else set()
    return found


def taken(server: HTTPServer) -> int:
    """Return the port that a server listens on."""
    return int(next(iter(server._sockets.values())).getsockname()[1])


def authority(ip: str, port: int) -> str:
    """Return an address and a port as a URL has them: IPv6 addresses in brackets, all addresses as localhost."""
    host = "localhost" if ip in ("", "0.0.0.0", "::") else ip  # noqa: S104  # this is where it is compared
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
