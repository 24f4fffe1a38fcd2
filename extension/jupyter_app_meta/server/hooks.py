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
from functools import reduce, wraps
from typing import Any

from traitlets.config import Config

from ..errors import PolicyError
from ..model import HTTPRequest

Meta = Callable[[HTTPRequest], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]

META_LIMIT = 4096
"""The most bytes that the deployer's own fields may take as JSON."""

DEPTH = 20
"""The most lists and dicts in one another that they may have."""

TIME_LIMIT = 5.0
"""The most seconds that an async function may take for them: its visitor waits."""

FAILED = object()
"""What ``call`` returns for a function that raised."""


def load(option: str, given: object) -> Callable[..., Any] | None:
    """Return the function that an option gives or names, ``module:function``; None where it is empty.

    Raises PolicyError for anything else.
    """
    if given is None or given == "":  # not whatever is false: an object may be, and is asked all the same
        return None
    function = _import(option, given) if isinstance(given, str) else given
    if not callable(function):
        raise PolicyError(option, f"{given!r} is no function, nor the name of one such as 'our_module:our_function'.")
    return function


def keep(config: Config, section: str, option: str) -> None:
    """Keep the function that an option gives, with the object that it belongs to, from being copied by traitlets."""
    given = config.get(section, {}).get(option)
    if callable(given) and not inspect.isfunction(given):

        @wraps(given, updated=())
        def same(*arguments: Any) -> Any:
            return given(*arguments)

        same.__qualname__ = name(given)
        config[section][option] = same


def _import(option: str, text: str) -> object:
    module, colon, attributes = text.partition(":")
    if not (module and colon and attributes):
        raise PolicyError(option, f"{text!r} names no function: write 'our_module:our_function'.")
    try:
        return reduce(getattr, attributes.split("."), importlib.import_module(module))
    except (Exception, SystemExit) as error:  # a module of the deployer's own may raise anything
        problem = f"{text!r} cannot be imported ({type(error).__name__}: {error}): is it on the server's PYTHONPATH?"
        raise PolicyError(option, problem) from error


async def facts(meta: Meta | None, request: HTTPRequest, log: logging.Logger) -> Mapping[str, Any]:
    """Return the deployer's own fields for a request; none where they are no JSON object, or too big."""
    answer = await call(meta, log, request, timeout=TIME_LIMIT) if meta is not None else {}
    if answer is FAILED:
        return {}
    text = _text(answer) if _is_plain(answer) else None
    if text is None:
        log.warning("%s did not answer with a dict of JSON values: request.meta is empty.", name(meta))
        return {}
    if len(text) > META_LIMIT:
        log.warning("%s answered with more than %s bytes: request.meta is empty.", name(meta), META_LIMIT)
        return {}
    plain: dict[str, Any] = json.loads(text)
    return plain


def _is_plain(value: object, depth: int = DEPTH) -> bool:
    """Whether the names in a value are texts, as JSON has them, and it is not too deep to be read everywhere."""
    try:
        if isinstance(value, Mapping):
            return depth > 0 and all(isinstance(key, str) and _is_plain(value[key], depth - 1) for key in value)
        return not isinstance(value, list | tuple) or (depth > 0 and all(_is_plain(item, depth - 1) for item in value))
    except Exception:  # a mapping of the deployer's own may raise anything
        return False


def _text(answer: object) -> str | None:
    try:
        return json.dumps(dict(answer), allow_nan=False) if isinstance(answer, Mapping) else None
    except Exception:  # a mapping of the deployer's own may raise anything
        return None


async def call(function: Callable[..., Any], log: logging.Logger, *arguments: Any, timeout: float | None = None) -> Any:
    """Return what a function answers, awaited where it is async; FAILED where it raises, or takes too long."""
    task = asyncio.current_task()
    try:
        async with asyncio.timeout(timeout):
            answer = function(*arguments)
            answer = await answer if inspect.isawaitable(answer) else answer
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        if task and task.cancelling():
            raise asyncio.CancelledError from error  # the request is cancelled, whatever the function makes of it
        log.warning("%s raised %s.", name(function), type(error).__name__)
        log.debug("It was raised here:", exc_info=True)
        return FAILED
    if task and task.cancelling():
        raise asyncio.CancelledError
    return answer


def name(function: object) -> str:
    """Return what a function is called, for logs."""
    return getattr(function, "__qualname__", type(function).__name__)
