"""State without a server: in the memory of this process, with the answers that a server would give."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from math import isfinite
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import Conflict
from ...state import values
from ...state.operations import (
    Add,
    Apply,
    Clear,
    Forget,
    Listen,
    Operation,
    Pages,
    Read,
    Send,
    Unlisten,
    Unwatch,
    Viewers,
    Watch,
)

if TYPE_CHECKING:
    from .receiving import Receiver


class _Held(NamedTuple):
    text: str
    version: int
    expires: float  # by the clock of the memory; infinite for what stays


class Memory:
    """The entries of one scope. It is safe to use from any thread.

    ``receivers`` are the functions of all scopes of the process, or of one fake, that receive messages. ``tabs`` is the
    memory that is erased as well if a visitor is forgotten.
    """

    __slots__ = ("_clock", "_held", "_is_preferences", "_limits", "_lock", "_receivers", "_tabs", "_version")

    def __init__(
        self,
        limits: values.Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        receivers: list[Receiver] | None = None,
        tabs: Memory | None = None,
        is_preferences: bool = False,
    ) -> None:
        self._tabs, self._is_preferences = tabs, is_preferences
        self._receivers = [] if receivers is None else receivers
        self._limits, self._clock, self._lock = limits or values.Limits(), clock, Lock()
        self._held: dict[str, _Held] = {}
        self._version = 0

    def __call__(self, operation: Operation) -> Any:
        """Return the result of an operation, as ``operations`` describes it; the receivers as the answer to Listen."""
        match operation:
            case Send(name, data):
                for receiver in tuple(self._receivers):
                    receiver.take(name, data)
                return None
            case Listen() | Unlisten():
                return self._receivers
            case Pages() | Viewers():  # there is no page
                return []
            case Forget() if self._tabs is not None:
                return self._stored(operation) + self._tabs(operation)
        return self._stored(operation)

    def _stored(self, operation: Operation) -> Any:
        with self._lock:
            self._drop_expired()
            match operation:
                case Read(keys):
                    return {key: held[:2] for key, held in self._held.items() if keys is None or key in keys}
                case Apply():
                    return self._apply(operation)
                case Add(key, amount):
                    return self._add(key, amount)
                case Clear() | Forget():
                    count = len(self._held)
                    self._held.clear()
                    return count
                case Watch() | Unwatch():  # there is no other program that could change it
                    return None

    def _drop_expired(self) -> None:
        now = self._clock()
        for key in [key for key, held in self._held.items() if held.expires <= now]:
            del self._held[key]

    def _apply(self, write: Apply) -> dict[str, int]:
        if write.whole:
            for key in self._held:
                if key not in write.expects:
                    raise Conflict(key)
        for key, version in write.expects.items():
            if (self._held[key].version if key in self._held else 0) != version:
                raise Conflict(key)
        for key, text in write.puts.items():
            self._limits.check(key, text)
            if self._is_preferences:
                values.check_preference(values.decode(text))
        kept = {key: held.text for key, held in self._held.items() if key not in write.drops}
        self._check(({**kept, **write.puts}).values())
        self._version += 1
        until = float("inf") if write.ttl is None else self._clock() + write.ttl
        self._held |= {key: _Held(text, self._version, until) for key, text in write.puts.items()}
        for key in write.drops:
            self._held.pop(key, None)
        return dict.fromkeys(write.puts, self._version)

    def _add(self, key: str, amount: float) -> tuple[str, int]:
        before = self._held.get(key)
        text = values.encode(added(values.decode(before.text) if before else 0, amount, key))
        self._limits.check(key, text)
        self._check({**{name: held.text for name, held in self._held.items()}, key: text}.values())
        self._version += 1
        self._held[key] = _Held(text, self._version, before.expires if before else float("inf"))
        return text, self._version

    def _check(self, texts: Iterable[str]) -> None:
        sizes = [len(text) for text in texts]
        self._limits.check_scope(len(sizes), sum(sizes))


def memories(receivers: list[Receiver]) -> dict[str, Memory]:
    """Return an empty memory for each audience of one process, or of one fake."""
    tab, shared = Memory(receivers=receivers), Memory(receivers=receivers)
    visitor, preferences = Memory(receivers=receivers, tabs=tab), Memory(receivers=receivers, is_preferences=True)
    return {"session": tab, "visitor": visitor, "preferences": preferences, "shared": shared}


def added(before: object, amount: float, key: str) -> float:
    """Return the sum; raise TypeError unless a number is there, and OverflowError for a sum that is not finite."""
    if isinstance(before, bool) or not isinstance(before, int | float):
        kind = type(before).__name__
        raise TypeError(f"add({key!r}) needs a number, and the value is a {kind}: set a number first.")
    total = before + amount
    if isinstance(total, float) and not isfinite(total):
        raise OverflowError(f"add({key!r}): the sum is not a finite number.")
    return total
