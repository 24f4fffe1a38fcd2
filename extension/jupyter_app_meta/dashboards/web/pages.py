"""The routes that visitors open: a dashboard's page, and the list of dashboards.

``admission`` decides before anything is started.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from urllib.parse import quote

from jupyter_server.utils import url_path_join
from tornado import web
from tornado.iostream import StreamClosedError

from ...policy import RawRequest
from ...server import capture, identity
from ...server.reports.incidents import told
from .. import admission
from ..admission import Admitted, Redirect, Refused
from ..commands import outbox
from ..dashboard import Dashboard
from ..files.leads import lead
from ..files.titles import title
from ..load.occupancy import TooManyPages
from ..runs.page import BROKEN
from ..runs.reasons import reason
from ..runs.run import Run
from ..sources import Entry, Source
from ..visits import Asked, Visit
from . import page_script
from .around import headers, logins
from .arrivals.purpose import Purpose, purpose
from .base import Handler
from .bases import rebased
from .dev import bar

PATIENCE = 10
"""After this many seconds without output, a page gets a heartbeat, because proxies time out silent connections."""

STALLED = 30
"""After this many seconds, the server gives up a browser that reads nothing of its page."""


class PageHandler(Handler):
    """A dashboard's page."""

    is_seen = True

    def initialize(self, source: Source) -> None:
        """Take the object that finds the dashboard with a URL's parameters."""
        self._source = source
        self._visit: Visit | None = None
        self._run: Run | None = None
        self._raw: RawRequest | None = None
        self._pieces: AsyncIterator[str] | None = None
        self._sending: asyncio.Future[None] | None = None
        self._has_left = False
        self.page_start = ""

    async def prepare(self, *, _redirect_to_login: bool = True) -> None:
        """Redirect to the page's one path, or else authenticate."""
        if not self.has_moved(self._source.address(self.path_kwargs)):
            await super().prepare(_redirect_to_login=_redirect_to_login)

    @web.authenticated
    async def get(self, **params: str) -> None:
        """Send the dashboard's page piece by piece. A request that will not show a page starts nothing."""
        wanted = purpose(self.request, framed=self.settings["dashboard_framed"])
        admitted = await self._admitted(params)
        if admitted is None:
            return
        if wanted is Purpose.AHEAD:  # browsers do not keep a 503, and ask again when the visitor wants the page
            await self.refuse(admission.for_now(503))
        elif wanted is Purpose.GLANCE:
            self._set_headers()
            url = admitted.visit.page.url.partition("?")[0]
            self.finish(self.shown("glance.html", title=title(admitted.dashboard.notebook), url=url))
        elif refused := admission.without_room(self.services, admitted.visit):
            await self.refuse(refused)
        else:
            await self._visited(admitted)

    @web.authenticated
    async def head(self, **params: str) -> None:
        """Say whether there is a page for this visitor, and start nothing."""
        admitted = await self._admitted(params)
        if admitted and (refused := admission.without_room(self.services, admitted.visit)):
            await self.refuse(refused)
        elif admitted:
            self._set_headers()

    async def _admitted(self, params: dict[str, str]) -> Admitted | None:
        """Return what may be shown; None if the visitor may not see it, and has already been answered."""
        verdict = await admission.admit(self.services, self._source, params, self._asked())
        if isinstance(verdict, Redirect):
            self.set_header("Cache-Control", "no-store")
            self.redirect(verdict.url)
        elif isinstance(verdict, Refused):
            await self.refuse(verdict)
        else:
            return verdict
        return None

    def _asked(self) -> Asked:
        who = identity.visitor(self, self.services.context.policy)
        address = self.settings["dashboard_front"].address(self.request)
        self._raw = raw = capture.raw_request(self, who.user)
        return Asked(who, raw, self.request.full_url(), address, logins.address(self))

    def raw_request(self) -> RawRequest:
        """Return the request, unfiltered. It is read once, because the page's header needs it too."""
        return self._raw or super().raw_request()

    async def _visited(self, admitted: Admitted) -> None:
        self._visit = visit = admitted.visit
        try:
            await self._show(admitted.dashboard, visit)
        finally:
            visit.presence.rendered()

    async def _show(self, dashboard: Dashboard, visit: Visit) -> None:
        run = await self._opened(dashboard, visit)
        if run is None:
            return
        pieces = self._begun(run, visit)
        self.page_start = visit.start
        try:
            if self._sending:
                await asyncio.wait_for(self._sending, STALLED)
            async for piece in pieces:
                if not piece:
                    continue
                self.write(piece)
                await asyncio.wait_for(self.flush(), STALLED)
        except (StreamClosedError, TimeoutError):
            self.services.spawn(run.close())
            self.detach().close()  # the browser may still be connected, but reads nothing
            self._has_left = True
        finally:
            outcome = self._outcome(run)
            self.services.meter.page(visit.start, outcome, self.request.request_time())
            if outcome == "shown":
                dashboard.shown()

    def _begun(self, run: Run, visit: Visit) -> AsyncIterator[str]:
        """Return the pieces of the page that are not sent yet."""
        if self._pieces is None:
            self._set_headers()
            self._pieces = self._html(run, visit)
        return self._pieces

    async def _greet(self, visit: Visit, run: Run) -> None:
        """Send the beginning of a page that has one, without a pause: the kernel has no visitor yet."""
        self._run = run
        self.write(await anext(self._begun(run, visit)))
        self._sending = self.flush()
        self.page_start = visit.start

    def _outcome(self, run: Run) -> str:
        """Return how a page ended, for the operator."""
        if self._has_left:
            return "left"
        return "login" if run.needs_login else "failed" if run.failed else "shown"

    async def _opened(self, dashboard: Dashboard, visit: Visit) -> Run | None:
        """Return the run of a page; None if it could not begin, and the visitor has already been answered."""
        try:
            with self.services.occupancy.arriving(visit):
                self._run = run = await dashboard.open(visit, partial(self._greet, visit))
            await run.spawned(PATIENCE)
        except TooManyPages as error:
            await self.refuse(admission.for_now(error.status))
        except Exception as error:
            await self._report(visit, error)
        else:
            return run
        return None

    async def _report(self, visit: Visit, error: Exception) -> None:
        """End a run that could not begin, and tell the visitor the id under which the log says why."""
        if self._run:
            self.services.spawn(self._run.close())  # otherwise it would count as an open page for ever
        if self._has_left:
            return
        error_id = ""
        if not self.services.traffic.closed:  # what fails while a server ends is not a fault of the page
            place = f"{visit.notebook}, for {visit.who}: it could not be opened"
            error_id = self.services.incidents.failed(place, error, text=reason(error))
        if self._sending:
            self.services.meter.page(visit.start, "failed", self.request.request_time())
            await self.finish(BROKEN.format(error_id and f" {told(error_id)}"))
        elif error_id:
            await self.fail(500, error_id)
        else:
            await self.refuse(admission.for_now(503))

    async def _html(self, run: Run, visit: Visit) -> AsyncIterator[str]:
        """Yield the page with our script, and with the HTML that covers it if one of its cells needs a login."""
        options = self.services.options
        beat = options.voila.http_keep_alive_timeout
        keeps = self.services.store is not None
        script = page_script.script(options.limits.max_upload, beat, tab=keeps)
        if keeps and run.kernel:
            theme = run.blueprint.resources.get("theme")
            script = page_script.told(script, f"{self.base_url}api/app-meta/tab/{run.kernel.id}", theme)
        pieces = headers.filled(run.html(beat), headers.header(self, visit.notebook))
        async for piece in page_script.added(pieces, script):
            yield rebased(piece, options.page_base, self.base_url)
        yield outbox.markup(visit.outbox.take())
        yield bar.html(self, run.kernel.id if run.kernel else "")
        if run.needs_login:
            yield logins.page(self, visit.asked.login, run.needs_login, is_hosted=bool(options.page_base))

    def on_finish(self) -> None:
        """Count a request that got no page."""
        if not self.page_start and self.get_status() >= 400:
            self.services.meter.refused(self.get_status())
        super().on_finish()

    def _set_headers(self) -> None:
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "same-origin")
        _ = self.xsrf_token  # the first request of a page's script needs it

    def on_connection_close(self) -> None:
        """End the visit of a visitor who left before the page was complete."""
        self._has_left = True
        if self._run and self._visit and not self._visit.presence.sockets:
            self.services.spawn(self._run.close())


class IndexHandler(Handler):
    """The dashboards that a visitor may see."""

    is_seen = True

    def initialize(self, entries: Callable[[], Awaitable[list[Entry]]]) -> None:
        """Take the function that lists the dashboards."""
        self._entries = entries

    async def prepare(self, *, _redirect_to_login: bool = True) -> None:
        """Redirect to the list's one path, or else authenticate."""
        if not self.has_moved("/" + self.request.path.strip("/")):
            await super().prepare(_redirect_to_login=_redirect_to_login)

    @web.authenticated
    async def get(self) -> None:
        """Show the list."""
        found = [(entry, self.url_of(quote(entry.path))) for entry in await self._entries()]
        seen = await admission.listed(self.services, self.raw_request(), found)
        shown = await asyncio.to_thread(lambda: [self._card(entry) for entry, _ in seen])
        self.set_header("Cache-Control", "no-store")
        await self.finish(self.shown("index.html", dashboards=shown, **headers.who(self)))

    head = get  # load balancers use HEAD; tornado sends the answer without its body

    def _card(self, entry: Entry) -> dict[str, str | bool]:
        url, notebook = url_path_join(self.base_url, quote(entry.path)), entry.notebook
        shown = {"url": url, "title": title(notebook), "lead": lead(notebook), "path": entry.path.strip("/")}
        return {**shown, "is_available": entry.is_available}
