"""Messages and presence for async code: a thread waits for the answer, and the event loop goes on."""

from __future__ import annotations

import asyncio
from typing import Any

from .. import visitors
from .presence import PageInfo, Viewer, own_pages, viewers
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

    async def pages(self) -> tuple[PageInfo, ...]:
        """Return this person's open pages of this dashboard."""
        return await asyncio.to_thread(own_pages)

    async def forget(self) -> int:
        """Erase all that is stored for this person on this dashboard."""
        return await asyncio.to_thread(visitors.visitor.forget)


class AsyncEverybody:
    """``shared`` with names that are awaited."""

    __slots__ = ()

    async def send(self, name: str, data: Any = None) -> None:
        """Send a message to each page of this dashboard."""
        await asyncio.to_thread(sent, "shared", name, data)

    async def viewers(self) -> tuple[Viewer, ...]:
        """Return the people who have this dashboard open."""
        return await asyncio.to_thread(viewers)
