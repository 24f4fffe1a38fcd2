"""Messages between pages: what code sends, and the functions that are called when a message arrives.

1. A function is called on the kernel's main loop, in the context of the code that registered it: it sees that visitor,
   and its output goes where that code's output goes.
2. Where no server is, and under a fake request, the functions are called before ``send`` returns, and an error of
   theirs reaches the code that sends.
3. While the main loop is busy, ``WAITING`` messages wait for each function. Later ones are dropped.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import Any, cast

from ...errors import AppMetaError, NoVisitor, TooLarge, Unstorable
from ...state import values
from ...state.forms import MESSAGE_DATA, MESSAGE_NAME
from ...state.live.events import Event, Sent
from ...state.operations import Listen, Send, Unlisten
from ..context import context_now
from ..messages import this_kernel
from . import asking
from .asked import Asked
from .calling import call

RECEIVERS, WAITING = 1000, 100

Function = Callable[[values.Json], Any]


class Receiver:
    """A function that is called with the data of each message of its name, until ``close()``."""

    __slots__ = ("_ask", "_context", "_function", "_others", "_place", "_waiting", "name")

    def __init__(self, name: str, function: Function) -> None:
        self.name, self._function, self._context = check_name(name), function, context_now()
        if not callable(function):
            raise TypeError(f"session.on(name, function) needs a function, not {type(function).__name__}")
        asking.on_event(_heard)
        self._waiting = 0
        self._ask, self._place = _listen()
        self._others = _receivers.setdefault(self._place, []) if isinstance(self._place, str) else self._place
        if len(self._others) >= RECEIVERS:
            raise TooLarge(f"At most {RECEIVERS} functions receive messages. close() those that are not needed.")
        self._others.append(self)

    def close(self) -> None:
        """Call the function no more. Idempotent."""
        if self not in self._others:
            return
        self._others.remove(self)
        if not self._others and isinstance(self._place, str):
            _receivers.pop(self._place, None)
            with suppress(AppMetaError):  # the server forgets it when the kernel ends
                self._context.copy().run(self._ask, Unlisten())

    def __call__(self, data: values.Json) -> Any:
        """Call the function, so that a decorated one can be used as before."""
        return self._function(data)

    def __repr__(self) -> str:
        return f"<Receiver of {self.name!r}>"

    def take(self, name: str, data: str) -> None:
        """Call the function for a message of its name, now."""
        if name == self.name:
            context = self._context.copy()
            result = context.run(self._function, values.decode(data))
            if inspect.iscoroutine(result):
                _finish(result, context)

    def come(self, kernel: Any, event: Sent) -> None:
        """Let the main loop call the function. The control thread calls this."""
        if event.name == self.name and self._waiting < WAITING:
            self._waiting += 1
            kernel.io_loop.add_callback(self._called, kernel, event.data)

    def _called(self, kernel: Any, data: str) -> None:
        self._waiting -= 1
        if self in self._others:  # not closed since
            call(kernel, self._context, self._function, values.decode(data))


_receivers: dict[str, list[Receiver]] = {}
_tasks: set[asyncio.Future[Any]] = set()


def sent(audience: str, name: str, data: values.Json) -> None:
    """Send a message to the pages of an audience that receive it now.

    Raises Unstorable for data that would not arrive as it is, TooLarge, StateUnavailable and NoVisitor.
    """
    text = values.encode(data)
    if len(text) > MESSAGE_DATA:
        limit = f"the data of a message has at most {MESSAGE_DATA} bytes as JSON, not {len(text)}"
        raise TooLarge(f"{limit}: store it and send its key")
    Asked(audience)(Send(check_name(name), text))


def received(name: str, function: Function | None = None) -> Any:
    """Call a function for each message of a name; without a function, return a decorator."""
    return partial(received, check_name(name)) if function is None else Receiver(name, function)


def check_name(name: object) -> str:
    """Return the name of a message; raise TypeError, ValueError or TooLarge for what is not one."""
    if type(name) is not str:
        raise Unstorable(f"the name of a message must be a str, not {type(name).__name__}")
    if not name:
        raise ValueError("the name of a message must not be empty")
    if len(name) > MESSAGE_NAME:
        raise TooLarge(f"the name of a message has at most {MESSAGE_NAME} characters, not {len(name)}")
    values.encode(name)  # refuses half of a surrogate pair
    return name


def _listen() -> tuple[Asked, Any]:
    """Ask for messages; without a visitor, only for those to everybody."""
    mine, everybody = Asked("session"), Asked("shared")
    try:
        return mine, mine(Listen())
    except NoVisitor:
        return everybody, everybody(Listen())


def _heard(event: Event) -> None:
    """Pass a message on to the main loop. The control thread hears it."""
    if isinstance(event, Sent):
        kernel = cast(Any, this_kernel())
        for receiver in tuple(_receivers.get(event.scope, ())):
            receiver.come(kernel, event)


def _finish(work: Any, context: Context) -> None:
    """Run async work: in the loop that runs, or in one of its own."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        context.run(asyncio.run, work)
        return
    task = loop.create_task(work, context=context)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
