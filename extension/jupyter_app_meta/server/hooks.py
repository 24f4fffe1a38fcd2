"""The deployer's own functions: how they are called, plain or async, and what of their answers is believed.

They fail closed: one that raises, or answers something that was not asked for, adds nothing. Only
its name and the error's kind are logged: the text may hold a visitor's data.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..model import HTTPRequest

Meta = Callable[[HTTPRequest], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]

META_LIMIT = 4096
"""The most bytes that the deployer's own fields may take as JSON."""

FAILED = object()
"""What ``call`` returns for a function that raised."""


async def facts(meta: Meta | None, request: HTTPRequest, log: logging.Logger) -> Mapping[str, Any]:
    """Return the deployer's own fields for a request; none where they are no JSON object, or too big."""
    answer = await call(meta, log, request) if meta else {}
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


async def call(function: Callable[..., Any], log: logging.Logger, *arguments: Any) -> Any:
    """Return what a function answers, awaited where it is async; FAILED where it raises."""
    try:
        answer = function(*arguments)
        return await answer if inspect.isawaitable(answer) else answer
    except Exception as error:
        log.error("%s raised %s.", name(function), type(error).__name__)
        log.debug("It was raised here:", exc_info=True)
        return FAILED


def name(function: object) -> str:
    """Return what a function is called, for logs."""
    return getattr(function, "__qualname__", type(function).__name__)
