"""The routes of people: a dashboard's page, and the list of dashboards.

Who may see a page is decided before anything is started.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import quote

from jupyter_server.utils import url_path_join
from tornado import web
from tornado.iostream import StreamClosedError

from ...policy import Page
from ...server import capture, identity
from .. import hooks
from ..dashboard import Dashboard
from ..runs.reasons import reason
from ..runs.run import Run
from ..runs.titles import title
from ..services import TooManyPages
from ..sources import Entry, Source
from ..visits import Visit
from . import logins, page_script
from .base import Handler, render
from .purpose import Purpose, purpose

PATIENCE = 10
"""Seconds without anything to send, after which a page gets a sign of life: proxies give up on silence."""

STALLED = 30
"""Seconds after which a browser that takes nothing of its page is given up."""

RETRY_AFTER = 10
"""Seconds after which who came when there were too many pages may try again."""


class PageHandler(Handler):
    """A dashboard's page."""

    def initialize(self, source: Source) -> None:
        """Take what finds the dashboard of a URL's parameters."""
        self._source = source
        self._visit: Visit | None = None
        self._run: Run | None = None
        self._has_left = False

    @web.authenticated
    async def get(self, **params: str) -> None:
        """Show the dashboard, as it comes; a request that shows no page starts nothing."""
        wanted = purpose(self.request, framed=self.settings["dashboard_framed"])
        admitted = await self._admitted(params)
        if admitted is None:
            return
        dashboard, visit = admitted
        if wanted is Purpose.AHEAD:
            await self._refuse_for_now(503)  # browsers forget it, and ask again when the page is wanted
            return
        if wanted is Purpose.GLANCE:
            self._set_headers()
            self.finish(render("glance.html", title=title(dashboard.notebook), url=visit.page.url.partition("?")[0]))
            return
        if status := self.services.refusal(visit):
            await self._refuse_for_now(status)
            return
        self._visit = visit
        try:
            await self._show(dashboard, visit)
        finally:
            visit.rendering, visit.heard = False, time.monotonic()
            visit.touch()

    @web.authenticated
    async def head(self, **params: str) -> None:
        """Say whether there is a page for this visitor, and start nothing."""
        admitted = await self._admitted(params)
        if admitted and (status := self.services.refusal(admitted[1])):
            await self._refuse_for_now(status)
        elif admitted:
            self._set_headers()

    async def _admitted(self, params: dict[str, str]) -> tuple[Dashboard, Visit] | None:
        """Return the dashboard and the visit that may begin, None where the answer is given already."""
        services, settings, params = self.services, self._source.settings, self._source.canonical(params)
        if not self._source.is_plain(params):
            await self.fail(404)
            return None
        who = identity.visitor(self, services.context.policy)
        page = Page(self.request.full_url(), params, "run")
        raw = capture.raw_request(self, who.user)
        request = self.policy_request(raw, page)
        verdict = await hooks.verdict(settings.authorize, request, services.log)
        dashboard = self._source.find(params)
        if isinstance(verdict, str):
            self.set_header("Cache-Control", "no-store")
            self.redirect(verdict)
        elif not verdict:
            await self.fail(403)
        elif dashboard is None:
            await self.fail(404)
        else:
            address = self.settings["dashboard_front"].address(self.request)
            raw = dataclasses.replace(raw, meta=await hooks.meta_of(settings.meta, request, services.log))
            return dashboard, Visit(dashboard.notebook, settings, who, raw, page, address, logins.address(self))
        return None

    async def _show(self, dashboard: Dashboard, visit: Visit) -> None:
        try:
            with self.services.arriving(visit):
                self._run = run = await dashboard.open(visit)
            await run.spawned(PATIENCE)
        except TooManyPages as error:
            await self._refuse_for_now(error.status)
            return
        except Exception as error:
            if self._run:
                self.services.spawn(self._run.close())  # else it would count as an open page for ever
            if self._has_left:
                return
            place = f"{visit.notebook}, for {visit.who}: it could not be opened"
            error_id = self.services.incidents.failed(place, error, text=reason(error))
            await self.fail(500, error_id)
            return
        self._set_headers()
        try:
            async for piece in self._pieces(run, visit):
                self.write(piece)
                await asyncio.wait_for(self.flush(), STALLED)
        except (StreamClosedError, TimeoutError):
            self.services.spawn(run.close())
            self.detach().close()  # it may still be there, and takes nothing

    async def _pieces(self, run: Run, visit: Visit) -> AsyncIterator[str]:
        """Yield the page with our script, and what covers it if one of its cells needs a login."""
        pieces = run.html(self.services.voila.http_keep_alive_timeout)
        async for piece in page_script.added(pieces, self.services.limits.max_upload):
            yield piece
        if run.needs_login:
            yield logins.page(visit.login, run.needs_login)

    async def _refuse_for_now(self, status: int) -> None:
        self.set_header("Retry-After", str(RETRY_AFTER))
        await self.fail(status)

    def _set_headers(self) -> None:
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "same-origin")
        if not self.settings["xsrf_cookies"]:
            _ = self.xsrf_token  # a Hub wants it of a page's script, with its first request

    def on_connection_close(self) -> None:
        """End the visit of a visitor who left before the page was complete."""
        self._has_left = True
        if self._run and self._visit and not self._visit.sockets:
            self.services.spawn(self._run.close())


class IndexHandler(Handler):
    """The dashboards that a visitor may see."""

    def initialize(self, entries: Callable[[], Awaitable[list[Entry]]]) -> None:
        """Take the function that lists what there is."""
        self._entries = entries

    @web.authenticated
    async def get(self) -> None:
        """Show the list."""
        raw = self.raw_request()
        shown = []
        for path, params, notebook, settings in await self._entries():
            url = url_path_join(self.base_url, quote(path))
            page = Page(f"{self.request.protocol}://{self.request.host}{url}", params, "run")
            if await hooks.verdict(settings.authorize, self.policy_request(raw, page), self.services.log) is True:
                shown.append({"url": url, "title": title(notebook), "path": path.strip("/")})
        self.set_header("Cache-Control", "no-store")
        await self.finish(render("index.html", dashboards=shown, base_url=self.base_url, user=self._name()))

    head = get  # load balancers ask so; tornado sends what it answers without its body

    def _name(self) -> str | None:
        user = self.policy_request(self.raw_request()).user
        return (user.display_name or user.username) if user and user.is_authenticated else None
