"""Functions that are called when other code changes state.

1. A function is called on the kernel's main loop, in the context of the code that registered it: it sees that visitor,
   and its output goes where that code's output goes.
2. It is called after the change can be read. It is not called for its own visitor's writes in this kernel.
3. An error of a function is logged, and the other functions are called.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import Any, NamedTuple, cast

from ...errors import AppMetaError
from ...state.live.events import Changed, Event
from ...state.operations import Unwatch
from ...state.operations import Watch as Start
from ..context import context_now
from ..messages import this_kernel
from . import asking
from .calling import call
from .transaction import Ask


class Change(NamedTuple):
    """What has changed. ``key`` is None if any key may have changed, ``by`` if it is not known who changed it."""

    key: str | None
    by: str | None


class Watch:
    """A function that is called for changes, until ``close()``."""

    __slots__ = ("_ask", "_context", "_function", "_key", "_name", "waiting")

    def __init__(self, ask: Ask, function: Callable[[Change], Any], key: str | None) -> None:
        self._ask, self._function, self._key = ask, function, key
        self._context: Context = context_now()
        self.waiting: set[Change] = set()  # what the main loop has not come to yet: equal changes are told once
        asking.on_event(_tell)
        self._name = str(ask(Start()) or "")
        if self._name:
            _watches.setdefault(self._name, []).append(self)

    def close(self) -> None:
        """Call the function no more. Idempotent."""
        watches = _watches.get(self._name, [])
        if self in watches:
            watches.remove(self)
        if not watches and _watches.pop(self._name, None) is not None:
            with suppress(AppMetaError):  # the server forgets it when the kernel ends
                self._context.copy().run(self._ask, Unwatch())

    def __call__(self, change: Change) -> Any:
        """Call the function, so that a decorated one can be used as before."""
        return self._function(change)

    def __repr__(self) -> str:
        return f"<Watch of {getattr(self._function, '__name__', 'a function')}>"

    def told(self, event: Changed) -> list[Change]:
        """Return what an event means for this watch."""
        if event.keys is None:
            return [Change(self._key, event.by)]
        return [Change(key, event.by) for key in event.keys if self._key in (None, key)]

    def call(self, kernel: Any, change: Change) -> None:
        """Call the function, on the kernel's main loop."""
        self.waiting.discard(change)
        if self in _watches.get(self._name, ()):  # not closed since
            call(kernel, self._context, self._function, change)


_watches: dict[str, list[Watch]] = {}


def _tell(event: Event) -> None:
    """Pass a change on to the main loop. The control thread hears it."""
    if not isinstance(event, Changed):
        return
    kernel = cast(Any, this_kernel())
    for watch in tuple(_watches.get(event.scope, ())):
        for change in watch.told(event):
            if change not in watch.waiting:
                watch.waiting.add(change)
                kernel.io_loop.add_callback(watch.call, kernel, change)
