"""Renderers: handlers that answer a visitor with a page, for which the server runs a notebook's cells.

1. A page is believed only while the task of its own handler runs, because jupyter_server's CallContext also reaches
   background tasks that a visitor's request happened to start.
2. A renderer's client is stamped only while its handler is at work, because a renderer may keep the client for its next
   visitor.
"""

from __future__ import annotations

import asyncio
import dataclasses
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from jupyter_server import CallContext
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from tornado.websocket import WebSocketHandler

from ..model import SessionInfo
from ..policy import Page, RawRequest
from . import capture, identity
from .context import StampingContext
from .messages.objects import Json
from .messages.stamps import Stamps
from .protocols import Kernel, key_of


def working_handler() -> JupyterHandler | None:
    """Return the handler whose own task is running; None in tasks that it started, and elsewhere."""
    handler: JupyterHandler | None = CallContext.get(CallContext.JUPYTER_HANDLER)
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    frame = getattr(task.get_coro() if task else None, "cr_frame", None)
    # tornado runs each handler in a task of its own, whose coroutine is handler._execute.
    owner = frame.f_locals.get("self") if frame and frame.f_code.co_name == "_execute" else None
    return handler if handler is not None and owner is handler else None


def note_opener(kernel_id: str | None, context: StampingContext) -> tuple[RawRequest, str] | None:
    """Note the page for which a kernel is about to start; return its request and identity, if there is one."""
    handler = working_handler()
    if kernel_id is None or handler is None or handler.request.method != "GET":
        return None
    if isinstance(handler, APIHandler | WebSocketHandler):
        return None
    visitor = identity.visitor(handler, context.policy)
    path = next(iter(handler.path_args), None)
    notebook = path if isinstance(path, str) and path else None
    context.origins.render(kernel_id, visitor.key, _page_of(handler), handler, notebook)
    return capture.raw_request(handler, visitor.user), visitor.key


def _page_of(handler: JupyterHandler) -> Page:
    params = {name: str(value) for name, value in handler.path_kwargs.items() if value is not None}
    return Page(handler.request.full_url(), params, "run")


class Rendering:
    """Stamps the messages of a page's renderer, as long as its handler is at work."""

    def __init__(
        self,
        context: StampingContext,
        kernel_id: str,
        identity: str,
        make_stamps: Callable[[Mapping[str, Any]], Stamps],
        handler: JupyterHandler,
    ) -> None:
        self._context, self._kernel_id, self._identity = context, kernel_id, identity
        self._make_stamps, self._handler = make_stamps, weakref.ref(handler)
        self._meta: Mapping[str, Any] | None = None

    def message(self, msg: Json) -> Json:
        """Return the message with its stamp, if it is to have one."""
        if not _is_at_work(self._handler()):
            self._context.note(None, self._kernel_id, msg.get("header"))
            return msg
        meta = self._context.origins.meta(self._kernel_id, self._identity)
        if meta != self._meta:  # a client may be made before the deployer's fields are known
            self._meta, self._stamps = meta, self._make_stamps(meta)
        return self._stamps.noted(msg)


def rendering(kernel: Kernel, context: StampingContext) -> Rendering | None:
    """Return the stamps of a client that a page's renderer makes for a kernel; None for any other client."""
    handler: JupyterHandler | None = CallContext.get(CallContext.JUPYTER_HANDLER)
    kernel_id: str | None = getattr(kernel, "kernel_id", None)
    if handler is None or kernel_id is None:
        return None
    visitor = identity.visitor(handler, context.policy)
    if not (_renders(handler, kernel_id, context) or _continues(handler, kernel_id, visitor.key, context)):
        return None
    key = key_of(kernel, kernel.session)
    raw, info = capture.raw_request(handler, visitor.user), SessionInfo(kernel_id=kernel_id)

    def make_stamps(meta: Mapping[str, Any]) -> Stamps:
        return Stamps(context, key, dataclasses.replace(raw, meta=meta), visitor.key, info)

    return Rendering(context, kernel_id, visitor.key, make_stamps, handler)


def _renders(handler: JupyterHandler, kernel_id: str, context: StampingContext) -> bool:
    """Whether a handler started this kernel and is still at work on its page."""
    return context.origins.opener(kernel_id) is handler and _is_at_work(handler)


def _is_at_work(handler: JupyterHandler | None) -> bool:
    """Whether a handler still answers its visitor."""
    if isinstance(handler, WebSocketHandler):
        return handler.ws_connection is not None
    return handler is not None and not handler._finished


def _continues(handler: JupyterHandler, kernel_id: str, identity_key: str, context: StampingContext) -> bool:
    """Whether a handler is the socket over which a rendered page runs its own cells (progressive rendering)."""
    own = isinstance(handler, WebSocketHandler) and handler.path_kwargs.get("kernel_id") == kernel_id
    return (
        own and context.origins.mode(kernel_id) == "run" and context.origins.page(kernel_id, identity_key) is not None
    )
