"""State as a mapping: what an author reads and writes → operations, asked of a server or of this process's memory.

1. Each call is one question. What it returns is what was there then, and is read-only.
2. ``get`` answers its default for a missing key. A server that does not answer is an error, and never a default.
3. Code that reads a value to write another uses ``add``, ``change`` or ``transaction``. Between a plain read and a
   plain write, other code may write.
"""

from __future__ import annotations

import time
from collections.abc import Callable, ItemsView, Iterator, Mapping, MutableMapping, ValuesView
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ...errors import Conflict
from ...records import Frozen
from ...state import values
from ...state.forms import KEY_LIMIT, TTL_LIMIT
from ...state.operations import Add, Apply, Clear, Entries, Read, read_entries, read_entry
from .transaction import Ask, Transaction

if TYPE_CHECKING:
    from .awaited import AsyncState
    from .watching import Change

Json = values.Json

TRIES = 32
"""How often ``change`` tries before it gives up."""

ABSENT: Any = object()


class State(MutableMapping[str, Json]):
    """Values that are kept under keys, with the types that they went in with. It is safe to use from any thread.

    Each method raises StateUnavailable if the server or its store does not answer, and NoVisitor if the running code
    belongs to no visitor.
    """

    __slots__ = ("_ask",)

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def __getitem__(self, key: str) -> Json:
        return _found(self._read(values.check_key(key)), key)[0]

    def __contains__(self, key: object) -> bool:
        return bool(self._read(values.check_key(key)))

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def items(self) -> ItemsView[str, Json]:
        """The keys and values that are there now, all at one moment."""
        return self.snapshot().items()

    def values(self) -> ValuesView[Json]:
        """The values that are there now, all at one moment."""
        return self.snapshot().values()

    def snapshot(self) -> Mapping[str, Json]:
        """Return all values as they are at one moment; a read-only copy."""
        return Frozen({key: values.decode(text) for key, (text, _) in self._read().items()})

    def __setitem__(self, key: str, value: Json) -> None:
        self.set(key, value)

    def set(self, key: str, value: Json, *, ttl: float | timedelta | None = None) -> None:
        """Store a value; after ``ttl`` seconds it vanishes. Without a ttl it stays, also if it had one before.

        Raises Unstorable for a value that would not come back as it is, and TooLarge.
        """
        self.update({key: value}, ttl=ttl)

    def update(self, other: Any = (), /, *, ttl: float | timedelta | None = None, **more: Json) -> None:
        """Store several values, all of them or none."""
        given = {**dict(other), **more}
        puts = {values.check_key(key): values.encode(value) for key, value in given.items()}
        seconds = _seconds(ttl)
        if puts:
            self._ask(Apply(puts=puts, ttl=seconds))

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def pop(self, key: str, default: Any = ABSENT) -> Json:
        """Delete a key and return its value, atomically; return the default, or raise KeyError, if it is missing."""

        def take() -> Json:
            value, version = _found(self._read(values.check_key(key)), key)
            self._ask(Apply({key: version}, drops=(key,)))
            return value

        try:
            return _tried(take)
        except KeyError:
            if default is ABSENT:
                raise
            return default

    def popitem(self) -> tuple[str, Json]:
        """Delete any one key and return it with its value, atomically; raise KeyError if there is none."""

        def take() -> tuple[str, Json]:
            for key, (text, version) in self._read().items():
                self._ask(Apply({key: version}, drops=(key,)))
                return key, values.decode(text)
            raise KeyError("there is no key")

        taken: tuple[str, Json] = _tried(take)
        return taken

    def clear(self) -> None:
        """Delete all keys, atomically."""
        self._ask(Clear())

    def setdefault(self, key: str, default: Json = None) -> Json:
        """Return the value of a key; store the default first if it is missing. The first one to store wins."""
        text = values.encode(default)

        def find() -> Json:
            found = self._read(values.check_key(key))
            if not found:
                self._ask(Apply({key: 0}, {key: text}))
            return values.decode(found[key][0] if found else text)

        return _tried(find)

    def add(self, key: str, amount: float = 1) -> int | float:
        """Add to a number, atomically, and return the sum. A missing key counts as 0.

        Raises TypeError if the value or the amount is not a number, and OverflowError for an int of more than 64 bits.
        """
        if type(amount) not in (int, float):
            raise TypeError(f"amount must be an int or a float, not {type(amount).__name__}")
        values.encode(amount)
        if type(amount) is int and not -(2**63) <= amount < 2**63:
            raise OverflowError("amount must be an int of at most 64 bits")
        total: int | float = values.decode(read_entry(self._ask(Add(values.check_key(key), amount)))[0])
        return total

    def change(self, key: str, function: Callable[[Json], Json], default: Json = None) -> Json:
        """Store what the function makes of the value, atomically, and return it.

        The function gets the value read-only, or the default if the key is missing. It may be called more than once,
        because it is called again if other code was faster. Raises Conflict after 32 tries.
        """

        def once() -> Json:
            value, version = self._versioned(key, default)
            return self._replace(key, version, function(value))

        return _tried(once)

    def _versioned(self, key: str, default: Json) -> tuple[Json, int]:
        """Return the value of a key with its version; the default, read-only, if it is missing."""
        text, version = self._read(values.check_key(key)).get(key, (None, 0))
        return values.decode(values.encode(default) if text is None else text), version

    def _replace(self, key: str, version: int, value: Json) -> Json:
        """Store a value in place of this version; raise Conflict if it is not there any more."""
        text = values.encode(value)
        self._ask(Apply({key: version}, {key: text}))
        return values.decode(text)

    def transaction(self) -> Transaction:
        """Return a block that reads at one moment, and writes all of it at the end, or nothing."""
        return Transaction(self._ask)

    def on_change(self, function: Callable[[Change], Any] | None = None, key: str | None = None) -> Any:
        """Call ``function(change)`` when other code changes a key, or any key; return a Watch with ``close()``.

        The function is called on the kernel's main loop, and sees the visitor of the code that registered it. It may be
        async. It is also a decorator: ``@state.on_change`` or ``@state.on_change(key="votes")``.
        """
        if function is None:
            return partial(self.on_change, key=key)
        if not callable(function):
            raise TypeError(f"on_change(function, key) needs a function, not {type(function).__name__}")
        from .watching import Watch

        return Watch(self._ask, function, None if key is None else values.check_key(key))

    @property
    def aio(self) -> AsyncState:
        """The same names for async code: ``await state.aio.get("votes")``."""
        from .awaited import AsyncState

        return AsyncState(self)

    @property
    def kept(self) -> Literal["server", "memory"]:
        """Where it is kept. It is in the memory of the process where no server is, and under a fake request."""
        found: Literal["server", "memory"] = getattr(self._ask, "kept", "memory")
        return found

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"  # what is stored is shown where an author asks for it

    def _read(self, *keys: str) -> Entries:
        # A longer key cannot be stored, and the server would not read the question.
        short = tuple(key for key in keys if len(key) <= KEY_LIMIT)
        return read_entries(self._ask(Read(short if keys else None)))


def _found(entries: Entries, key: str) -> tuple[Json, int]:
    if key not in entries:
        raise KeyError(key)
    text, version = entries[key]
    return values.decode(text), version


def _tried(step: Callable[[], Json]) -> Json:
    """Return what the step returns; do it again while other code is faster, each time after a longer random pause."""
    for attempt in range(TRIES - 1):
        try:
            return step()
        except Conflict:
            time.sleep(pause(attempt))
    return step()


def pause(attempt: int) -> float:
    """Return for how many seconds to wait after a conflict: a random time, which grows with each attempt."""
    import random  # late: it takes a while to load, and few cells meet a conflict

    return random.uniform(0, min(0.05, 0.001 * 2**attempt))  # noqa: S311  # not a secret


def _seconds(ttl: float | timedelta | None) -> float | None:
    """Return a time to live in seconds; raise ValueError or TypeError for what is not one."""
    if ttl is None:
        return None
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"ttl must be seconds or a timedelta, not {type(ttl).__name__}")
    if not 0 < seconds <= TTL_LIMIT:
        limit = f"at most {TTL_LIMIT:.0f}, which are 100 years"
        raise ValueError(f"ttl must be above 0 seconds and {limit}, not {seconds}: without a ttl, a value stays")
    return float(seconds)
