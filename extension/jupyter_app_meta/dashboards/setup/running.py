"""Runs a server until Ctrl-C or SIGTERM, or until its lifespan fails, and then ends all kernels.

First the server enters the lifespan, then it starts a kernel on trial, then it listens on the port.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from ...lifespans import shielded
from ..load.limits import raise_descriptors
from ..services import Services
from . import checks, ports


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens: on this port, or on one of the next ``retries`` if it is in use; 0 is any free port."""

    ip: str
    port: int
    retries: int = 0


class Server(ports.Listening, Protocol):
    """An application that can listen, and that is closed in the end."""

    services: Services

    async def entered(self) -> None:
        """Enter the lifespan; raises what that raises."""

    async def ends(self) -> None:
        """Wait until the lifespan ends by itself."""

    async def close(self) -> None:
        """End all kernels and leave the lifespan; raises what that raises."""


async def run(
    build: Callable[[], Server],
    places: Sequence[checks.Place],
    address: Address,
    listening: Callable[[int], None],
) -> None:
    """Build an application and serve until the process is told to end; ``listening`` is called with the port.

    Raises DashboardError if a notebook's kernel does not start, OSError if no port is free, and the lifespan's error.
    """
    stop = _told_to_end()
    raise_descriptors()
    application = build()
    try:
        await _until(stop, application.entered())
        await _until(stop, checks.try_kernels(places, application.services))
        if not stop.is_set():
            await _listen(application, address, listening, stop)
    finally:
        await shielded(application.close())


def _told_to_end() -> asyncio.Event:
    """Return an event that Ctrl-C and SIGTERM set."""
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
    return stop


async def _listen(application: Server, at: Address, listening: Callable[[int], None], stop: asyncio.Event) -> None:
    server, taken = ports.listen(application, at.port, at.ip, at.retries, application.services.log)
    try:
        listening(taken)
        await _until(stop, application.ends())
    finally:
        server.stop()


async def _until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Wait until this work is done or the server must stop; raises what the work raises."""
    if stop.is_set():
        work.close()
        return
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        working.result()
    else:
        working.cancel()
        await asyncio.wait((working,))
