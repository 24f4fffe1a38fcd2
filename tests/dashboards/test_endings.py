"""A task that loses a cancellation is nevertheless ended."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from jupyter_app_meta.dashboards.runs import endings


async def test_task_that_loses_cancellations_is_ended() -> None:
    """nbclient loses a cancellation if a cell's outputs are complete at the same moment."""
    lost = 0

    async def work() -> None:
        nonlocal lost
        while lost < 2:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            lost += 1
        await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await endings.ended(task)
    assert task.cancelled() and lost == 2


async def test_task_that_has_ended_stays_as_it_is() -> None:
    """Its result is its own."""
    task = asyncio.create_task(asyncio.sleep(0, "done"))
    await task
    await endings.ended(task)
    assert task.result() == "done"
