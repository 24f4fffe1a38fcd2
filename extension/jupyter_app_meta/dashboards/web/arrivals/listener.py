"""Where connections arrive. If there is no room for a connection, its client is told to try again later.

1. There are never more than ``max_connections`` connections. One peer may have half of them, so that it cannot keep
   others out. A trusted proxy stands for all its visitors, and may have all of them.
2. If there is no room, a new connection gets 503 and a Retry-After at once.
3. If the process has no descriptor left, a spare descriptor is used to answer 503. Then the server pauses for a moment,
   because tornado's own loop would try again and again, and log each time.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from starlette.datastructures import Address
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
REST, LINGER, LEAVING, BATCH, SILENCE = 0.5, 2, 32, 64, 60
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nConnection: close\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 23\r\n\r\nCome again in a moment."
)


class Listener(HTTPServer):
    """An HTTP server with a limit of connections."""

    def initialize(  # type: ignore[override]  # it needs more
        self, *args: Any, room: int, is_proxy: Callable[[Address | None], bool], log: logging.Logger, **options: Any
    ) -> None:
        """Take the limit of connections (0 means no limit), and the function that tells which peers are proxies."""
        super().initialize(*args, **options)
        self._room, self._is_proxy, self._log = room, is_proxy, log
        self._streams: dict[str, WeakSet[IOStream]] = {}
        self._leaving: deque[socket.socket] = deque()
        self._spare: int | None = os.open(os.devnull, os.O_RDONLY)
        self._said = -SILENCE * 1.0
        self._refused = 0

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Accept connections on these sockets."""
        for listening in sockets:
            self._sockets[listening.fileno()] = listening
            self._handlers[listening.fileno()] = _Acceptance(listening, self.arrive, self.gasp).end

    def stop(self) -> None:
        """Accept no more."""
        super().stop()
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        while self._leaving:
            self._leaving.popleft().close()

    def arrive(self, connection: socket.socket, address: Any) -> None:
        """Serve a connection, or tell its client to try again later."""
        peer = str(address[0]) if isinstance(address, tuple) and address else ""
        if self._has_room(peer):
            self._handle_connection(connection, address)
        else:
            self._refuse(connection, f"there are {self._room} connections, or half of them are of {peer or 'one peer'}")

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """Count a connection for as long as it is open."""
        peer = str(address[0]) if isinstance(address, tuple) and address else ""
        self._streams.setdefault(peer, WeakSet()).add(stream)
        super().handle_stream(stream, address)

    def gasp(self, listening: socket.socket, error: OSError) -> None:
        """Answer 503 to a new connection with the spare descriptor, because no other descriptor is left."""
        if error.errno not in EXHAUSTED:
            self._say(error.strerror or type(error).__name__)
            return
        if self._spare is not None:
            os.close(self._spare)
        self._spare = None
        while self._leaving:
            self._leaving.popleft().close()
        with suppress(OSError):
            connection, _ = listening.accept()
            self._refuse(connection, error.strerror or "there is no room", lingers=False)
        with suppress(OSError):
            self._spare = os.open(os.devnull, os.O_RDONLY)

    def _has_room(self, peer: str) -> bool:
        if not self._room or self._fits(peer):
            return True
        self._forget_closed()
        return self._fits(peer)

    def _fits(self, peer: str) -> bool:
        if sum(map(len, self._streams.values())) >= self._room:
            return False
        own = len(self._streams.get(peer, ()))
        return own < max(1, self._room // 2) or not peer or self._is_proxy(Address(peer, 0))

    def _forget_closed(self) -> None:
        living = {peer: [one for one in streams if not one.closed()] for peer, streams in self._streams.items()}
        self._streams = {peer: WeakSet(streams) for peer, streams in living.items() if streams}

    def _refuse(self, connection: socket.socket, why: str, *, lingers: bool = True) -> None:
        with suppress(OSError):
            connection.setblocking(False)
            connection.send(REFUSAL)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(65536)  # closing over unread bytes would discard the answer
        if lingers:
            self._leaving.append(connection)
            IOLoop.current().call_later(LINGER, connection.close)
            if len(self._leaving) > LEAVING:
                self._leaving.popleft().close()
        else:
            connection.close()
        self._say(why)

    def _say(self, why: str) -> None:
        """Log the reason, but not more than once in a while."""
        self._refused += 1
        if time.monotonic() - self._said >= SILENCE:
            self._log.warning(
                "Refusing connections: %s (%d so far). If the peer is a proxy, name it in trusted_proxies; "
                "max_connections and the limit of open files (ulimit -n) say how many there may be.",
                why,
                self._refused,
            )
            self._said = time.monotonic()


class _Acceptance:
    """Accepts the connections of one socket, and pauses if no descriptor is left."""

    def __init__(
        self,
        listening: socket.socket,
        arrive: Callable[[socket.socket, Any], None],
        gasp: Callable[[socket.socket, OSError], None],
    ) -> None:
        self._listening, self._arrive, self._gasp = listening, arrive, gasp
        self._loop = IOLoop.current()
        self._resting: object = None
        self._has_ended = False
        self._begin()

    def end(self) -> None:
        """Accept no more."""
        self._has_ended = True
        if self._resting is None:
            self._loop.remove_handler(self._listening)
        else:
            self._loop.remove_timeout(self._resting)

    def _begin(self) -> None:
        self._resting = None
        self._loop.add_handler(self._listening, self._ready, IOLoop.READ)

    def _ready(self, *_: Any) -> None:
        for _turn in range(BATCH):
            if self._has_ended:
                return
            try:
                connection, address = self._listening.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._rest(error)
                return
            connection.setblocking(False)
            self._arrive(connection, address)

    def _rest(self, error: OSError) -> None:
        self._gasp(self._listening, error)
        self._loop.remove_handler(self._listening)
        self._resting = self._loop.call_later(REST, self._begin)
