"""Tabs: which page one identity looks at with one kernel, while tabs connect, leave, reconnect and change address.

A client is the connection of one tab. Its name stays the same over reconnects. No call says which client has which
page, so these rules decide:

1. Pages (here: their addresses) stay for ``RETURN`` seconds after the last connection. A kernel restart or a network
   failure closes a tab's socket, and the tab opens it again. A page that is seen meanwhile replaces the others,
   because it is a reload. If the client that left reconnects, both pages are open.
2. If only one client is connected and the notebook is renamed, the next new page replaces the old one.
3. If there are several pages, a page that was not seen for ``UNSEEN`` seconds does not count, provided that the other
   pages are at least as many as the clients. A visible tab sends a call every ten seconds. A hidden tab does not, so
   silence alone does not mean that it has gone.
4. In any other case two pages mean that the page is unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

RETURN = 60.0
"""Seconds within which a tab that lost its connection may reconnect to its page."""

UNSEEN = 60.0
"""Seconds without a call, after which a page may be an address that its tab has left."""

MAX_PAGES = 8
MAX_LEFT = 8


class _Left(NamedTuple):
    """When a client left, and which pages left with it: all pages, if it was the last client."""

    at: float
    pages: frozenset[str] = frozenset()


class Tabs:
    """The pages and clients of one identity with one kernel."""

    __slots__ = ("_away", "_left", "_live", "_renamed", "_seen", "known")

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        self._away: set[str] = set()
        self._renamed: set[str] = set()
        self._live: Counter[str] = Counter()
        self._left: dict[str, _Left] = {}
        self.known: str | None = None

    def settle(self, now: float) -> bool:
        """Decide which page is known after a change; return whether it is a different one."""
        before, self.known = self.known, self._page(now)
        return self.known != before

    def _page(self, now: float) -> str | None:
        pages = [page for page in self._seen if page not in self._away] or list(self._seen)
        recent = [page for page in pages if now - self._seen[page] < UNSEEN]
        if len(pages) > 1 and len(recent) >= len(self._live) >= 1:
            pages = recent
        return pages[0] if len(pages) == 1 else None

    @property
    def has_no_page(self) -> bool:
        """Whether no page was seen."""
        return not self._seen

    def is_gone(self, now: float) -> bool:
        """Whether all clients have left and none will reconnect."""
        return not self._live and all(now - left.at >= RETURN for left in self._left.values())

    def see(self, page: str, now: float, *, stripped: bool = False) -> None:
        """Note a call from a page. A ``stripped`` page is an address that has lost its query."""
        self._forget_gone(now)
        if stripped:
            self._forget(old for old in tuple(self._seen) if old != page and old.partition("?")[0] == page)
        if self._renamed and page not in self._renamed:
            self._forget(self._renamed)
        self._away.discard(page)
        self._seen[page] = now
        if len(self._seen) > MAX_PAGES:
            self._forget([min(self._seen, key=self._seen.__getitem__)])

    def connect(self, client: str, now: float) -> None:
        """Note a connection of a client."""
        self._forget_gone(now)
        if client not in self._live:
            self._renamed.clear()
        if returned := self._left.pop(client, None):
            self._away -= returned.pages
        self._live[client] += 1

    def disconnect(self, client: str, now: float) -> None:
        """Note the end of a connection."""
        self._live[client] -= 1
        if self._live[client] > 0:
            return
        del self._live[client]
        pages = frozenset() if self._live else frozenset(self._seen) - self._away
        self._away |= pages
        self._left[client] = _Left(now, pages)
        if len(self._left) > MAX_LEFT:
            del self._left[min(self._left, key=lambda name: self._left[name].at)]

    def rename(self) -> None:
        """Note that the notebook has a new path."""
        self._renamed = set(self._seen) if len(self._live) == 1 else set()

    def _forget(self, pages: Iterable[str]) -> None:
        for page in tuple(pages):
            self._seen.pop(page, None)
            self._away.discard(page)
            self._renamed.discard(page)

    def _forget_gone(self, now: float) -> None:
        """Forget the clients that will not reconnect, and the pages that left with them."""
        for client, left in tuple(self._left.items()):
            if now - left.at >= RETURN:
                del self._left[client]
                self._forget(left.pages & self._away)
