"""The private socket between a server and one process: the template or one child.

1. Only the server holds the other end, so messages need no signature here. Their order is that in which they were sent.
2. Threads may send, and processes that the notebook forks by itself, which print. A lock of the file system keeps their
   messages apart: it belongs to a process and ends with it.
3. When the server has closed its end, what is sent is dropped. The event loop sees the end, and ends the process. A
   stream that contains something else than messages is treated as one that has ended.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence

from . import frames

PIECE = 1 << 18
"""How many bytes are read at a time."""


_all: weakref.WeakSet[Private] = weakref.WeakSet()


def _renew_locks() -> None:
    """Let a process that the notebook forks print, although another thread was sending at that moment."""
    for private in _all:
        private._threads = threading.Lock()


os.register_at_fork(after_in_child=_renew_locks)


class Private:
    """Sends and receives messages."""

    def __init__(self, own: socket.socket) -> None:
        own.set_inheritable(False)
        self._socket, self._decoder = own, frames.Decoder()
        self._received: deque[frames.Message] = deque()
        self._threads, self._processes = threading.Lock(), os.memfd_create("app_meta")
        _all.add(self)
        self.has_ended = False

    @property
    def descriptors(self) -> set[int]:
        """The descriptors that it uses."""
        return {self._socket.fileno(), self._processes}

    def fileno(self) -> int:
        """Return the descriptor on which messages arrive."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this process's copy."""
        self._socket.close()
        os.close(self._processes)

    def send(self, letter: bytes, parts: Sequence[bytes | memoryview]) -> None:
        """Send a message, or drop it if the server has closed its end."""
        data = frames.encode(letter, parts)
        with self._threads:
            fcntl.lockf(self._processes, fcntl.LOCK_EX)
            try:
                self._socket.sendall(data)
            except OSError:
                pass  # rule 3
            finally:
                fcntl.lockf(self._processes, fcntl.LOCK_UN)

    def arrived(self) -> list[frames.Message]:
        """Return the messages that have arrived, without waiting."""
        while not self.has_ended and self._is_readable(0):
            self._read()
        found = list(self._received)
        self._received.clear()
        return found

    def has_more(self) -> bool:
        """Whether a message, or the end, has arrived."""
        return bool(self._received) or self.has_ended or self._is_readable(0)

    def next(self, seconds: float | None = None) -> frames.Message | None:
        """Wait for the next message; None if the time is up or the server has closed its end."""
        end = None if seconds is None else time.monotonic() + seconds
        while not self._received and not self.has_ended:
            if not self._is_readable(None if end is None else max(0.0, end - time.monotonic())):
                return None
            self._read()
        return self._received.popleft() if self._received else None

    def _is_readable(self, seconds: float | None) -> bool:
        waiting = select.poll()  # select() knows no descriptor above 1023
        waiting.register(self._socket, select.POLLIN)
        return bool(waiting.poll(None if seconds is None else seconds * 1000))

    def _read(self) -> None:
        try:
            data = self._socket.recv(PIECE)
        except ConnectionError:
            data = b""
        try:
            self._received += self._decoder.feed(data)
        except frames.BadFrames:
            data = b""
        self.has_ended = not data
