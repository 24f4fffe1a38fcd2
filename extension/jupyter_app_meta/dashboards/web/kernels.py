"""The routes of a page's script: its kernel's model, channels and end.

Each route first checks that the kernel belongs to this visitor, and that the visitor may still see its page. It answers
any other visitor as if the kernel did not exist: 403, with the same body.
"""

from __future__ import annotations

import json
from typing import Any

from jupyter_client.jsonutil import json_default
from jupyter_server.services.kernels.websocket import KernelWebsocketHandler
from tornado import web
from tornado.websocket import WebSocketClosedError

from ...server import capture, identity
from ...server.messages.gate import Gate
from ...server.page_connection import PageConnection
from ...state.tabs import Told
from .. import admission
from ..admission import Refused
from ..commands.outbox import Message, frame
from ..visits import Visit
from .base import Handler
from .uploads import Limited

SOCKETS = 8
"""How many sockets one page may have. It needs one, and two for a moment when it reconnects."""

MODEL = ("id", "name", "last_activity", "execution_state", "connections")
"""What a page may know of its kernel. Why the kernel ended is for its author."""


class KernelRoute(Handler):
    """A route of one kernel, for the visitor whose page it runs."""

    unnamed_status = 403

    async def prepare(self, *, _redirect_to_login: bool = False) -> None:
        """Do not redirect to the login: a script cannot use it, and the login's URL would show the kernel's id."""
        await super().prepare(_redirect_to_login=False)

    async def visit(self, kernel_id: str) -> Visit:
        """Return the visit that has this kernel; 403 to any other visitor."""
        who = identity.visitor(self, self.services.context.policy)
        visit = await admission.owned(self.services, kernel_id, who, capture.raw_request(self, who.user))
        if isinstance(visit, Refused):
            await self.refuse(visit)
            raise web.Finish
        return visit


async def attached(visit: Visit) -> None:
    """Have a page's kernel ready for its browser; 404 if it cannot be, because it has ended or does not answer."""
    try:
        if visit.run:
            await visit.run.attach()
    except Exception as error:
        raise web.HTTPError(404) from error


class KernelHandler(KernelRoute):
    """What a page's script asks about its kernel before it connects, and how it ends the kernel."""

    @web.authenticated
    async def get(self, kernel_id: str) -> None:
        """Return the kernel's model in jupyter_server's form."""
        await attached(await self.visit(kernel_id))
        self.set_header("Content-Type", "application/json")
        model = self.services.kernels.kernel_model(kernel_id)
        shown = {name: value for name, value in model.items() if name in MODEL}
        await self.finish(json.dumps(shown, default=json_default))

    @web.authenticated
    async def delete(self, kernel_id: str) -> None:
        """End the kernel."""
        await self.visit(kernel_id)
        await self.services.visits.end(kernel_id)
        self.set_status(204)


class ShutdownHandler(KernelRoute):
    """The request that a page's script posts when the page is closed."""

    def check_xsrf_cookie(self) -> None:
        """Accept an old token from a closing page. Its origin and its own kernel are proof enough."""

    @web.authenticated
    async def post(self, kernel_id: str) -> None:
        """End the kernel."""
        if not self.check_origin():  # the check needs to know the user, so it cannot be earlier
            raise web.HTTPError(403)
        await self.visit(kernel_id)
        self.services.spawn(self.services.visits.end(kernel_id))
        self.set_status(204)


class TabHandler(KernelRoute):
    """What the first script of a page posts: in which tab the page is, and what it says of the browser.

    It posts again when what it says of the browser has changed.
    """

    @web.authenticated
    async def post(self, kernel_id: str) -> None:
        """Note the tab."""
        if not self.check_origin() or self.request.headers.get("Content-Type") != "application/json":
            raise web.HTTPError(403)  # a form of another site can send neither
        visit = await self.visit(kernel_id)
        try:
            told = Told.read(self.request.body)
        except ValueError:
            raise web.HTTPError(400) from None
        visit.browser = told.browser or visit.browser
        if visit.tab.take_turn():
            if self.services.state:
                await self.services.state.copy_tab(kernel_id, visit.asked.raw, visit.visitor.key, told)
            visit.tab.settle(told.tab)
        self.set_status(204)


class CookieHandler(KernelRoute):
    """Where the script of a page fetches the cookies that its kernel sets, with a ticket for each."""

    @web.authenticated
    async def post(self, kernel_id: str) -> None:
        """Set the cookie of a ticket, which no script can read."""
        if not self.check_origin() or self.request.headers.get("Content-Type") != "application/json":
            raise web.HTTPError(403)  # as above
        visit = await self.visit(kernel_id)
        cookie = visit.outbox.redeem(_ticket(self.request.body))
        if cookie is None:
            raise web.HTTPError(404)
        given = {"httponly": True, "secure": self.request.protocol == "https", **self.settings["xsrf_cookie_kwargs"]}
        if cookie.max_age == 0:
            self.clear_cookie(cookie.name, **given)
        else:
            self.set_cookie(cookie.name, cookie.value, max_age=cookie.max_age, **given)
        self.set_status(204)


def _ticket(body: bytes) -> object:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise web.HTTPError(400) from None
    return found.get("ticket") if isinstance(found, dict) else None


class ChannelsHandler(Limited, KernelWebsocketHandler, KernelRoute):
    """The WebSocket between a page and its kernel."""

    connection: PageConnection
    _visit: Visit | None = None
    _gate: Gate | None = None

    async def pre_get(self) -> None:
        """Admit only the visitor whose page the kernel runs, with a few sockets at a time."""
        visit = await self.visit(self.kernel_id)
        if not self.get_argument("session_id", "").isascii():
            raise web.HTTPError(400)  # it becomes a ZeroMQ identity
        if visit.presence.pending + len(visit.presence.sockets) >= SOCKETS:
            raise web.HTTPError(429)
        with visit.presence.joining():
            await attached(visit)
            await super().pre_get()  # type: ignore[no-untyped-call]  # jupyter_server's own
        if self.services.visits.get(self.kernel_id) is not visit:
            raise web.HTTPError(403)  # the page has ended in the meantime
        self._bound(visit)
        self._visit = visit

    def _bound(self, visit: Visit) -> None:
        """Count the page's messages in both directions."""
        accounts = self.services.accounts
        visit.flight = visit.flight or accounts.flight(visit.visitor.key, self.max_message_size)
        self._gate = self.connection.bounded_by(visit.flight)

    async def open(self, kernel_id: str) -> None:
        """Count the socket as the page's."""
        if self._visit is None or self.services.visits.get(kernel_id) is not self._visit:
            self.close(1000, "the page has ended")
            return
        self._visit.presence.sockets.add(self)
        if self._gate and self._visit.has_lost:
            self._gate.close(1013, "the page has lost output; load it again")
            return
        self._visit.outbox.attach(self, self._tell)
        await super().open(kernel_id)  # type: ignore[no-untyped-call]  # as above

    def on_message(self, ws_message: str | bytes) -> None:
        """Pass a message on. An unreadable message ends the connection; the connection's URL stays out of the log."""
        if not self._gate or not self._gate.admits(ws_message):
            return
        if self._visit:
            self._visit.presence.hear()
        try:
            super().on_message(ws_message)  # type: ignore[no-untyped-call]  # as above
        except Exception as error:
            self.log.warning("A page's message could not be read (%s).", type(error).__name__)
            self.close(1007, "a message could not be read")

    def on_too_big(self) -> None:
        """Log the option that allows larger messages, because the visitor's upload is lost."""
        self.log.warning(
            "%s: a message of more than %d bytes was refused; max_upload allows more.",
            self._visit.notebook.name if self._visit else "A page",
            self.max_message_size,
        )

    def write_message(self, message: Any, binary: bool = False) -> Any:
        """Send a message to the browser, unless the browser does not read."""
        return self._gate.writer(super().write_message)(message, binary) if self._gate else None

    def _tell(self, messages: list[Message]) -> bool:
        """Tell the page's script what code in the kernel asks of the page; False if the socket does not take it."""
        try:
            return self.write_message(frame(messages)) is not None
        except WebSocketClosedError:  # the socket is closed, and `on_close` is still to come
            return False

    def on_close(self) -> None:
        """Note since when the page is away. A page that has ended will not come back for its kernel's output."""
        visit, services = self._visit, self.services
        if visit:
            visit.presence.leave(self)
            visit.outbox.detach(self)
        super().on_close()  # type: ignore[no-untyped-call]  # as above
        if services.visits.get(self.kernel_id) is not visit and self.kernel_id in services.kernels:
            services.kernels.stop_buffering(self.kernel_id)
