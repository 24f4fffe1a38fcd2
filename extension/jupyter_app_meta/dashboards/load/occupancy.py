"""How many pages are open, or about to be, and whether there is room for one more of this visitor.

1. A run ahead of its visitor takes no room: only pages that have a visitor are counted.
2. A visitor who is known by name is counted by that name. Other visitors can have many identities, so they are also
   counted by address.
3. Pages are counted before their kernels have grown. So a page is also refused while little memory is free, unless
   there are hardly any pages or the deployer wants no limit.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ...server.reports.allowances import Allowance
from ...server.reports.logs import printable
from ..visits import RunHandle, Visit, Visits
from . import memory
from .limits import FEWEST_PAGES, Limits, reaches

NAMED = ("provider", "hub")
"""The assurances under which each visitor has only one identity."""


class TooManyPages(Exception):
    """The limit of open pages is reached: that of the server (503), or that of one visitor or address (429)."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class Occupancy:
    """The pages of a server: ``runs`` that have not ended, and ``arrivals``, which are visits without a run so far."""

    limits: Limits
    visits: Visits
    log: logging.Logger
    runs: set[RunHandle] = field(default_factory=set)
    arrivals: set[Visit] = field(default_factory=set)
    allowance: Allowance = field(default_factory=lambda: Allowance(1, 1 / 60))
    short: Allowance = field(default_factory=lambda: Allowance(1, 1 / 60))

    def refusal(self, visit: Visit) -> int | None:
        """Return the status for a visit without room: 503 if the server is full, 429 if the visitor's share is."""
        pages = {*self.arrivals, *(open_one for _, open_one in self.visits.items())}
        count = sum(run.has_visitor for run in self.runs) + len(self.arrivals)
        if reaches(count, self.limits.max_pages) or self._is_short(count):
            return 503
        if reaches(sum(page.visitor.key == visit.visitor.key for page in pages), self.limits.max_pages_per_visitor):
            return 429
        address, user = visit.asked.address, visit.visitor.user
        if address is None or (user and user["assurance"] in NAMED):
            return None
        of_address = sum(page.asked.address == address for page in pages)
        if not reaches(of_address, self.limits.max_pages_per_address):
            return None
        self._say_full(address, of_address)
        return 429

    def _is_short(self, pages: int) -> bool:
        """Whether memory is short; it is logged, not too often."""
        if not self.limits.max_pages or pages < FEWEST_PAGES or not memory.is_short():
            return False
        if self.short.left():
            self.short.take(1)
            self.log.warning(
                "Refusing pages, because little memory is free and %d pages are open. Give the server more memory, or "
                "fewer pages (c.Serve.max_pages).",
                pages,
            )
        return True

    def _say_full(self, address: str, pages: int) -> None:
        """Log, not too often, that an address has used up its share. It may be a proxy that we do not know."""
        if self.allowance.left():
            self.allowance.take(1)
            self.log.warning(
                "Refusing pages to %s, which has %d open (c.Serve.max_pages_per_address). If it is a proxy with many "
                "visitors, name it in AppMetaExtension.trusted_proxies.",
                printable(address),
                pages,
            )

    @contextmanager
    def arriving(self, visit: Visit) -> Iterator[None]:
        """Count a visit that has no run yet; raises TooManyPages."""
        if status := self.refusal(visit):
            raise TooManyPages(status)
        self.arrivals.add(visit)
        try:
            yield
        finally:
            self.arrivals.discard(visit)
