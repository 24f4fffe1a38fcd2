"""Who is looking, as kernels may know it: the pages of their own dashboard, from the rows that servers write.

1. A kernel is told of the people on its own dashboard: of each, a name to show, since when, and how many pages.
2. A visitor's own pages are those of the same dashboard. What else this person has open is not told.
3. The rows of all servers are read once in ``FRESH`` seconds, however often kernels ask. A page that opens or closes is
   seen after at most that time.
4. At most ``MOST`` people or pages are told, those that came first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

from ...errors import StateUnavailable
from ..grants import Claims
from ..sessions import Session, found
from ..stores.base import Store

FRESH = 1.0
MOST = 1000

OFF = "The server does not tell who is looking: AppMetaExtension.presence is 'off'."

Spaces = Mapping[str, list[Session]]


class Viewers:
    """The open pages of all servers of a store. It is safe to use from any thread. Methods raise StateUnavailable."""

    __slots__ = ("_clock", "_is_on", "_lock", "_problem", "_read", "_spaces", "_store")

    def __init__(self, store: Store, is_on: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._is_on, self._clock, self._lock = store, is_on, clock, Lock()
        self._read = float("-inf")
        self._spaces: Spaces = {}
        self._problem: StateUnavailable | None = None

    def of(self, claims: Claims) -> list[list[Any]]:
        """Return the people who look at the kernel's dashboard, as [display name, since, pages]."""
        people: dict[str, list[Session]] = {}
        for session in self._there(claims):
            people.setdefault(session.identity or session.id, []).append(session)
        return [[pages[0].display_name, pages[0].since, len(pages)] for pages in people.values()][:MOST]

    def own(self, claims: Claims) -> list[list[Any]]:
        """Return the pages of the visitor on the kernel's dashboard, as [page, since, kernel id]."""
        mine = claims.identity.text if claims.identity else None
        pages = [session for session in self._there(claims) if mine is not None and session.identity == mine]
        return [[session.page, session.since, session.kernel_id] for session in pages][:MOST]

    def _there(self, claims: Claims) -> list[Session]:
        """Return the pages of a kernel's dashboard, those that came first in front."""
        if not self._is_on:
            raise StateUnavailable(OFF)
        with self._lock:  # one thread reads, and the others wait for what it finds
            if self._clock() - self._read >= FRESH:
                self._look()
            if self._problem:
                raise StateUnavailable(str(self._problem))
            return self._spaces.get(claims.space.text, [])

    def _look(self) -> None:
        """Read the rows. A store that does not answer is left alone for as long as one that does."""
        try:
            self._spaces, self._problem = _by_space(found(self._store)), None
        except StateUnavailable as error:
            self._problem = error
        self._read = self._clock()


def _by_space(sessions: tuple[Session, ...]) -> Spaces:
    spaces: dict[str, list[Session]] = {}
    for session in sessions:
        spaces.setdefault(session.space, []).append(session)
    return spaces
