"""What ipykernel takes for its sockets and its IOPub thread in a process that has neither ZeroMQ nor a second thread.

1. A reply goes to the side that asked: to the private socket if the message came from there, else to ZeroMQ.
2. What the kernel publishes goes to the private socket, until the server wants no more of it. Once a browser may be
   connected, it goes to ZeroMQ too. From then on a thread sends both, so that their order stays.
3. What a cell of a child prints arrives while the cell is busy: a thread sends it. A template has no thread.
"""

from __future__ import annotations

import _thread
import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from ipykernel.iostream import IOPubThread

from . import frames
from .private import Private


class Replies:
    """In place of the shell channel's stream."""

    def __init__(self, private: Private) -> None:
        self.private = private
        self.public: Any = None
        self.io_loop: Any = None
        self.receive: Any = None

    def on_recv(self, receive: Callable[[Any], Any], copy: bool = True) -> None:
        """Note what the kernel does with a message."""
        self.receive = receive

    def send_multipart(self, parts: Sequence[Any], *given: Any, **named: Any) -> None:
        """Send a reply to the side that asked."""
        if bytes(parts[0]) == frames.PRIVATE:
            self.private.send(frames.SHELL, parts)
        elif self.public is not None:
            self.public.send_multipart(parts, *given, **named)

    def flush(self, *given: Any) -> None:
        """Send what ZeroMQ's stream has kept."""
        if self.public is not None:
            self.public.flush(*given)


class Publications:
    """In place of the iopub channel's socket."""

    def __init__(self, private: Private) -> None:
        self.private = private
        self.public: Any = None
        self.is_quiet = False

    def send_multipart(self, parts: Sequence[Any], *given: Any, **named: Any) -> None:
        """Publish a message."""
        if self.public is not None:
            self.public.send_multipart(parts, *given, **named)
        else:
            self.tell(parts)

    def tell(self, parts: Sequence[Any]) -> None:
        """Send a message to the server."""
        if not self.is_quiet:
            self.private.send(frames.IOPUB, parts)

    def setsockopt(self, *given: Any) -> None:
        """Do nothing: the private socket drops nothing."""


class Unthreaded(IOPubThread):
    """In place of the thread that publishes, before a browser connects: it does so in the thread that prints."""

    def __init__(self, publications: Publications, session: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.socket: Any = publications
        self.background_socket: Any = publications
        self.session = session
        self.io_loop: Any = Later(loop)
        self.thread = None  # type: ignore[assignment]  # ipykernel's streams know that case
        self._stopped, self._pipe_flag, self._master_pid = False, False, os.getpid()

    def schedule(self, f: Callable[[], Any]) -> None:
        """Do it now."""
        f()

    def send_multipart(self, *given: Any, **named: Any) -> None:
        """Publish a message."""
        self.socket.send_multipart(*given, **named)

    def stop(self) -> None:
        """Do nothing: there is no thread."""


class Threaded(IOPubThread):
    """The thread that publishes once a browser may be connected: to ZeroMQ, and to the server."""

    def __init__(self, socket: Any, session: Any, publications: Publications) -> None:
        super().__init__(socket, pipe=True, session=session)  # type: ignore[no-untyped-call]  # ipykernel's
        self._publications = publications

    def _really_send(self, msg: Any, *given: Any, **named: Any) -> None:
        if os.getpid() == self._master_pid:  # a forked process pipes its output to this thread
            self._publications.tell(msg)
        super()._really_send(msg, *given, **named)  # type: ignore[no-untyped-call]  # ipykernel's


class Later:
    """The part of an event loop that a stream of output uses to send what it has kept."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._has_threads = loop, False
        self._has_begun = False
        self._kept: SimpleQueue[tuple[float, Callable[[], Any]]] = SimpleQueue()

    def use_threads(self) -> None:
        """Send although the event loop stands still, from now on: this process is a child."""
        self._has_threads = True
        os.register_at_fork(after_in_child=self._renew)

    def begin(self) -> None:
        """Start the thread that sends, if there is none; raises RuntimeError if the system has no thread left.

        It stays: to start one takes as long as a short cell. It is one of the system's, without an object of Python's,
        which would make this process copy twice as many pages of its template's memory.
        """
        if not self._has_begun:
            _thread.start_new_thread(self._send, ())
            self._has_begun = True

    def call_later(self, delay: float, flush: Callable[[], Any]) -> None:
        """Send in a moment what a stream has kept."""
        if self._has_threads:
            self._keep(delay, flush)
        elif threading.current_thread() is threading.main_thread():
            self._loop.call_later(delay, flush)
        else:
            self._loop.call_soon_threadsafe(self._loop.call_later, delay, flush)

    def _keep(self, delay: float, flush: Callable[[], Any]) -> None:
        try:
            self.begin()
        except RuntimeError:
            _in_order(flush)
        else:
            self._kept.put((time.monotonic() + delay, flush))

    def _send(self) -> None:
        kept = self._kept
        while True:
            due, flush = kept.get()
            time.sleep(max(0.0, due - time.monotonic()))
            with suppress(Exception):  # what is printed later has to be sent all the same
                _in_order(flush)

    def _renew(self) -> None:
        """Let a process that the notebook forks print: it has no other thread, and one may have had a lock."""
        self._has_begun, self._kept = False, SimpleQueue()
        for stream in _streams():
            stream._buffer_lock = threading.RLock()


def _in_order(flush: Any) -> None:
    """Send what a stream has kept, before any other thread sends what came after it."""
    with flush.__self__._buffer_lock:
        flush()


def _streams() -> Iterator[Any]:
    return (stream for stream in (sys.stdout, sys.stderr) if hasattr(stream, "_buffer_lock"))
