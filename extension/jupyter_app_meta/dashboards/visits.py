"""Which visitor has which page: a kernel belongs to the identity that opened its page, and ends with the page.

1. A visit begins with its kernel. It ends when its page is closed, or has been without a connection for too long.
2. A kernel without a visit belongs to no visitor, so a warm kernel cannot be reached.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from ..browser import Browser
from ..policy import Page, RawRequest
from ..server.identity import Visitor
from ..server.messages.flights import Flight
from ..server.messages.heard import note
from ..state.tabs import Tab
from .commands.outbox import Outbox
from .settings import Settings

REMEMBERED = 1000
"""How many ids of ended kernels are remembered."""


class Ending(NamedTuple):
    """How a page's sockets are closed. The page's script tells its visitor.

    It reconnects unless the page was ``ENDED`` or ``EXPELLED``.
    """

    code: int
    reason: str


ENDED = Ending(1000, "the page has ended")
DIED = Ending(1011, "the kernel has ended")
CLOSING = Ending(1012, "the server ends")
EXPELLED = Ending(4403, "an administrator has ended the page")


class Socket(Protocol):
    """A page's connection, on any host."""

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Close the connection, with a code and a reason that the page's script reads."""


class Watcher(Protocol):
    """What is told of each visit that begins and ends."""

    def opened(self, kernel_id: str, visit: Visit) -> None:
        """Note that a visit has this kernel."""

    def closed(self, kernel_id: str) -> None:
        """Note that the visit of this kernel ends."""


class RunHandle(Protocol):
    """The run of a page: the parts that its visit and the site need."""

    @property
    def has_visitor(self) -> bool:
        """Whether the run counts as an open page. A kernel that runs ahead has no visitor yet."""

    @property
    def kernel_id(self) -> str:
        """The id of its kernel; empty before it has one."""

    async def is_alive(self) -> bool:
        """Whether its kernel is alive."""

    async def attach(self) -> None:
        """Have the kernel ready for a browser that is about to connect; raises RuntimeError."""

    async def close(self) -> None:
        """End the run and its kernel."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A page request, as a host has read it. ``address`` counts for limits; ``login`` is where the visitor logs in."""

    visitor: Visitor
    raw: RawRequest
    url: str
    address: str | None = None
    login: str = ""


@dataclass(slots=True, eq=False)
class Presence:
    """Whether a page is present: it is being rendered, or has a live socket; and for how long it has had none."""

    sockets: set[Socket] = field(default_factory=set)
    pending: int = 0
    is_rendering: bool = True
    was_connected: bool = False
    _since: float = field(default_factory=time.monotonic)
    _heard: float = field(default_factory=time.monotonic)

    def away(self) -> float:
        """Return for how many seconds the page has had no connection; 0 while it is rendered or connected."""
        return 0 if self.is_rendering or self.sockets else time.monotonic() - self._since

    def quiet(self) -> float:
        """Return for how many seconds the visitor has sent nothing; 0 while the page is rendered."""
        return 0 if self.is_rendering else time.monotonic() - self._heard

    def rendered(self) -> None:
        """Note that the page is rendered. From now on it is expected to connect."""
        self.is_rendering = False
        self._since = self._heard = time.monotonic()

    @contextmanager
    def joining(self) -> Iterator[None]:
        """Count a socket that is about to open."""
        self.pending += 1
        try:
            yield
        finally:
            self.pending -= 1

    def hear(self) -> None:
        """Note that the visitor has sent something."""
        self._heard = time.monotonic()

    def leave(self, socket: Socket) -> None:
        """Note that a socket is closed. The page was connected until now."""
        self.sockets.discard(socket)
        self.was_connected = True
        self._since = time.monotonic()


@dataclass(slots=True, weakref_slot=True, eq=False)
class Visit:
    """One page that one visitor opened: the request for it, what runs it, and whether the visitor is there.

    ``start`` is how its kernel began: ``cold``, or ``warm`` if it ran ahead of its visitor, or ``forked``.
    """

    notebook: Path
    settings: Settings
    asked: Asked
    page: Page
    run: RunHandle | None = None
    flight: Flight | None = None
    has_lost: bool = False
    start: str = "cold"
    presence: Presence = field(default_factory=Presence)
    tab: Tab = field(default_factory=Tab)
    browser: Browser = field(default_factory=Browser)
    outbox: Outbox = field(default_factory=Outbox)

    @property
    def visitor(self) -> Visitor:
        """The visitor who opened the page."""
        return self.asked.visitor

    def belongs_to(self, visitor: Visitor) -> bool:
        """Whether this is the identity that opened the page."""
        return visitor.user is not None and visitor.key == self.visitor.key

    @property
    def who(self) -> str:
        """The visitor, for logs."""
        user = self.visitor.user
        return str(user.username) if user and user.is_authenticated else "an anonymous visitor"


class Visits:
    """The visits of a server, by the id of their kernel."""

    def __init__(self) -> None:
        self._visits: dict[str, Visit] = {}
        self._ending: dict[str, Visit] = {}
        self._ended: deque[str] = deque(maxlen=REMEMBERED)
        self.watcher: Watcher | None = None

    def items(self) -> tuple[tuple[str, Visit], ...]:
        """The present kernel ids and their visits."""
        return tuple(self._visits.items())

    def __len__(self) -> int:
        return len(self._visits)

    def begin(self, visit: Visit, kernel_id: str, run: RunHandle) -> None:
        """Give a kernel and its run to a visit."""
        visit.run = run
        self._visits[kernel_id] = visit
        if self.watcher:
            self.watcher.opened(kernel_id, visit)

    def get(self, kernel_id: str) -> Visit | None:
        """Return the visit that has this kernel."""
        return self._visits.get(kernel_id)

    async def tab(self, kernel_id: str) -> str | None:
        """Return the id of the tab of a kernel's page, also while the page ends; None before its visitor."""
        visit = self.get(kernel_id) or self._ending.get(kernel_id)
        return await visit.tab.known() if visit else None

    def was_here(self, kernel_id: str) -> bool:
        """Whether a visit has this kernel, or one of the last that ended had it."""
        return kernel_id in self._visits or kernel_id in self._ended

    def of(self, kernel_id: str, visitor: Visitor) -> Visit | None:
        """Return the visit that has this kernel, if it is this visitor's own."""
        visit = self.get(kernel_id)
        return visit if visit and visit.belongs_to(visitor) else None

    def forget(self, kernel_id: str, ending: Ending = ENDED) -> Visit | None:
        """Forget a visit and close its sockets. From now on no visitor can reach the kernel."""
        visit = self._visits.pop(kernel_id, None)
        if visit:
            self._ended.append(kernel_id)
        if visit and self.watcher:
            self.watcher.closed(kernel_id)
        if visit and visit.flight:
            visit.flight.close()
        for socket in tuple(visit.presence.sockets) if visit else ():
            socket.close(*ending)
        return visit

    def heard(self, kernel_id: str, channel: str, parts: list[bytes]) -> None:
        """Note what a kernel publishes while its page is away, because it may answer a message that the page sent."""
        visit = self.get(kernel_id)
        if visit and visit.flight and channel == "iopub":
            note(visit.flight, parts, None)

    def lost(self, kernel_id: str) -> None:
        """Note that the output which a kernel published for its page was discarded."""
        if visit := self.get(kernel_id):
            visit.has_lost = True

    async def end(self, kernel_id: str, ending: Ending = ENDED) -> None:
        """End a visit, its run and its kernel."""
        visit = self.forget(kernel_id, ending)
        if visit and visit.run:
            self._ending[kernel_id] = visit  # its last words may store what belongs to the tab
            try:
                await visit.run.close()
            finally:
                self._ending.pop(kernel_id, None)
