"""How a task is ended that may take a cancellation for something else, and go on."""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN = 0.5
"""Seconds after which a task that goes on is cancelled again."""


async def ended(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended.

    A cell's cancellation is lost where it comes in the moment in which its outputs are complete: before Python 3.12
    ``asyncio.wait_for``, in which nbclient waits for them, answers with the result then.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=AGAIN)
