"""Cells that the server runs for a visitor who asks over HTTP (``POST /api/kernels/<id>/execute``).

The extension that takes such a request (jupyter_server_nbmodel) queues the code. A worker sends the code later, through
a kernel client that all visitors share. Neither of them knows which visitor asked, and their context may be that of an
earlier visitor. So the code itself carries the stamps of its request, because only the code goes all the way from a
request to its message. If an extension copies or changes the code, the stamps are lost, and the message belongs to no
visitor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from typing import TYPE_CHECKING, Any, cast

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado.routing import PathMatches, Rule, RuleRouter
from tornado.web import Application

from ..model import SessionInfo
from . import capture, identity
from .context import StampingContext
from .hooks import Stamper
from .messages.objects import Json
from .messages.stamps import Stamps
from .protocols import Kernel, key_of
from .wrapping import harmless, subclass

if TYPE_CHECKING:
    Handler = APIHandler
else:
    Handler = object

PROBE = "api/kernels/00000000-0000-0000-0000-000000000000/execute"


class Asked(str):
    """Code that a visitor's request asked to run."""

    __slots__ = ("stamps",)
    stamps: Stamps | None

    @classmethod
    def by(cls, stamps: Stamps, code: str) -> Asked:
        """Return the code with the stamps of its request."""
        asked = cls(code)
        asked.stamps = stamps
        return asked

    def take(self) -> Stamps | None:
        """Return the stamps, but only once: if the code is kept and run again, no visitor asked for that run."""
        stamps, self.stamps = self.stamps, None
        return stamps

    def __reduce_ex__(self, protocol: Any) -> tuple[type[str], tuple[str]]:
        """Make copies and pickles plain strings, so that they carry no stamps and nothing of the server is pickled."""
        return str, (str(self),)


class Attributing:
    """Stamps the messages of one of the server's own kernel clients.

    Code is stamped for the request that asked for it. Other messages are stamped for the page that the client renders,
    if any.
    """

    def __init__(self, context: StampingContext, kernel_id: str, page: Stamper | None) -> None:
        self._context, self._kernel_id, self._page = context, kernel_id, page

    def message(self, msg: Json) -> Json:
        """Return the message with its stamp, if it is to have one."""
        content = msg.get("content")
        code = content.get("code") if isinstance(content, dict) else None
        if isinstance(code, Asked):
            msg = {**msg, "content": {**cast(Json, content), "code": str(code)}}
            if stamps := code.take():
                return stamps.noted(msg)
        elif self._page:
            return self._page.message(msg)
        self._context.note(None, self._kernel_id, msg.get("header"))
        return msg


def wrap_execution(app: Application, context: StampingContext) -> None:
    """Wrap those handlers of an application that run code in kernels, so that the code carries its request's stamps."""
    probe = url_path_join(app.settings["base_url"], PROBE)
    for rule in _rules(app.default_router):
        matcher, target = rule.matcher, rule.target
        executes = isinstance(matcher, PathMatches) and "kernel_id" in matcher.regex.groupindex
        if executes and cast(PathMatches, matcher).regex.match(probe) and _is_wrappable(target):
            with harmless(context.log):
                rule.target = subclass(target, AttributingHandler, app_meta_context=context)


def _rules(router: RuleRouter) -> Iterator[Rule]:
    for rule in router.rules:
        if isinstance(rule.target, RuleRouter):
            yield from _rules(rule.target)
        else:
            yield rule


def _is_wrappable(target: Any) -> bool:
    own = isinstance(target, type) and issubclass(target, APIHandler)
    return own and not hasattr(target, "app_meta_context")


class AttributingHandler(Handler):
    """A handler whose code carries the stamps of its request."""

    app_meta_context: StampingContext
    _app_meta_stamps: Stamps | None = None

    async def prepare(self) -> None:  # type: ignore[override]  # tornado gives no arguments
        """Prepare the handler and the stamps of its request."""
        prepared: Awaitable[object] | None = super().prepare()  # the base's method may be synchronous
        if prepared is not None:
            await prepared
        with harmless(self.app_meta_context.log):
            self._app_meta_stamps = await _stamps(self, self.app_meta_context)

    def get_json_body(self, *args: Any, **kwargs: Any) -> Any:
        """Return the body. Its code carries the stamps."""
        body: Any = super().get_json_body(*args, **kwargs)
        with harmless(self.app_meta_context.log):
            code = body.get("code") if isinstance(body, dict) else None
            if isinstance(code, str) and self._app_meta_stamps:
                body["code"] = Asked.by(self._app_meta_stamps, code)
        return body


async def _stamps(handler: APIHandler, context: StampingContext) -> Stamps | None:
    """Return the stamps of an authenticated request to its kernel; None if it asks nothing of a kernel here."""
    kernel_id = handler.path_kwargs.get("kernel_id", "")
    asks = handler.request.method == "POST" and not handler._finished and handler.current_user is not None
    if not asks or kernel_id not in handler.kernel_manager:
        return None
    kernel = cast(Kernel, handler.kernel_manager.get_kernel(kernel_id))
    visitor = identity.visitor(handler, context.policy)
    raw = capture.raw_request(handler, visitor.user)
    if context.meta:
        async with _turn(kernel):
            raw = await context.with_meta(raw, kernel_id, visitor.key)
    return Stamps(context, key_of(kernel, kernel.session), raw, visitor.key, SessionInfo(kernel_id=kernel_id))


def _turn(kernel: Any) -> asyncio.Lock:
    """Return the lock with which requests to a kernel pass in the order of their arrival."""
    if not hasattr(kernel, "app_meta_turn"):
        kernel.app_meta_turn = asyncio.Lock()
    turn: asyncio.Lock = kernel.app_meta_turn
    return turn
