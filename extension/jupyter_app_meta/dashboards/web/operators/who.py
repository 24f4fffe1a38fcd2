"""``api/app-meta/sessions/page``: the page "Who is looking now", for administrators.

It shows what ``api/app-meta/sessions`` answers to the same administrator, asks again every few seconds, and ends pages.
"""

from __future__ import annotations

from typing import Any

from jupyter_server.utils import url_path_join
from tornado import web

from ....server.live.routes import ROOT, Administered
from ..around import headers
from ..base import Handler


class WhoHandler(Administered, Handler):
    """Who has which page open, on all servers of the store."""

    is_seen = True

    @web.authenticated
    async def get(self) -> None:
        """Show the page; its script asks for the list."""
        await self.admit("read")
        _ = self.board  # answers 404 where pages are not listed
        told = {"url": url_path_join(self.base_url, ROOT), "xsrf": self.xsrf_token.decode()}
        self.set_header("Cache-Control", "no-store")
        who = {"title": "Who is looking now", "home": headers.home(self), **headers.who(self)}
        await self.finish(self.shown("who.html", **told, **who))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Show an error page, which says nothing but the status."""
        Handler.write_error(self, status_code, **kwargs)
