"""The gate between a page's socket and its kernel. A refused message closes the socket; its text is in no log.

Inward, messages are judged and counted. Outward, the bytes that the browser has not read are counted. If the browser
reads too slowly, its socket is closed, and its visitor is told to load the page again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from .flights import Account, Flight, Limits
from .heard import note
from .incoming import Envelope, Lost, Refused, judge
from .stamps import Stamps

UNREAD = 64 * 1024 * 1024
"""How many bytes may wait for one browser."""

STAMP_COST = 256
"""How many bytes, roughly, a stamp has in addition to its payload."""

WRITE_COST = 2048
"""How many bytes, roughly, a waiting message costs in addition to its own."""


class Accounts:
    """The visitors' accounts, by the visitor's key. An account is kept while one of its visitor's pages is open."""

    def __init__(self) -> None:
        self._accounts: WeakValueDictionary[str, Account] = WeakValueDictionary()

    def flight(self, key: str, largest: int) -> Flight:
        """Return the flight of a visitor's new page; ``largest`` is the size of the largest message in bytes."""
        account = self._accounts.get(key) or Account()
        self._accounts[key] = account
        return Flight(Limits.of(largest), account)


class Flights:
    """The flights of a server's pages, by their kernels, for a server in which nothing else knows of pages."""

    def __init__(self, is_kernel: Callable[[str], bool]) -> None:
        self._is_kernel, self._accounts = is_kernel, Accounts()
        self._flights: dict[str, Flight] = {}

    def of(self, kernel_id: str, key: str, largest: int) -> Flight:
        """Return the flight of a kernel's page, and forget kernels that have ended."""
        for gone in [known for known in self._flights if not self._is_kernel(known)]:
            self._flights.pop(gone).close()
        if kernel_id not in self._flights:
            self._flights[kernel_id] = self._accounts.flight(key, largest)
        return self._flights[kernel_id]


class Gate:
    """The gate of one socket. ``stamp`` is the most bytes that a message's stamp adds."""

    def __init__(self, socket: Any, connection: Any, flight: Flight, stamp: int) -> None:
        self._socket, self._connection, self._flight, self._stamp = socket, connection, flight, stamp
        self._unread = 0
        self._closing = self._has_lost = False

    def admits(self, frame: str | bytes) -> bool:
        """Whether a message may pass. A refused message closes the socket."""
        if self._closing or not self._connection.channels:
            return False
        try:
            envelope = self._judged(frame)
            if envelope is not None:
                self._flight.begin(self._socket, envelope, self._stamp)
        except Refused as refused:
            self.close(refused.code, refused.reason)
            return False
        return envelope is not None

    def _judged(self, frame: str | bytes) -> Envelope | None:
        """Return a message's envelope; None for a message that is not passed on."""
        try:
            return judge(frame, self._connection.subprotocol)
        except Lost as lost:
            self._flight.lose(len(frame))
            if not self._has_lost:  # one line for each socket, because a page may send many such messages
                self._has_lost = True
                self._log.warning("A page's message was not passed on: %s.", lost)
            return None

    def close(self, code: int, reason: str) -> None:
        """Close the socket once, and log one line that contains nothing of the message."""
        if not self._closing:
            self._closing = True
            self._log.warning("A page's socket is closed: %s (%s).", reason, code)
            self._socket.close(code, reason)

    def heard(self, channel: str | None, parts: list[bytes]) -> None:
        """Note a message of the kernel, given as the packed parts that ZeroMQ delivers."""
        if channel == "iopub":
            note(self._flight, parts, self._socket)

    def writes(self, message: str | bytes) -> bool:
        """Whether a message may be written to the browser. If the browser does not read, its socket is closed."""
        if self._closing:
            return False
        if self._unread and self._unread + len(message) > UNREAD:  # a single output may have any size
            self.close(1013, "the page does not take its output fast enough; load it again")
            return False
        return True

    def writer(self, write: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that writes a message to the browser, unless the browser does not read."""

        def writes(message: str | bytes, binary: bool = False) -> Any:
            if not self.writes(message):
                return None
            done = write(message, binary)
            self.written(message, done)
            return done

        return writes

    def written(self, message: str | bytes, done: Any) -> None:
        """Count a message until the browser has taken it."""
        cost = len(message) + WRITE_COST
        self._unread += cost

        def taken(future: Any) -> None:
            self._unread -= cost
            if not future.cancelled():
                future.exception()  # a browser that has gone is not an error

        done.add_done_callback(taken)

    def leave(self) -> None:
        """Note that the socket is closed."""
        self._closing = True
        self._flight.leave(self._socket)

    @property
    def _log(self) -> logging.Logger:
        log: logging.Logger = self._connection.log
        return log


def stamp_size(stamps: Stamps | None) -> int:
    """Return roughly how many bytes the stamp of a connection's messages has; 0 if they get no stamp."""
    signer = stamps.signer() if stamps else None
    return len(signer.payload) + STAMP_COST if signer else 0
