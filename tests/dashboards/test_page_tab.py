"""A page that ends still knows its tab, so that its last words reach the state of the tab."""

from __future__ import annotations

from pathlib import Path

from jupyter_app_meta.dashboards.settings import Settings
from jupyter_app_meta.dashboards.visits import Asked, Visit, Visits
from jupyter_app_meta.policy import Page, RawRequest
from jupyter_app_meta.server import identity

URL = "http://localhost/page"


class Speaking:
    """A run whose kernel asks for its tab while it is closed."""

    has_visitor = True

    def __init__(self, visits: Visits) -> None:
        self._visits = visits
        self.tab: str | None = None

    async def is_alive(self) -> bool:
        """Whether its kernel is alive."""
        return True

    kernel_id = "kernel"

    async def attach(self) -> None:
        """Be ready for a browser."""

    async def close(self) -> None:
        """End, with last words."""
        self.tab = await self._visits.tab("kernel")


async def test_a_page_that_ends_still_knows_its_tab() -> None:
    """Until its kernel has ended, and not longer; no visitor reaches the kernel meanwhile."""
    visits = Visits()
    run, asked = Speaking(visits), Asked(identity.unknown(), RawRequest("GET", URL, "http://localhost/"), URL)
    visit = Visit(Path("page.ipynb"), Settings(), asked, Page(URL, mode="run"))
    visits.begin(visit, "kernel", run)
    visit.tab.settle("1" * 32)
    await visits.end("kernel")
    assert run.tab == "1" * 32
    assert await visits.tab("kernel") is None and visits.get("kernel") is None
