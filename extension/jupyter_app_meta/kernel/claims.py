"""The claim of a warm kernel: code that is run ahead waits here for its visitor.

1. A cell that the server runs before a visitor arrives has a stamp that says ``pending``. Code of that cell that asks
   for the request waits: in the cell itself, in its tasks and in its pinned threads. No other code waits.
2. The visitor's request comes once, signed, on the control channel: the only channel that a kernel
   reads while a cell waits. A second claim is ignored; a claim for another kernel is refused.
3. A wait ends with NotClaimed, not with None, when the kernel is shut down or a timeout passes.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from .. import wire
from ..errors import BadStamp, NotClaimed
from ..model import AppMeta

GRACE = 3
"""How many seconds an interrupted cell of a page has to end, before its kernel's sockets are closed."""


class BadTimeout(TypeError):
    """A timeout is not a number of seconds."""


class Claim:
    """What a kernel knows of its one visitor, and the code that waits for it."""

    shares_ahead = True  #: Whether shared state may be used before the visitor is there.

    def __init__(self) -> None:
        self._told = threading.Condition()
        self._meta: AppMeta | None = None
        self.grant: str | None = None
        self.earlier_key: bytes | None = None  #: In a fork: the server signed with it for code that ran before.
        self._asked = self._closing = False

    @property
    def is_given(self) -> bool:
        """Whether the kernel has its visitor."""
        return self._meta is not None

    def give(self, meta: AppMeta, grant: str | None = None) -> None:
        """Pass the visitor's request, and the right to its state, to the code that waits. Only the first one counts."""
        with self._told:
            if self._meta is None:
                self._meta, self.grant = meta, grant
            self._told.notify_all()

    def close(self) -> bool:
        """End all waits, because the kernel shuts down. Return whether it runs a dashboard's page."""
        with self._told:
            self._closing = True
            self._told.notify_all()
            return self._asked or self._meta is not None

    def wait(self, kernel_id: str | None, timeout: float | None = None) -> AppMeta:
        """Return the visitor's request; wait at most ``timeout`` seconds. Raises NotClaimed or BadTimeout."""
        limit = check_timeout(timeout)
        with self._told:
            self._asked = True
            self._told.wait_for(lambda: self._meta is not None or self._closing, limit)
        if self._meta is None:
            raise NotClaimed(self._why(timeout))
        if not self.is_for(kernel_id):
            raise NotClaimed("This claim is for another kernel. Restart the kernel.")
        return self._meta

    def is_for(self, kernel_id: str | None) -> bool:
        """Whether the visitor was given this kernel."""
        return self._meta is not None and self._meta.session.kernel_id == kernel_id

    def _why(self, timeout: float | None) -> str:
        if self._closing:
            return "The warm kernel was shut down before a visitor arrived."
        return f"No visitor arrived at this warm kernel within {timeout} seconds."


def check_timeout(timeout: float | None) -> float | None:
    """Return a timeout that a lock accepts; None means no limit. Raises BadTimeout."""
    try:
        seconds = threading.TIMEOUT_MAX if timeout is None else min(float(timeout), threading.TIMEOUT_MAX)
    except (TypeError, ValueError, OverflowError):
        seconds = float("nan")
    if seconds != seconds:
        raise BadTimeout(f"timeout must be a number of seconds or None, not {timeout!r}.")
    return None if timeout is None else seconds


the_claim = Claim()


class _Closing:
    """Handles a kernel's shutdown request. It first ends all waits; the kernel shuts down in any case."""

    def __init__(self, kernel: Any, original: Callable[..., Any]) -> None:
        self._kernel, self.original = kernel, original

    async def __call__(self, *message: Any) -> None:
        with suppress(Exception):
            if the_claim.close():
                await _settle(self._kernel)
        result = self.original(*message)
        if inspect.isawaitable(result):
            await result


def listen(kernel: Any, key: Callable[[], bytes | None]) -> None:
    """Make a kernel take its claim, and end all waits when it shuts down. Idempotent."""
    handlers = getattr(kernel, "control_handlers", None)
    if handlers is None or wire.CLAIM_TYPE in handlers:
        return

    def take(stream: Any, ident: Any, message: Any) -> None:
        try:
            header, stamp = message["header"], message["metadata"].get(wire.FIELD)
            payload = wire.verify(key(), header["msg_id"], header["msg_type"], stamp)
            if wire.claim(payload) == "given":
                the_claim.give(wire.decode(payload), wire.grant(payload))
        except BadStamp as error:
            kernel.log.warning("A claim of this kernel was refused: %s", error)

    handlers[wire.CLAIM_TYPE] = take
    shutdown = handlers.get("shutdown_request")
    if shutdown is not None and not isinstance(shutdown, _Closing):
        handlers["shutdown_request"] = _Closing(kernel, shutdown)


async def _settle(kernel: Any) -> None:
    """Wait until the kernel's main thread has finished its cell and answered."""
    free: Future[None] = Future()
    kernel.io_loop.add_callback(free.set_result, None)
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.wrap_future(free), GRACE)
        await asyncio.sleep(0.05)  # ipykernel sleeps before it answers


def ignore(kernel: Any) -> None:
    """Undo ``listen``. A handler of ours that another library has wrapped stays, and still ends the waits."""
    handlers = getattr(kernel, "control_handlers", None) or {}
    handlers.pop(wire.CLAIM_TYPE, None)
    closing = handlers.get("shutdown_request")
    if isinstance(closing, _Closing):
        handlers["shutdown_request"] = closing.original
