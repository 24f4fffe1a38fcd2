"""Cells that the server runs for somebody who asks over HTTP (``POST /api/kernels/<id>/execute``).

Such an extension queues the code, and a worker that serves everybody sends it later, through a
kernel client that everybody shares. Neither of the two knows who asked; what they run in may still
remember whoever came first. So the code itself carries who asked for it: it is the one thing that
goes all the way from a request to its message. Where it gets lost on the way, nobody asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado.routing import PathMatches, Rule, RuleRouter
from tornado.web import Application

from .. import wire
from ..model import SessionInfo
from . import capture, identity
from .messages.stamps import Desk, Json, Stamps
from .stamping import KEY, Stamper, harmless

PROBE = "api/kernels/00000000-0000-0000-0000-000000000000/execute"


class Asked(str):
    """Code that somebody asked to be run."""

    __slots__ = ("stamps",)
    stamps: Stamps | None

    @classmethod
    def by(cls, stamps: Stamps, code: str) -> Asked:
        """Return the code with the stamps of who asks for it."""
        asked = cls(code)
        asked.stamps = stamps
        return asked

    def take(self) -> Stamps | None:
        """Return the stamps, once: what is kept and run again was asked for by nobody."""
        stamps, self.stamps = self.stamps, None
        return stamps

    def __reduce_ex__(self, protocol: Any) -> tuple[type[str], tuple[str]]:
        """Copies are plain text: nobody asked for those, and nothing of the server is written with them."""
        return str, (str(self),)


class ForWhoAsked:
    """Stamps what a client of the server sends: for who asked for it, else for the page that it renders, if any."""

    def __init__(self, desk: Desk, kernel_id: str, page: Stamper | None) -> None:
        self._desk, self._kernel_id, self._page = desk, kernel_id, page

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
        self._desk.note(None, self._kernel_id, msg.get("header"))
        return msg


def wrap_execution(app: Application, desk: Desk) -> None:
    """Make the handlers of an application that have kernels execute code remember who asked."""
    probe = url_path_join(app.settings["base_url"], PROBE)
    for rule in _rules(app.default_router):
        matcher, target = rule.matcher, rule.target
        executes = isinstance(matcher, PathMatches) and "kernel_id" in matcher.regex.groupindex
        if executes and cast(PathMatches, matcher).regex.match(probe) and _is_wrappable(target):
            with harmless(desk.log):
                rule.target = _attributing(target, desk)


def _rules(router: RuleRouter) -> Iterator[Rule]:
    for rule in router.rules:
        if isinstance(rule.target, RuleRouter):
            yield from _rules(rule.target)
        else:
            yield rule


def _is_wrappable(target: Any) -> bool:
    own = isinstance(target, type) and issubclass(target, APIHandler)
    return own and not hasattr(target, "app_meta_desk")


def _attributing(base: Any, desk: Desk) -> Any:
    """Return a handler class whose code remembers who asked for it."""

    async def prepare(self: Any) -> None:
        prepared = base.prepare(self)
        if prepared is not None:
            await prepared
        with harmless(desk.log):
            self._app_meta_stamps = await _stamps(self, desk)

    def get_json_body(self: Any, *args: Any, **kwargs: Any) -> Any:
        body = base.get_json_body(self, *args, **kwargs)
        with harmless(desk.log):
            code = body.get("code") if isinstance(body, dict) else None
            if isinstance(code, str) and self._app_meta_stamps:
                body["code"] = Asked.by(self._app_meta_stamps, code)
        return body

    names = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    methods = {"_app_meta_stamps": None, "prepare": prepare, "get_json_body": get_json_body}
    return type(base)(base.__name__, (base,), {**names, **methods, "app_meta_desk": desk})


async def _stamps(handler: APIHandler, desk: Desk) -> Stamps | None:
    """Return the stamps of an authenticated request to its kernel; None where it asks nothing of a kernel here."""
    kernel_id = handler.path_kwargs.get("kernel_id", "")
    asks = handler.request.method == "POST" and not handler._finished and handler.current_user is not None
    if not asks or kernel_id not in handler.kernel_manager:
        return None
    kernel = cast(Any, handler.kernel_manager.get_kernel(kernel_id))
    who = identity.visitor(handler, desk.policy)
    raw = capture.raw_request(handler, who.user)
    if desk.facts:
        async with _turn(kernel):
            raw = await desk.with_facts(raw, kernel_id, who.key)
    key = wire.derive_key(getattr(kernel, KEY, None) or kernel.session.key)
    return Stamps(desk, key, raw, who.key, SessionInfo(kernel_id=kernel_id))


def _turn(kernel: Any) -> asyncio.Lock:
    """Return what lets requests to a kernel pass in the order in which they came, however long each one takes."""
    if not hasattr(kernel, "app_meta_turn"):
        kernel.app_meta_turn = asyncio.Lock()
    turn: asyncio.Lock = kernel.app_meta_turn
    return turn
