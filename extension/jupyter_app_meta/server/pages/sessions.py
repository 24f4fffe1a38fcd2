"""Jupyter sessions: the server's session manager is wrapped, so that a notebook's name and page become known.

The page is the Referer of a call that opens a session or looks it up. It is believed only of the call's own handler.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from jupyter_server.base.handlers import JupyterHandler

from ...policy import Page
from .. import identity
from ..context import StampingContext
from ..renderers import working_handler
from ..wrapping import is_first
from .addresses import Address

P = ParamSpec("P")
T = TypeVar("T")
Model = Mapping[str, Any]
"""A session as jupyter_server's API has it."""


def wrap_session_manager(manager: Any, context: StampingContext) -> None:
    """Wrap the calls that open and look up sessions; idempotent."""
    if not is_first(manager):
        return
    for name in ("create_session", "get_session"):
        setattr(manager, name, _wrap_call(getattr(manager, name), context, _note_session))
    manager.list_sessions = _wrap_call(manager.list_sessions, context, _note_sessions)


def _wrap_call(
    method: Callable[P, Awaitable[T]], context: StampingContext, note: Callable[[T, StampingContext], None]
) -> Callable[P, Awaitable[T]]:
    @wraps(method)
    async def noted(*args: P.args, **kwargs: P.kwargs) -> T:
        result = await method(*args, **kwargs)
        try:
            note(result, context)
        except Exception as error:
            context.log.warning("jupyter-app-meta: a session's page stays unknown (%s).", type(error).__name__)
        return result

    return noted


def _note_session(model: Model, context: StampingContext) -> None:
    """Note a session that a call opens or names; its page is the call's Referer."""
    kernel_id, path = model["kernel"]["id"], model.get("path")
    context.origins.name(kernel_id, model["id"], path)
    handler = working_handler()
    page = _referer(handler) if handler else None
    if handler and page and (page.names([path]) or not page.is_shell):
        _see(kernel_id, page, handler, context)


def _note_sessions(models: list[Model], context: StampingContext) -> None:
    """Note all sessions. A page that lists them belongs to the session that its address names."""
    for model in models:
        context.origins.name(model["kernel"]["id"], model["id"], model.get("path"))
    handler = working_handler()
    page = _referer(handler) if handler else None
    path = page.names(model.get("path") for model in models) if page else None
    kernels = {model["kernel"]["id"] for model in models if path and model.get("path") == path}
    if handler and page and len(kernels) == 1:
        _see(kernels.pop(), page, handler, context)


def _see(kernel_id: str, page: Address, handler: JupyterHandler, context: StampingContext) -> None:
    # Lab drops the query from its address once it has started; Notebook keeps it.
    stripped = page.is_lab and not page.has_query
    visitor = identity.visitor(handler, context.policy)
    context.origins.see(kernel_id, visitor.key, Page(page.url), stripped=stripped)


def _referer(handler: JupyterHandler) -> Address | None:
    """Return the page that made a call, if the browser says that the page is one of this server's."""
    headers = handler.request.headers
    if headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return None
    return Address.of(headers.get("Referer", ""), handler.request.host, handler.base_url)
