"""Where the questions of kernels about their pages arrive. They come from threads.

A kernel's page is the visit that has the kernel, so no kernel reaches the page of another.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...browser import Browser
from ...errors import NoPage
from ...state.paging import NO_PAGE
from ..visits import Visit, Visits


@dataclass(frozen=True, slots=True)
class Reception:
    """The desk of a dashboard server."""

    visits: Visits

    def browser(self, kernel_id: str) -> Browser:
        """Return what the script of a kernel's page has said of its browser; raises NoPage."""
        return self._visit(kernel_id).browser

    def _visit(self, kernel_id: str) -> Visit:
        visit = self.visits.get(kernel_id)
        if visit is None:
            raise NoPage(NO_PAGE)
        return visit
