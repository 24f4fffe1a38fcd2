"""Messages for async code: the same names, awaitable. A thread waits for the answer, and the event loop goes on."""

from __future__ import annotations

import asyncio
from typing import Any

from .. import visitors
from .receiving import Function, Receiver, received, sent


class AsyncSession:
    """``session`` with names that are awaited."""

    __slots__ = ()

    async def send(self, name: str, data: Any = None) -> None:
        """Send a message to this browser tab."""
        await asyncio.to_thread(sent, "session", name, data)

    async def on(self, name: str, function: Function) -> Receiver:
        """Call a function for each message of this name."""
        receiver: Receiver = await asyncio.to_thread(received, name, function)
        return receiver


class AsyncVisitor:
    """``visitor`` with names that are awaited."""

    __slots__ = ()

    async def send(self, name: str, data: Any = None) -> None:
        """Send a message to each tab of this person."""
        await asyncio.to_thread(sent, "visitor", name, data)

    async def forget(self) -> int:
        """Erase all that is stored for this person on this dashboard."""
        return await asyncio.to_thread(visitors.visitor.forget)


class AsyncEverybody:
    """``shared`` with names that are awaited."""

    __slots__ = ()

    async def send(self, name: str, data: Any = None) -> None:
        """Send a message to each page of this dashboard."""
        await asyncio.to_thread(sent, "shared", name, data)
