"""Ends a task that may lose a cancellation and go on."""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN = 0.5
"""Seconds between two cancellations of a task that goes on."""


async def ended(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended.

    nbclient waits for a cell's outputs in ``asyncio.wait_for``. Before Python 3.12 that function returns the result,
    and the cancellation is lost, if both arrive at the same moment.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=AGAIN)
