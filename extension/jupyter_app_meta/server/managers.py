"""Kernel managers: the methods of the server's managers that start kernels and make kernel clients are wrapped.

The instances that the server uses are wrapped, once each. The wrappers call the original methods.
"""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any, Protocol

from .. import wire
from ..policy import RawRequest, urls
from .context import StampingContext
from .execution import Attributing
from .links.control import is_remote
from .links.processes import noting_restarts
from .messages.clients import wrap_client
from .protocols import KEY, Client
from .renderers import note_opener, rendering
from .wrapping import harmless, is_first


class Kernels(Protocol):
    """A server's manager of all kernels."""

    kernel_manager_factory: Callable[..., object]

    def list_kernel_ids(self) -> list[str]:
        """Return the ids of the kernels that run."""

    def get_kernel(self, kernel_id: str) -> object:
        """Return the manager of one kernel."""


def wrap_kernel_manager(manager: Kernels, context: StampingContext) -> None:
    """Wrap what makes a server's kernels, and the kernels that the server already has; idempotent."""
    if not is_first(manager):
        return
    make = manager.kernel_manager_factory

    @wraps(make)
    def factory(*args: object, **kwargs: object) -> object:
        return wrap_kernel(make(*args, **kwargs), context)

    manager.kernel_manager_factory = factory
    for kernel_id in manager.list_kernel_ids():
        wrap_kernel(manager.get_kernel(kernel_id), context)


def wrap_kernel(kernel: Any, context: StampingContext) -> object:
    """Wrap one kernel's manager: its start and its clients; idempotent."""
    if not is_first(kernel):
        return kernel
    start: Callable[..., Awaitable[object]] = kernel.start_kernel
    client: Callable[..., Client] = kernel.client

    @wraps(start)
    def start_kernel(*args: object, **kwargs: Any) -> object:
        kwargs = _start_arguments(kernel, context, kwargs)
        opened = None
        with harmless(context.log):
            opened = note_opener(kwargs.get("kernel_id"), context)
        if opened and context.meta and inspect.iscoroutinefunction(start):
            return _started_with_meta(start(*args, **kwargs), opened, kwargs["kernel_id"], context)
        return start(*args, **kwargs)

    @wraps(client)
    def make_client(*args: object, **kwargs: object) -> Client:
        made = client(*args, **kwargs)
        with harmless(context.log):
            return wrap_client(made, Attributing(context, kernel.kernel_id, rendering(kernel, context)))
        return made

    kernel.start_kernel, kernel.client = start_kernel, make_client
    if is_remote(kernel):
        kernel.restart_kernel = noting_restarts(kernel, kernel.restart_kernel)
    return kernel


async def _started_with_meta(
    starting: Awaitable[object], opened: tuple[RawRequest, str], kernel_id: str, context: StampingContext
) -> object:
    """Wait until a kernel has started, and note the deployer's own fields of the page that it renders."""
    result = await starting
    with harmless(context.log):
        raw, key = opened
        context.origins.add_meta(kernel_id, (await context.with_meta(raw, kernel_id, key)).meta)
    return result


def _start_arguments(kernel: object, context: StampingContext, kwargs: dict[str, Any]) -> dict[str, Any]:
    env: dict[str, str] | None = kwargs.get("env")
    if env is not None:
        kwargs = {**kwargs, "env": clean_environment(env, context)}
    if is_remote(kernel):
        # The gateway keeps its kernel's Session key to itself, so the kernel gets a key of ours.
        key = _Hidden(secrets.token_hex(32))
        setattr(kernel, KEY, key.encode())
        kwargs = {**kwargs, "env": {**(kwargs.get("env") or {}), wire.KEY_VARIABLE: key}}
    return kwargs


class _Hidden(str):
    """A string whose repr hides it: a gateway's kernel manager logs the arguments of each start."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def clean_environment(env: Mapping[str, str], context: StampingContext) -> Mapping[str, str]:
    """Return a kernel's environment without the credentials in Voila's copies of the URL."""
    secret, unsafe = context.policy.secret_query, context.policy.unsafe_query
    changed = {}
    if url := env.get("VOILA_REQUEST_URL"):
        changed["VOILA_REQUEST_URL"] = urls.without_secrets(url, secret, unsafe)
    if query := env.get("QUERY_STRING"):
        changed["QUERY_STRING"] = urls.without_secrets(f"?{query}", secret, unsafe).removeprefix("?")
    return {**env, **changed} if changed else env
