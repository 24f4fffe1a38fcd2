"""The page "Who is looking now" of a dashboard server, in the look of its other pages."""

from __future__ import annotations

from typing import Any

from ....server.live.page import Who
from ..around import headers
from ..base import Handler


class WhoHandler(Who, Handler):
    """Who has which page open, on all servers of the store."""

    is_seen = True

    def page(self, **values: Any) -> str:
        """Return the page with these values."""
        return self.shown("who.html", home=headers.home(self), **headers.who(self), **values)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Show an error page, which says nothing but the status."""
        Handler.write_error(self, status_code, **kwargs)
