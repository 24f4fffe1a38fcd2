"""What the servers of one store send to each other's pages: a scope for each space, whose entries are messages.

1. An entry lasts for ``KEPT`` seconds. The next message of its space removes those that are over.
2. The messages of one space have at most ``BYTES`` at a time, so that one kernel cannot fill a store.
3. A server reads an entry once, and none that is older than its own interest in the space.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import deque
from collections.abc import Callable, Collection
from threading import Lock
from typing import NamedTuple

from ...errors import TooLarge
from ..forms import Misunderstood, fields, message_data, message_name, text
from ..keys import Scope
from ..stores.base import Store

AUDIENCE = "messages"

KEPT = 10.0
"""Seconds in which other servers have to read a message."""

BYTES = 8 * 1024 * 1024
"""Bytes of the messages of one space that may be kept at a time."""


class Letter(NamedTuple):
    """A message, and the scope whose listeners get it."""

    to: str
    name: str
    data: str

    @classmethod
    def read(cls, written: str) -> Letter | None:
        """Return the message of an entry's text; None for any other text, such as a newer server's."""
        try:
            found = fields(json.loads(written), {"to", "name", "data"})
            return cls(text(found["to"], "to", 64), message_name(found["name"]), message_data(found["data"]))
        except (Misunderstood, ValueError, RecursionError):
            return None

    @property
    def text(self) -> str:
        """The message as ASCII JSON."""
        return json.dumps(self._asdict())


class _Kept(NamedTuple):
    until: float
    key: str
    size: int


class Outbox:
    """The messages of one space in a store. Methods block, and raise StateUnavailable."""

    __slots__ = ("_clock", "_kept", "_last", "_lock", "_own", "_reading", "_scope", "_store")

    def __init__(self, store: Store, space: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._scope, self._clock, self._lock = store, Scope(AUDIENCE, space), clock, Lock()
        self._reading = Lock()  # held while the store is read: never by what others wait for
        self._own = secrets.token_hex(8)
        self._kept: deque[_Kept] = deque()
        self._last: int | None = None

    @property
    def id(self) -> str:
        """The scope that a store's notices name."""
        return self._scope.id

    @property
    def is_idle(self) -> bool:
        """Whether none of its messages is kept any more, so that a new outbox would be the same."""
        with self._lock:
            return not self._kept or self._kept[-1].until <= self._clock()

    def begin(self) -> None:
        """Take what is sent from now on. Idempotent."""
        with self._reading:
            if self._last is None:
                found = self._store.readable(self._scope.id, None)
                self._last = max((entry.version for entry in found.values()), default=0)

    def put(self, letter: Letter) -> None:
        """Write a message for the other servers; raises TooLarge if too much has been sent in the last seconds."""
        written, key = letter.text, f"{self._own}-{secrets.token_hex(8)}"
        over = self._count(key, len(written))
        self._store.apply(self._scope, {}, {key: written}, over, KEPT)

    def take(self, keys: Collection[str] | None) -> list[Letter]:
        """Return the messages of other servers under these keys that were not taken before, in their order."""
        with self._reading:
            last = self._last
            if last is None:
                return []
            found = sorted(self._store.readable(self._scope.id, keys).items(), key=lambda item: item[1].version)
            fresh = [(key, entry) for key, entry in found if entry.version > last]
            self._last = max((entry.version for _, entry in fresh), default=last)
        letters = [Letter.read(entry.text) for key, entry in fresh if not key.startswith(self._own)]
        return [letter for letter in letters if letter is not None]

    def _count(self, key: str, size: int) -> list[str]:
        """Count a message, and return the keys of those that are over."""
        with self._lock:
            now, over = self._clock(), []
            while self._kept and self._kept[0].until <= now:
                over.append(self._kept.popleft().key)
            if sum(kept.size for kept in self._kept) + size > BYTES:
                raise TooLarge(f"The messages of {KEPT:.0f} seconds have at most {BYTES} bytes. Send less, or later.")
            self._kept.append(_Kept(now + KEPT, key, size))
            return over
