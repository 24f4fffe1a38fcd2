"""Authors' functions that events call: on the main loop, in the context of the code that registered them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextvars import Context
from typing import Any

_tasks: set[asyncio.Task[None]] = set()


def call(kernel: Any, context: Context, function: Callable[[Any], Any], argument: object) -> None:
    """Call a function, which may be async; its error is logged. The main loop calls this."""
    context = context.copy()
    try:
        result = context.run(function, argument)
        if inspect.iscoroutine(result):
            task = asyncio.get_running_loop().create_task(_logged(kernel, result), context=context)
            _tasks.add(task)
            task.add_done_callback(_tasks.discard)
    except Exception as error:
        _log(kernel, error)


async def _logged(kernel: Any, work: Any) -> None:
    try:
        await work
    except Exception as error:
        _log(kernel, error)


def _log(kernel: Any, error: Exception) -> None:
    kernel.log.error("A function that an event called failed (%s).", type(error).__name__, exc_info=error)
