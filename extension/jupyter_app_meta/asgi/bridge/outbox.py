"""The messages that a handler has written, sent in the request's own task.

1. One queue is sent in order, one message at a time. A future is done when the server has taken its message.
2. Handlers write from their own tasks. Only the request's own task calls ``send``, because middleware expects it
   there, and because ContextVars reach the middleware above only from there.
3. ContextVars are taken over only from contexts that descend from this same request. A kernel's output is written in
   the context of the code that woke the loop, which may be another visitor's.
4. After ``close`` nothing is sent. A waiting ``send`` is given up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from typing import Any

from starlette.types import Send

from .. import contexts

_request: ContextVar[object] = ContextVar("app_meta_asgi_request", default=None)
"""Marks the contexts that descend from one request."""


class Unfinished(ConnectionError):
    """A response was given up after it had begun.

    An exception keeps middleware in between from ending the response as if it were complete.
    """


@dataclass(slots=True)
class Item:
    """One message, or None for a mark between messages. ``context`` is the writer's, if it must be carried."""

    message: dict[str, Any] | None
    taken: asyncio.Future[None]
    context: Context | None
    is_last: bool = False


class Outbox:
    """The messages of one response or socket. ``gone`` is the error of writes after its end."""

    def __init__(self, gone: type[Exception]) -> None:
        self.gone = gone
        self._items: deque[Item] = deque()
        self._filled = asyncio.Event()
        self._mark = object()
        self._before: Context | None = None
        self._last: Context | None = None
        self._patience: asyncio.Timeout | None = None
        self._due: float | None = None
        self._fault = ""
        self.is_closed = self.has_begun = self.is_complete = False

    @contextmanager
    def belonging(self) -> Iterator[None]:
        """Mark the current context, and all contexts that are copied from it here, as this request's."""
        token = _request.set(self._mark)
        self._before = copy_context()
        try:
            yield
        finally:
            self._carry(self._last)
            self._before = None
            _request.reset(token)

    def put(
        self, message: dict[str, Any] | None, *, carries: bool = False, is_last: bool = False
    ) -> asyncio.Future[None]:
        """Queue a message; the future is done when the server has taken it. None marks a place in the queue."""
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.is_closed or self.is_complete:
            self._fail(taken)
            return taken
        self._items.append(Item(message, taken, self._own_context() if carries else None, is_last))
        self.is_complete = is_last
        self._filled.set()
        return taken

    def end(self, message: dict[str, Any]) -> asyncio.Future[None]:
        """Queue the last message of a body. It is joined with the piece before it, if that still waits."""
        last = self._items[-1] if self._items else None
        if last is None or last.message is None or last.message["type"] != message["type"]:
            return self.put(message, carries=True, is_last=True)
        last.message["more_body"] = False
        last.context, last.is_last, self.is_complete = self._own_context(), True, True
        return last.taken

    def close(self, fault: str = "") -> None:
        """Send nothing more. With a fault, a response that has begun is cut off: ``relay`` raises ``Unfinished``."""
        if self.is_closed:
            return
        self.is_closed, self._fault = True, fault
        while self._items:
            self._fail(self._items.popleft().taken)
        self._reschedule(0)

    def hurry(self, seconds: float) -> None:
        """Give the rest this many seconds to be sent."""
        self._due = asyncio.get_running_loop().time() + seconds
        self._reschedule(self._due)

    def settle(self) -> None:
        """Note the writer's context, which is carried when the request ends."""
        self._last = self._own_context()

    async def relay(self, send: Send, on_wait: Callable[[], None] = lambda: None) -> None:
        """Send the queued messages, until the last message or ``close``.

        ``on_wait`` is called once, before the first message that may not be among the last ones.
        """
        patience = self._patience = asyncio.timeout_at(self._due)
        try:
            try:
                async with patience:
                    await self._sent(send, on_wait)
            finally:
                self._patience = None
        except TimeoutError:
            if not patience.expired():
                raise
            self.close()
        except OSError:  # servers raise it if the client has left
            self.close()
        if self._fault:
            raise Unfinished(self._fault)

    async def _sent(self, send: Send, on_wait: Callable[[], None]) -> None:
        while not self.is_closed:
            if not self._items:
                self._filled.clear()
                await self._filled.wait()
                continue
            if not self.is_complete and not self.has_begun:
                on_wait()
            item = self._items.popleft()
            self._carry(item.context)
            try:
                if item.message is not None:
                    self.has_begun = True
                    await send(item.message)
            except BaseException:
                self._fail(item.taken)
                raise
            if not item.taken.done():
                item.taken.set_result(None)
            if item.is_last:
                return

    def _reschedule(self, when: float) -> None:
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(when)

    def _carry(self, context: Context | None) -> None:
        if context is not None and self._before is not None:
            contexts.carry(self._before, context)
            self._before = context

    def _own_context(self) -> Context | None:
        return copy_context() if _request.get() is self._mark else None

    def _fail(self, taken: asyncio.Future[None]) -> None:
        if not taken.done():
            taken.set_exception(self.gone())
            taken.exception()  # a handler need not wait for what it writes
