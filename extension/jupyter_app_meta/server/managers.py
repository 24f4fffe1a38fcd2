"""Wraps the server's kernel and session managers: where kernels start, and who opens notebooks.

Everything is wrapped on the instances that the server uses, once, and calls what was there. A
page is believed only while the very task of its handler is running: jupyter_server's CallContext
also reaches the background tasks that a visitor's request happened to start.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import secrets
import weakref
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any

from jupyter_server import CallContext
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.gateway.managers import GatewayKernelManager
from tornado.websocket import WebSocketHandler

from .. import queries, wire
from ..model import SessionInfo
from ..policy import Page, RawRequest
from . import capture, identity
from .execution import ForWhoAsked
from .messages.stamps import Desk, Json, Stamps
from .pages.addresses import Address
from .stamping import KEY, harmless, stamp_client

MARK = "_app_meta_wrapped"


def wrap_kernel_manager(manager: Any, desk: Desk) -> None:
    """Wrap what makes a server's kernels, and those that it has already; a second call changes nothing."""
    if getattr(manager, MARK, False):
        return
    setattr(manager, MARK, True)
    make = manager.kernel_manager_factory

    @wraps(make)
    def factory(*args: Any, **kwargs: Any) -> Any:
        return _adopt(make(*args, **kwargs), desk)

    manager.kernel_manager_factory = factory
    for kernel_id in manager.list_kernel_ids():
        _adopt(manager.get_kernel(kernel_id), desk)


def _adopt(kernel: Any, desk: Desk) -> Any:
    """Wrap one kernel's manager: its start and its clients."""
    if getattr(kernel, MARK, False):
        return kernel
    setattr(kernel, MARK, True)
    start, client = kernel.start_kernel, kernel.client

    @wraps(start)
    def start_kernel(*args: Any, **kwargs: Any) -> Any:
        kwargs = _start_arguments(kernel, desk, kwargs)
        opened = None
        with harmless(desk.log):
            opened = _note_opener(kwargs.get("kernel_id"), desk)
        if opened and desk.facts and inspect.iscoroutinefunction(start):
            return _with_facts(start(*args, **kwargs), opened, kwargs["kernel_id"])
        return start(*args, **kwargs)

    @wraps(client)
    def make_client(*args: Any, **kwargs: Any) -> Any:
        made = client(*args, **kwargs)
        with harmless(desk.log):
            return stamp_client(made, ForWhoAsked(desk, kernel.kernel_id, _origin(kernel, desk)))
        return made

    async def _with_facts(starting: Awaitable[Any], opened: tuple[RawRequest, str], kernel_id: str) -> Any:
        result = await starting
        with harmless(desk.log):
            raw, key = opened
            desk.origins.add_facts(kernel_id, (await desk.with_facts(raw, kernel_id, key)).meta)
        return result

    kernel.start_kernel, kernel.client = start_kernel, make_client
    return kernel


def _start_arguments(kernel: Any, desk: Desk, kwargs: dict[str, Any]) -> dict[str, Any]:
    env = kwargs.get("env")
    if env is not None:
        kwargs = {**kwargs, "env": clean_environment(env, desk)}
    if isinstance(kernel, GatewayKernelManager):
        # The gateway keeps its kernel's Session key to itself, so the kernel gets one of ours.
        key = _Unshown(secrets.token_hex(32))
        setattr(kernel, KEY, key.encode())
        kwargs = {**kwargs, "env": {**(kwargs.get("env") or {}), wire.KEY_VARIABLE: key}}
    return kwargs


class _Unshown(str):
    """A text that no log shows: a gateway's kernel manager logs the arguments of each start."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def clean_environment(env: Mapping[str, str], desk: Desk) -> Mapping[str, str]:
    """Return a kernel's environment in which Voila's copies of the URL have no credentials."""
    secret, unsafe = desk.policy.secret_query, desk.policy.unsafe_query
    changed = {}
    if url := env.get("VOILA_REQUEST_URL"):
        changed["VOILA_REQUEST_URL"] = queries.without_secrets(url, secret, unsafe)
    if query := env.get("QUERY_STRING"):
        changed["QUERY_STRING"] = queries.without_secrets(f"?{query}", secret, unsafe).removeprefix("?")
    return {**env, **changed} if changed else env


def working_handler() -> JupyterHandler | None:
    """Return the handler whose own task is running; None in tasks that it started, and elsewhere."""
    handler = CallContext.get(CallContext.JUPYTER_HANDLER)
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    frame = getattr(task.get_coro() if task else None, "cr_frame", None)
    # tornado runs each handler in a task of its own, whose coroutine is handler._execute.
    owner = frame.f_locals.get("self") if frame and frame.f_code.co_name == "_execute" else None
    return handler if handler is not None and owner is handler else None


def _note_opener(kernel_id: str | None, desk: Desk) -> tuple[RawRequest, str] | None:
    """Note the page for which a kernel is about to be started; return its request and identity, if there is one."""
    handler = working_handler()
    if kernel_id is None or handler is None or handler.request.method != "GET":
        return None
    if isinstance(handler, APIHandler | WebSocketHandler):
        return None
    who = identity.visitor(handler, desk.policy)
    path = next(iter(handler.path_args), None)
    desk.origins.render(
        kernel_id, who.key, _own_page(handler), handler, path if isinstance(path, str) and path else None
    )
    return capture.raw_request(handler, who.user), who.key


def _own_page(handler: JupyterHandler) -> Page:
    params = {name: str(value) for name, value in handler.path_kwargs.items() if value is not None}
    return Page(handler.request.full_url(), params, "run")


class _Rendering:
    """Stamps what a page's renderer sends, for as long as its handler is at work."""

    def __init__(
        self,
        desk: Desk,
        kernel_id: str,
        identity: str,
        stamps: Callable[[Mapping[str, Any]], Stamps],
        handler: JupyterHandler,
    ) -> None:
        self._desk, self._kernel_id, self._identity = desk, kernel_id, identity
        self._make, self._handler = stamps, weakref.ref(handler)
        self._facts: Mapping[str, Any] | None = None

    def message(self, msg: Json) -> Json:
        """Return the message with its stamp, if it is to have one."""
        if not _at_work(self._handler()):
            self._desk.note(None, self._kernel_id, msg.get("header"))
            return msg
        facts = self._desk.origins.facts(self._kernel_id, self._identity)
        if facts != self._facts:  # a client may be made before they are there
            self._facts, self._stamps = facts, self._make(facts)
        return self._stamps.noted(msg)


def _origin(kernel: Any, desk: Desk) -> _Rendering | None:
    """Return the stamps for a client that a page's renderer makes; None for others."""
    handler = CallContext.get(CallContext.JUPYTER_HANDLER)
    kernel_id = getattr(kernel, "kernel_id", None)
    if handler is None or kernel_id is None:
        return None
    who = identity.visitor(handler, desk.policy)
    if not (_renders(handler, kernel_id, desk) or _continues(handler, kernel_id, who.key, desk)):
        return None
    key = getattr(kernel, KEY, None) or kernel.session.key
    raw, session = capture.raw_request(handler, who.user), SessionInfo(kernel_id=kernel_id)

    def stamps(facts: Mapping[str, Any]) -> Stamps:
        return Stamps(desk, wire.derive_key(key), dataclasses.replace(raw, meta=facts), who.key, session)

    return _Rendering(desk, kernel_id, who.key, stamps, handler)


def _renders(handler: JupyterHandler, kernel_id: str, desk: Desk) -> bool:
    """Whether a handler started this kernel and is still at work on its page."""
    return desk.origins.opener(kernel_id) is handler and _at_work(handler)


def _at_work(handler: JupyterHandler | None) -> bool:
    """Whether a handler still answers its visitor: a renderer may keep its client for the next one."""
    if isinstance(handler, WebSocketHandler):
        return handler.ws_connection is not None
    return handler is not None and not handler._finished


def _continues(handler: JupyterHandler, kernel_id: str, identity_key: str, desk: Desk) -> bool:
    """Whether a handler is the socket over which a rendered page has its own cells run (progressive rendering)."""
    own = isinstance(handler, WebSocketHandler) and handler.path_kwargs.get("kernel_id") == kernel_id
    return own and desk.origins.mode(kernel_id) == "run" and desk.origins.page(kernel_id, identity_key) is not None


def wrap_session_manager(manager: Any, desk: Desk) -> None:
    """Wrap the calls that open and look up sessions; a second call changes nothing."""
    if getattr(manager, MARK, False):
        return
    setattr(manager, MARK, True)
    for name in ("create_session", "get_session"):
        setattr(manager, name, _watched(getattr(manager, name), desk, _note_session))
    manager.list_sessions = _watched(manager.list_sessions, desk, _note_sessions)


def _watched(method: Callable[..., Any], desk: Desk, note: Callable[[Any, Desk], None]) -> Callable[..., Any]:
    @wraps(method)
    async def watched(*args: Any, **kwargs: Any) -> Any:
        result = await method(*args, **kwargs)
        try:
            note(result, desk)
        except Exception as error:
            desk.log.warning("jupyter-app-meta: a session's page stays unknown (%s).", type(error).__name__)
        return result

    return watched


def _note_session(model: Mapping[str, Any], desk: Desk) -> None:
    """Note a session that a call opens or asks for by name; its page is the call's Referer."""
    kernel_id, path = model["kernel"]["id"], model.get("path")
    desk.origins.name(kernel_id, model["id"], path)
    handler = working_handler()
    page = _referer(handler) if handler else None
    if handler and page and (page.names([path]) or not page.is_shell):
        _see(kernel_id, page, handler, desk)


def _note_sessions(models: list[Mapping[str, Any]], desk: Desk) -> None:
    """Note all sessions; a page that asks for all of them belongs to the one that its address names."""
    for model in models:
        desk.origins.name(model["kernel"]["id"], model["id"], model.get("path"))
    handler = working_handler()
    page = _referer(handler) if handler else None
    path = page.names(model.get("path") for model in models) if page else None
    kernels = {model["kernel"]["id"] for model in models if path and model.get("path") == path}
    if handler and page and len(kernels) == 1:
        _see(kernels.pop(), page, handler, desk)


def _see(kernel_id: str, page: Address, handler: JupyterHandler, desk: Desk) -> None:
    # Lab drops the query from its address once it has started; Notebook keeps it.
    stripped = page.is_lab and not page.has_query
    desk.origins.see(kernel_id, identity.visitor(handler, desk.policy).key, Page(page.url), stripped=stripped)


def _referer(handler: JupyterHandler) -> Address | None:
    """Return the page that made a call, where its own browser says so and it is of this server."""
    headers = handler.request.headers
    if headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return None
    return Address.of(headers.get("Referer", ""), handler.request.host, handler.base_url)
