"""From a deployer's factory to an ASGI application whose context is entered.

A factory is one of these, and is recognized in this order:

1. an object that is an asynchronous context manager, such as an instance of a FastAPI class with ``__aenter__``;
2. an awaitable, which results in one of the others;
3. a class or function that can be called without arguments; its result, or the awaited result, is 1 or 4;
4. an ASGI application, which can be called with ``scope``, ``receive`` and ``send``.

A context manager yields the application. If it yields None, it must be the application itself.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias
from weakref import WeakSet

from starlette.types import ASGIApp

from ...errors import LifespanError
from ...lifespans import takes

AppFactory: TypeAlias = Callable[[], Any] | AbstractAsyncContextManager[Any] | Awaitable[Any] | ASGIApp
"""A factory by the rules above. The type says no more, because type checkers trip over context managers, whose
instances can also be called, as decorators."""

_begun: WeakSet[Any] = WeakSet()


@asynccontextmanager
async def entered(factory: AppFactory) -> AsyncIterator[ASGIApp]:
    """Enter the context that a factory makes, and yield the application. The context is left in the same task.

    Raises LifespanError for an object that is not a factory, for a context manager that yields no application, and for
    a generator's context manager that is entered twice.
    """
    made = await _made(factory)
    if not _is_manager(made):
        yield _application(made, factory)
        return
    _refuse_second(made, factory)
    async with made as app:
        yield _application(made if app is None and _is_application(made) else app, factory)


async def _made(factory: Any) -> Any:
    if _is_manager(factory):
        return factory
    made = factory() if not inspect.isawaitable(factory) and takes(factory, 0) else factory
    return await made if inspect.isawaitable(made) and not _is_manager(made) else made


def _is_manager(value: object) -> bool:
    return hasattr(type(value), "__aenter__")


def _is_application(value: object) -> bool:
    return not isinstance(value, type) and takes(value, 3)


def _application(value: Any, factory: object) -> ASGIApp:
    if _is_application(value):
        app: ASGIApp = value
        return app
    if value is None:
        raise LifespanError(f"{_name(factory)} yields None: yield the app.")
    if value is factory:
        raise LifespanError(
            f"{_name(factory)} is neither an ASGI application nor a factory of one: give an application, or a function "
            "without parameters that returns one or is an asynccontextmanager that yields one."
        )
    raise LifespanError(f"{_name(factory)} yields {type(value).__name__}, which is not an ASGI application.")


def _refuse_second(manager: Any, factory: object) -> None:
    """Refuse to enter a generator's context a second time, before Python fails with an AttributeError."""
    if not inspect.isasyncgen(getattr(manager, "gen", None)):
        return
    if manager in _begun:
        raise LifespanError(f"{_name(factory)} is entered twice: give the function, not what it returned.")
    _begun.add(manager)


def _name(factory: object) -> str:
    return getattr(factory, "__qualname__", None) or type(factory).__name__
