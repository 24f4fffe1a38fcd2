"""Where the questions of kernels about their pages arrive. They come from threads.

A kernel's page is the visit that has the kernel, so no kernel reaches the page of another.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...browser import Browser
from ...errors import NoPage, TooLarge
from ...state.paging.operations import NO_PAGE, Command, SetQuery
from ..visits import Visit, Visits
from .allowed import Allowed
from .outbox import LONGEST, RATE


@dataclass(frozen=True, slots=True)
class PageCommands:
    """Answers for the pages of a dashboard server."""

    visits: Visits
    allowed: Allowed

    def browser(self, kernel_id: str) -> Browser:
        """Return what the script of a kernel's page has said of its browser; raises NoPage."""
        return self._visit(kernel_id).browser

    def tell(self, kernel_id: str, command: Command) -> None:
        """Pass a command on to a kernel's page; raises PageError, and TooLarge for too many."""
        visit = self._visit(kernel_id)
        judged = self.allowed.judged(command, visit.page.url)
        if not visit.outbox.allowance.spend():
            raise TooLarge(f"Code tells its page at most {RATE} things a second. Tell it less, or later.")
        if isinstance(judged, SetQuery) and not visit.outbox.fits(judged):
            raise TooLarge(f"A page's address has at most {LONGEST} characters. Remove names that it no longer needs.")
        visit.outbox.put_soon(judged)

    def _visit(self, kernel_id: str) -> Visit:
        visit = self.visits.get(kernel_id)
        if visit is None:
            raise NoPage(NO_PAGE)
        return visit
