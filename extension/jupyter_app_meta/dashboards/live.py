"""The live pages of a dashboard server, as its administrators see them: each visit is on the server's board."""

from __future__ import annotations

import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..server.live.board import Board
from ..server.live.rows import row_of
from .services import Services
from .visits import EXPELLED, Visit


@dataclass(frozen=True, slots=True)
class LivePage:
    """A visit, as the board knows an open page."""

    services: Services
    kernel_id: str
    visit: Visit
    identity: str | None

    def end(self) -> None:
        """End the page and its kernel."""
        self.services.spawn(self.services.visits.end(self.kernel_id, EXPELLED))

    def send(self, name: str, data: str) -> bool:
        """Give a message to the page's code; False if it listens to none."""
        state = self.services.state
        return state is not None and state.service.relay.tell(self.kernel_id, self.identity, name, data)

    @property
    def connections(self) -> int:
        """How many sockets the page has."""
        return len(self.visit.presence.sockets)

    @property
    def seen(self) -> float:
        """When the visitor's browser last sent something, in seconds since the epoch."""
        return time.time() - self.visit.presence.quiet()


@dataclass(frozen=True, slots=True)
class Listing:
    """Puts the visits of a server on its board."""

    services: Services
    board: Board

    def opened(self, kernel_id: str, visit: Visit) -> None:
        """Put a page on the board."""
        if (state := self.services.state) is None or (space := state.places.dashboards.get(kernel_id)) is None:
            return
        asked = visit.asked
        row = row_of(state.grants, asked.raw, asked.visitor, space, kernel_id, page=urlsplit(visit.page.url).path)
        self.board.opened(kernel_id, row, LivePage(self.services, kernel_id, visit, row.identity))

    def closed(self, kernel_id: str) -> None:
        """Take a page from the board."""
        self.board.closed(kernel_id)


def listed(services: Services) -> Board | None:
    """Return the board of a server, on which its visits are from now on; None without a store."""
    if services.store is None:
        return None
    board = Board(services.store, services.peers.name, services.log)
    services.visits.watcher = Listing(services, board)
    return board
