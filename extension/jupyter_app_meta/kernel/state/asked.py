"""Whose state the running code means, and who keeps it: the server, or the memory of this process.

1. The request of the running code is looked up at each question, so an object that was made for one visitor never
   answers another.
2. Under a fake, state is in the fake's own memory. Where no server is, it is in the memory of the process, and one
   warning says so.
3. Where a server is, code that belongs to no request gets an error, and never the memory.
"""

from __future__ import annotations

import sys
import warnings
from functools import cache
from typing import Any, Literal

from ...errors import NoVisitor, StateNotKept, StateUnavailable
from ...state.operations import Listen, Operation, Pages, Send, Unlisten, Viewers
from .. import claims, context, messages
from ..messages import this_kernel
from . import asking
from .mapping import State
from .memory import Memory, memories
from .seeds import memories_of

NOT_KEPT = (
    "There is no server here, so state is kept in the memory of this process and is gone when it ends. "
    "Seed it in tests with fake_request(state={...}, shared={...})."
)

# `get` and `dict(state)` come here by the methods of a mapping.
_NOT_THE_AUTHORS = (f"{__name__.partition('.')[0]}.", "collections.abc", "_collections_abc")

_UNSTORED = (Send, Listen, Unlisten, Pages, Viewers)

_own = memories([])


@cache
def state_of(audience: str) -> State:
    """Return the state of an audience."""
    return State(Asked(audience))


class Asked:
    """Asks for the state of one audience, for whatever code is running."""

    __slots__ = ("audience",)

    def __init__(self, audience: str) -> None:
        self.audience = audience

    def __call__(self, operation: Operation) -> Any:
        """Return the result of an operation, as ``operations`` describes it."""
        seen = self._seen()
        memory = self._memory(seen, warns=not isinstance(operation, _UNSTORED))
        if memory is not None:
            return memory(operation)
        if seen.grant is None:
            raise _why_not(seen)
        return asking.ask(this_kernel(), seen.grant, self.audience, operation)

    @property
    def kept(self) -> Literal["server", "memory"]:
        """Who keeps it, for the running code."""
        return "server" if self._memory(self._seen(), warns=False) is None else "memory"

    def _seen(self) -> context.Seen:
        return context.seen(waits=self.audience != "shared" or not claims.the_claim.shares_ahead)

    def _memory(self, seen: context.Seen, warns: bool = True) -> Memory | None:
        fake = memories_of(seen.meta)
        if fake is not None:
            return fake[self.audience]
        if seen.grant is not None or seen.meta.mode != "script" or has_server():
            return None
        if warns:
            _warn()
        return _own[self.audience]


def _why_not(seen: context.Seen) -> Exception:
    if seen.meta.mode == "script":
        return NoVisitor(
            "There is no state here, because the running code belongs to no request: a thread of a library, a forked "
            "process, or a message that no server stamped. Use state in the cell or callback."
        )
    return StateUnavailable(
        "The server keeps no state. It may be switched off (AppMetaExtension.state_url), or the server may have an "
        "older release of jupyter-app-meta."
    )


@cache
def _warn() -> None:
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_NOT_THE_AUTHORS):
        frame, level = frame.f_back, level + 1
    warnings.warn(NOT_KEPT, StateNotKept, stacklevel=level)


def has_server() -> bool:
    """Return whether this process, or the one that it was forked from, has ever received a stamped message."""
    return messages.has_stamp(messages.shells_kernel())
