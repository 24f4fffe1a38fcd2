"""State for async code: the same names, awaitable. A thread waits for the answer, and the event loop goes on."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from ...errors import Conflict
from ...state.values import Json
from . import mapping
from .transaction import Transaction

if TYPE_CHECKING:
    from .watching import Watch


class AsyncState:
    """State whose methods are awaited. They do what those of ``State`` do, and raise the same errors."""

    __slots__ = ("_state",)

    def __init__(self, state: mapping.State) -> None:
        self._state = state

    def __getitem__(self, key: str) -> Awaitable[Json]:
        """Return the value of a key: ``await state.aio["votes"]``."""
        return asyncio.to_thread(self._state.__getitem__, key)

    # Python would take ``in`` and ``for`` for a count from 0 that a missing key ends, and would never come to the end.
    __iter__ = None

    def __contains__(self, key: object) -> NoReturn:
        """Refuse, because ``in`` cannot be awaited."""
        raise TypeError("`in` cannot be awaited: use `key in await state.aio.keys()`")

    async def get(self, key: str, default: Any = None) -> Json:
        """Return the value of a key, or the default if it is missing."""
        return await asyncio.to_thread(self._state.get, key, default)

    async def keys(self) -> list[str]:
        """Return the keys that are there now."""
        return [*await self.snapshot()]

    async def values(self) -> list[Json]:
        """Return the values that are there now."""
        return [*(await self.snapshot()).values()]

    async def items(self) -> list[tuple[str, Json]]:
        """Return the keys and values that are there now."""
        return [*(await self.snapshot()).items()]

    async def snapshot(self) -> Mapping[str, Json]:
        """Return all values as they are at one moment."""
        return await asyncio.to_thread(self._state.snapshot)

    async def set(self, key: str, value: Json, *, ttl: float | timedelta | None = None) -> None:
        """Store a value; after ``ttl`` seconds it vanishes."""
        await asyncio.to_thread(self._state.set, key, value, ttl=ttl)

    async def update(self, other: Any = (), /, *, ttl: float | timedelta | None = None, **more: Json) -> None:
        """Store several values, all of them or none."""
        await asyncio.to_thread(self._state.update, other, ttl=ttl, **more)

    async def pop(self, key: str, default: Any = mapping.ABSENT) -> Json:
        """Delete a key and return its value; return the default, or raise KeyError, if it is missing."""
        return await asyncio.to_thread(self._state.pop, key, default)

    async def popitem(self) -> tuple[str, Json]:
        """Delete any one key and return it with its value; raise KeyError if there is none."""
        return await asyncio.to_thread(self._state.popitem)

    async def clear(self) -> None:
        """Delete all keys."""
        await asyncio.to_thread(self._state.clear)

    async def setdefault(self, key: str, default: Json = None) -> Json:
        """Return the value of a key; store the default first if it is missing."""
        return await asyncio.to_thread(self._state.setdefault, key, default)

    async def add(self, key: str, amount: float = 1) -> int | float:
        """Add to a number, and return the sum."""
        return await asyncio.to_thread(self._state.add, key, amount)

    async def change(self, key: str, function: Callable[[Json], Any], default: Json = None) -> Json:
        """Store what the function, which may be async, makes of the value, and return it."""
        if not inspect.iscoroutinefunction(function):
            return await asyncio.to_thread(self._state.change, key, function, default)
        for attempt in range(mapping.TRIES):
            value, version = await asyncio.to_thread(self._state._versioned, key, default)
            try:
                return await asyncio.to_thread(self._state._replace, key, version, await function(value))
            except Conflict:
                await asyncio.sleep(mapping.pause(attempt))
        raise Conflict(key)

    def transaction(self) -> AsyncTransaction:
        """Return a block that reads at one moment, and writes all of it at the end, or nothing: ``async with``."""
        return AsyncTransaction(self._state.transaction())

    async def on_change(self, function: Callable[..., Any], key: str | None = None) -> Watch:
        """Call a function when other code changes a key, or any key."""
        return await asyncio.to_thread(self._state.on_change, function, key)

    @property
    def kept(self) -> Literal["server", "memory"]:
        """Where it is kept. It is known without a question, so it is not awaited."""
        return self._state.kept

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class AsyncTransaction:
    """An ``async with`` block. In it, the mapping is used as that of ``State.transaction()``."""

    __slots__ = ("_block",)

    def __init__(self, block: Transaction) -> None:
        self._block = block

    async def __aenter__(self) -> Transaction:
        return await asyncio.to_thread(self._block.__enter__)

    async def __aexit__(self, kind: type[BaseException] | None, *error: object) -> None:
        await asyncio.to_thread(self._block.__exit__, kind, *error)
