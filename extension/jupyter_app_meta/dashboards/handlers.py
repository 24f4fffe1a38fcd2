"""The routes of a dashboard server: pages, their kernels' routes, and the index.

1. A page's route decides who may see it before anything is started.
2. Every route of a kernel first asks whether the kernel is this visitor's, and they may still see
   its page. To anybody else it answers as if there were no such kernel: 403, with the same body.
3. No route hands out request data, and an error says nothing but its status.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from jinja2 import Environment, PackageLoader
from jupyter_client.jsonutil import json_default
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.iostream import StreamClosedError
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

from ..model import HTTPRequest
from ..policy import Page, RawRequest
from ..server import capture, identity
from . import hooks
from .dashboard import Dashboard, Settings
from .hooks import OnError
from .routes import is_devious
from .run import Run
from .services import Services
from .titles import title
from .visits import Visit

PATIENCE = 10
"""Seconds without anything to send, after which a page gets a sign of life: proxies give up on silence."""

ALLOWED = ("comm_open", "comm_close", "comm_msg", "comm_info_request", "kernel_info_request")
"""What a visitor's browser may say to a kernel, on whatever channel."""

_templates = Environment(loader=PackageLoader("jupyter_app_meta.dashboards", "pages"), autoescape=True)


class Source(Protocol):
    """Where a route's dashboards come from."""

    settings: Settings

    def find(self, params: Mapping[str, str]) -> Dashboard | None:
        """Return the dashboard of a URL's parameters, None where there is none."""

    def is_plain(self, params: Mapping[str, str]) -> bool:
        """Whether these parameters could mean a dashboard."""

    def entries(self) -> list[Entry]:
        """List what can be opened without knowing a parameter."""


def render(name: str, **values: Any) -> str:
    """Return one of our own pages."""
    return _templates.get_template(name).render(**values)


class Entry(NamedTuple):
    """A dashboard in the index."""

    path: str
    params: dict[str, str]
    notebook: Path
    settings: Settings


class Handler(JupyterHandler):
    """What all routes have in common: the visitor, the request as the policy lets it through, and error pages."""

    @property
    def services(self) -> Services:
        """What all dashboards of this server share."""
        found: Services = self.settings["dashboard_services"]
        return found

    def raw_request(self) -> RawRequest:
        """Return the request, unfiltered."""
        return capture.raw_request(self, identity.visitor(self, self.services.desk.policy).user)

    def policy_request(self, raw: RawRequest, page: Page | None = None) -> HTTPRequest:
        """Return what the deployer's functions and the kernel may know of a request."""
        return self.services.desk.policy.request(raw, page, dashboard=True)

    async def prepare(self, *, _redirect_to_login: bool = True) -> None:
        """Refuse paths that hide a slash, then authenticate."""
        if is_devious(self.request.path):
            raise web.HTTPError(404)
        await super().prepare(_redirect_to_login=_redirect_to_login)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Show an error page that says nothing but the status; the log knows more."""
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.finish(error_page(status_code, self.base_url))

    async def fail(self, status: int) -> None:
        """Answer with the deployer's own error page, or ours."""
        on_error: OnError | None = self.settings["dashboard_on_error"]
        known = self.policy_request(self.raw_request()) if self.current_user else None
        own = await hooks.page(on_error, status, known, self.services.log)
        self.set_status(status)
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        await self.finish(own if own is not None else error_page(status, self.base_url))


def error_page(status: int, base_url: str) -> str:
    """Return our own error page."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Error"
    return render("error.html", status=status, phrase=phrase, base_url=base_url)


class PageHandler(Handler):
    """A dashboard's page."""

    def initialize(self, source: Source) -> None:
        """Take what finds the dashboard of a URL's parameters."""
        self._source = source
        self._visit: Visit | None = None
        self._run: Run | None = None

    @web.authenticated
    async def get(self, **params: str) -> None:
        """Show the dashboard, as it comes."""
        visit = await self._admitted(params)
        if visit is None:
            return
        self._visit = visit
        try:
            with self.services.traffic.page():
                await self._show(visit)
        finally:
            visit.rendering = False
            visit.touch()

    @web.authenticated
    async def head(self, **params: str) -> None:
        """Say whether there is a page for this visitor, and start nothing."""
        if await self._admitted(params):
            self._set_headers()

    async def _admitted(self, params: dict[str, str]) -> Visit | None:
        """Return the visit that may begin, None where the answer is given already."""
        services, settings = self.services, self._source.settings
        if not self._source.is_plain(params):
            await self.fail(404)
            return None
        who = identity.visitor(self, services.desk.policy)
        page = Page(self.request.full_url(), params, "run")
        raw = capture.raw_request(self, who.user)
        request = self.policy_request(raw, page)
        verdict = await hooks.verdict(settings.authorize, request, services.log)
        dashboard = self._source.find(params)
        if isinstance(verdict, str):
            self.redirect(verdict)
        elif not verdict:
            await self.fail(403)
        elif dashboard is None:
            await self.fail(404)
        else:
            raw = dataclasses.replace(raw, meta=await hooks.facts(settings.meta, request, services.log))
            return Visit(dashboard, who, raw, page)
        return None

    async def _show(self, visit: Visit) -> None:
        try:
            self._run = run = await visit.dashboard.open(visit)
            await run.spawned(PATIENCE)
        except Exception as error:
            self.services.log.error("%s could not be opened (%s).", visit.dashboard.notebook.name, type(error).__name__)
            self.services.log.debug("It failed with this:", exc_info=True)
            await self.fail(500)
            return
        self._set_headers()
        with suppress(StreamClosedError):  # the visitor left
            async for piece in run.html(PATIENCE):
                self.write(piece)
                await self.flush()

    def _set_headers(self) -> None:
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "same-origin")

    def on_connection_close(self) -> None:
        """End the visit of a visitor who left before the page was complete."""
        if self._run and self._visit and not self._visit.sockets:
            self.services.spawn(self._run.close())


class KernelRoute(Handler):
    """A route of one kernel: for the visitor whose page it runs, and nobody else."""

    async def visit(self, kernel_id: str) -> Visit:
        """Return the visit that has this kernel; 403 to anybody but its visitor."""
        services = self.services
        who = identity.visitor(self, services.desk.policy)
        visit = services.visits.of(kernel_id, who)
        if visit is None or not await self._may_still(visit):
            raise web.HTTPError(403)
        return visit

    async def _may_still(self, visit: Visit) -> bool:
        request = self.policy_request(self.raw_request(), visit.page)
        return await hooks.verdict(visit.dashboard.settings.authorize, request, self.services.log) is True


class KernelHandler(KernelRoute):
    """What a page's script asks of its kernel before it connects, and how it ends it."""

    @web.authenticated
    async def get(self, kernel_id: str) -> None:
        """Return the kernel's model, as jupyter_server has it."""
        await self.visit(kernel_id)
        self.set_header("Content-Type", "application/json")
        await self.finish(json.dumps(self.services.kernels.kernel_model(kernel_id), default=json_default))

    @web.authenticated
    async def delete(self, kernel_id: str) -> None:
        """End the kernel."""
        await self.visit(kernel_id)
        await self.services.visits.end(kernel_id)
        self.set_status(204)


class ShutdownHandler(KernelRoute):
    """What a page's script posts as the page closes."""

    def check_xsrf_cookie(self) -> None:
        """A closing page has no token to send: that it comes from here is enough, and that the kernel is its own."""
        if not self.check_origin():
            raise web.HTTPError(403)

    @web.authenticated
    async def post(self, kernel_id: str) -> None:
        """End the kernel."""
        await self.visit(kernel_id)
        self.services.spawn(self.services.visits.end(kernel_id))
        self.set_status(204)


class ChannelsHandler(VoilaKernelWebsocketHandler, KernelRoute):  # type: ignore[misc]  # voila is not typed
    """The WebSocket between a page and its kernel."""

    _visit: Visit | None = None

    async def pre_get(self) -> None:
        """Let nobody in but the visitor whose page the kernel runs."""
        visit = await self.visit(self.kernel_id)
        await super().pre_get()
        self._confine()
        self._visit = visit

    def _confine(self) -> None:
        """Send on what was checked, and not bytes that the kernel might read in another way."""
        session = self.connection.session
        send_raw = session.send_raw

        def checked(stream: Any, parts: list[Any], *args: Any, **kwargs: Any) -> Any:
            header = json.loads(bytes(parts[0]).decode())
            if header["msg_type"] not in ALLOWED:
                raise ValueError("a message of a type that visitors may not send")
            return send_raw(stream, [json.dumps(header).encode(), *parts[1:]], *args, **kwargs)

        session.send_raw = checked

    async def open(self, kernel_id: str) -> None:
        """Count the socket as the page's."""
        if self._visit:
            self._visit.sockets.add(self)
        await super().open(kernel_id)

    def on_close(self) -> None:
        """Note since when the page is away."""
        if self._visit:
            self._visit.sockets.discard(self)
            self._visit.connected = True
            self._visit.touch()
        super().on_close()


class IndexHandler(Handler):
    """The dashboards that a visitor may see."""

    def initialize(self, entries: Callable[[], list[Entry]]) -> None:
        """Take the function that lists what there is."""
        self._entries = entries

    @web.authenticated
    async def get(self) -> None:
        """Show the list."""
        raw = self.raw_request()
        shown = []
        for path, params, notebook, settings in self._entries():
            url = url_path_join(self.base_url, path)
            page = Page(f"{self.request.protocol}://{self.request.host}{url}", params, "run")
            if await hooks.verdict(settings.authorize, self.policy_request(raw, page), self.services.log) is True:
                shown.append({"url": url, "title": title(notebook), "path": path.strip("/")})
        self.set_header("Cache-Control", "no-store")
        await self.finish(render("index.html", dashboards=shown, base_url=self.base_url, user=self._name()))

    def _name(self) -> str | None:
        user = self.policy_request(self.raw_request()).user
        return (user.display_name or user.username) if user and user.is_authenticated else None


class NotFoundHandler(Handler):
    """Everything else, also for those who are not logged in."""

    async def prepare(self, *, _redirect_to_login: bool = True) -> None:
        """Answer 404 to whatever was asked."""
        raise web.HTTPError(404)
