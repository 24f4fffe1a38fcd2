"""The deployer's own functions: how they are called, plain or async, and what of their answers is believed.

They fail closed: one that raises, or answers something that was not asked for, adds nothing. Only
its name and the error's kind are logged: the text may hold a visitor's data.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import reduce
from typing import Any

from ..errors import PolicyError
from ..model import HTTPRequest

Meta = Callable[[HTTPRequest], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]

META_LIMIT = 4096
"""The most bytes that the deployer's own fields may take as JSON."""

TIME_LIMIT = 5.0
"""The most seconds that an async function may take for them: its visitor waits."""

FAILED = object()
"""What ``call`` returns for a function that raised."""


def load(option: str, given: object) -> Callable[..., Any] | None:
    """Return the function that an option gives or names, ``module:function``; None where it is empty.

    Raises PolicyError for anything else.
    """
    if not given:
        return None
    function = _import(option, given) if isinstance(given, str) else given
    if not callable(function):
        raise PolicyError(option, f"{given!r} is no function, nor the name of one such as 'our_module:our_function'.")
    return function


def _import(option: str, text: str) -> object:
    module, colon, attributes = text.partition(":")
    if not (module and colon and attributes):
        raise PolicyError(option, f"{text!r} names no function: write 'our_module:our_function'.")
    try:
        return reduce(getattr, attributes.split("."), importlib.import_module(module))
    except Exception as error:  # a module of the deployer's own may raise anything
        raise PolicyError(option, f"{text!r} cannot be imported ({type(error).__name__}: {error}).") from error


async def facts(meta: Meta | None, request: HTTPRequest, log: logging.Logger) -> Mapping[str, Any]:
    """Return the deployer's own fields for a request; none where they are no JSON object, or too big."""
    answer = await call(meta, log, request, timeout=TIME_LIMIT) if meta else {}
    if answer is FAILED:
        return {}
    text = _text(answer)
    if text is None:
        log.warning("%s did not answer with a dict of JSON values: request.meta is empty.", name(meta))
        return {}
    if len(text) > META_LIMIT:
        log.warning("%s answered with more than %s bytes: request.meta is empty.", name(meta), META_LIMIT)
        return {}
    plain: dict[str, Any] = json.loads(text)
    return plain


def _text(answer: object) -> str | None:
    try:
        return json.dumps(dict(answer), allow_nan=False) if isinstance(answer, Mapping) else None
    except Exception:  # a mapping of the deployer's own may raise anything
        return None


async def call(function: Callable[..., Any], log: logging.Logger, *arguments: Any, timeout: float | None = None) -> Any:
    """Return what a function answers, awaited where it is async; FAILED where it raises, or takes too long."""
    try:
        async with asyncio.timeout(timeout):
            answer = function(*arguments)
            return await answer if inspect.isawaitable(answer) else answer
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task and task.cancelling():
            raise  # the request is cancelled, not the function's own work
        log.warning("%s raised %s.", name(function), type(error).__name__)
        log.debug("It was raised here:", exc_info=True)
        return FAILED


def name(function: object) -> str:
    """Return what a function is called, for logs."""
    return getattr(function, "__qualname__", type(function).__name__)
