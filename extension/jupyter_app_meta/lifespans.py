"""The deployer's lifespan: a context that a server enters before it serves and leaves at the end, and its variables.

1. A lifespan is entered and left in one task, with ``async with``, because anyio refuses any other way.
2. Its ContextVars are noted once it is entered. They are set again in each request, so that a value that one request
   sets does not reach another request.
3. The server's own work runs in a copy of the lifespan's context, which has nothing of a visitor.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio

from .errors import LifespanError

Lifespan = Callable[..., AbstractAsyncContextManager[Mapping[str, Any] | None]]
"""A function that takes the application, as FastAPI's ``lifespan=`` does, or that takes nothing."""

T = TypeVar("T")

ABSENT = object()
"""Stands for the value of a ContextVar that is not set."""

MARK = "jupyter_app_meta_request"
"""The name of the ContextVar that tells the contexts of one request from those of another."""

NOTE = "The lifespan raised this."
"""The note of an error that was raised while a lifespan was entered or left."""

NEVER = frozenset({MARK, "app_meta_asgi_request", "_name_value_map"})
"""Names of ContextVars that are never carried: our marks of requests, and jupyter_server's CallContext, which has a
visitor's handler."""


def changed(before: Context, after: Context) -> dict[ContextVar[Any], Any]:
    """Return the variables whose value differs in the second context, with that value."""
    return {
        variable: value
        for variable, value in after.items()
        if before.get(variable, ABSENT) is not value and variable.name not in NEVER
    }


@dataclass(frozen=True, slots=True)
class Variables:
    """The ContextVars that a lifespan has set."""

    values: Mapping[ContextVar[Any], Any] = field(default_factory=dict)

    @classmethod
    def since(cls, before: Context) -> Variables:
        """Return the variables that were set in the current context since this copy of it was made."""
        return cls(changed(before, copy_context()))

    def bind(self) -> None:
        """Set these variables in the current context."""
        for variable, value in self.values.items():
            variable.set(value)


class Ambient:
    """The context of a server's own work, and the ContextVars that each request must see."""

    def __init__(self) -> None:
        self.variables = Variables()
        self._context = Context()

    def enter(self, variables: Variables | None = None) -> None:
        """Take the current context, which is the lifespan's; ``variables`` are for each request of tornado's server."""
        self._context = copy_context()
        self.variables = variables or Variables()

    def context(self) -> Context:
        """Return a copy of the lifespan's context; an empty one if there is no lifespan."""
        return self._context.copy()


@asynccontextmanager
async def entered(lifespan: Lifespan | None, app: object) -> AsyncIterator[Mapping[str, Any]]:
    """Enter a lifespan of this application, and yield its state as a mapping.

    Raises LifespanError for a function that returns no asynchronous context manager, or that yields something other
    than a mapping or None.
    """
    if lifespan is None:
        yield {}
        return
    thrown: BaseException | None = None
    try:
        async with _manager(lifespan, app) as state:
            if not isinstance(state, Mapping | None):
                raise LifespanError(f"lifespan must yield a dict or nothing, not {_kind(state)}.")
            try:
                yield state or {}
            except BaseException as error:
                thrown = error
                raise
    except BaseException as error:
        if error is not thrown:
            error.add_note(NOTE)
        raise


def is_of_lifespan(error: BaseException) -> bool:
    """Whether this error was raised by entering or leaving a lifespan, and not by the code within."""
    return NOTE in getattr(error, "__notes__", ())


def _manager(lifespan: Lifespan, app: object) -> AbstractAsyncContextManager[Mapping[str, Any] | None]:
    manager = lifespan(app) if takes(lifespan, 1) else lifespan()
    if not hasattr(type(manager), "__aenter__"):
        _close(manager)
        raise LifespanError(
            f"lifespan must return an asynchronous context manager, not {_kind(manager)}: "
            "decorate it with contextlib.asynccontextmanager."
        )
    return manager


def takes(function: object, count: int) -> bool:
    """Whether a function can be called with this number of positional arguments; False for any other object."""
    if not callable(function):
        return False
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # a builtin has no signature
        return True
    return True


def _kind(value: object) -> str:
    return type(value).__name__


def _close(value: object) -> None:
    if inspect.iscoroutine(value):
        value.close()  # otherwise Python warns that it was never awaited


async def shielded(work: Coroutine[Any, Any, T]) -> T:
    """Return what this work returns once it has ended, even if the current task is cancelled in the meantime.

    A cancellation is raised once the work has ended. anyio cancels a task again and again, so its own shield is used.
    """
    task = asyncio.get_running_loop().create_task(work)
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None and not task.cancelled() and task.exception() is None:
        raise cancelled
    return task.result()
