"""``api/app-meta/sessions/page``: the page "Who is looking now", for administrators.

It shows what ``api/app-meta/sessions`` answers to the same administrator, asks again every few seconds, and ends pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web

from ...frame.pages import Pages
from .routes import ROOT, Administered

FOLDER = Path(__file__).parent / "templates"
"""The folder of the template."""

PATH = f"{ROOT}/page"

_pages = Pages.of(FOLDER)


class Who(Administered):
    """Who has which page open, on all servers of the store."""

    @web.authenticated
    async def get(self) -> None:
        """Show the page; its script asks for the list."""
        await self.admit("read")
        _ = self.board  # answers 404 where pages are not listed
        told = {"url": url_path_join(self.base_url, ROOT), "xsrf": self.xsrf_token.decode()}
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.set_header("Cache-Control", "no-store")
        await self.finish(self.page(title="Who is looking now", **told))

    def page(self, **values: Any) -> str:
        """Return the page with these values."""
        user: Mapping[str, Any] = self.user() or {}
        name = str(user.get("display_name") or user.get("username") or "")
        who = {"home": "", "name": name, "initials": user.get("initials") or name[:1].upper()}
        return _pages.page("who.html", base_url=self.base_url, **who, **values)

    def write_error(self, status_code: int, **options: Any) -> None:
        """Show the server's own error page."""
        JupyterHandler.write_error(self, status_code, **options)
