"""How ``fake_request`` decorates a function: the function keeps its kind, and each call has a fake of its own."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Protocol, cast

from ..model import AppMeta

Steps = Generator[Any, Any, Any]
AsyncSteps = AsyncGenerator[Any, Any]


class Fake(Protocol):
    """A fake request: a block, from which others like it can be made."""

    def anew(self) -> Fake:
        """Return a fake of the same request, with state of its own."""

    def __enter__(self) -> AppMeta: ...

    def __exit__(self, *error: object) -> None: ...


def wrapper_of(fake: Fake, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the same kind, so that pytest and frameworks treat it in the same way."""
    if inspect.iscoroutinefunction(function):
        return _coroutine(fake, function)
    if inspect.isgeneratorfunction(function):
        return _generator(fake, function)
    if inspect.isasyncgenfunction(function):
        return _async_generator(fake, function)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with fake.anew():
            return function(*args, **kwargs)

    return wrapper


def _coroutine(fake: Fake, function: Callable[..., Any]) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        with fake.anew():
            return await function(*args, **kwargs)

    return wrapper


def _generator(fake: Fake, function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Steps:
        return (yield from _EachStep(fake.anew(), function(*args, **kwargs)))

    return wrapper


def _async_generator(fake: Fake, function: Callable[..., Any]) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncSteps:
        own, steps = fake.anew(), cast(AsyncSteps, function(*args, **kwargs))
        following = steps.asend(None)
        while True:
            with own:
                try:
                    item = await following
                except StopAsyncIteration:
                    return
            try:
                following = steps.asend((yield item))
            except GeneratorExit:
                with own:
                    await steps.aclose()
                raise
            except BaseException as error:
                following = steps.athrow(error)  # the generator handles it, as in ``yield from``

    return wrapper


class _EachStep(Generator[Any, Any, Any]):
    """A generator whose every step runs under the fake, while the code that drives it does not."""

    def __init__(self, fake: Fake, steps: Steps) -> None:
        self._fake = fake
        self._steps = steps

    def send(self, value: Any) -> Any:
        with self._fake:
            return self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        with self._fake:
            return self._steps.throw(*error)
