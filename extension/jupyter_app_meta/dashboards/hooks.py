"""What a deployer's own functions decide: ``authorize``, ``meta`` and ``on_error``, plain or async.

They fail closed: one that raises, or answers something that was not asked for, admits nobody and
adds nothing. Only its name and the error's kind are logged: the text may hold a visitor's data.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..model import HTTPRequest, User

Authorize = Callable[[User, HTTPRequest], bool | str | Awaitable[bool | str]]
Meta = Callable[[HTTPRequest], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]
OnError = Callable[[int, HTTPRequest | None], str | Awaitable[str | None] | None]

META_LIMIT = 4096
"""The most bytes that the deployer's own fields may take as JSON."""


async def verdict(authorize: Authorize | None, request: HTTPRequest, log: logging.Logger) -> bool | str:
    """Return whether a visitor may see a page, or the URL to send them to."""
    if authorize is None:
        return True
    answer = await _call(authorize, log, request.user or User(), request)
    if answer is True or (isinstance(answer, str) and answer):
        return answer
    if answer is not False and answer is not _failed:
        log.warning("%s answered with a %s, not with a bool or URL: refused.", _name(authorize), type(answer).__name__)
    return False


async def facts(meta: Meta | None, request: HTTPRequest, log: logging.Logger) -> Mapping[str, Any]:
    """Return the deployer's own fields for a request; none where they are no JSON object, or too big."""
    answer = await _call(meta, log, request) if meta else {}
    if answer is _failed:
        return {}
    try:
        text = json.dumps(dict(answer), allow_nan=False)
        plain: dict[str, Any] = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        log.warning("%s did not answer with a dict of JSON values: request.meta is empty.", _name(meta))
        return {}
    if len(text) > META_LIMIT:
        log.warning("%s answered with more than %s bytes: request.meta is empty.", _name(meta), META_LIMIT)
        return {}
    return plain


async def page(on_error: OnError | None, status: int, request: HTTPRequest | None, log: logging.Logger) -> str | None:
    """Return the deployer's own error page; None for ours."""
    answer = await _call(on_error, log, status, request) if on_error else None
    return answer if isinstance(answer, str) else None


_failed = object()


async def _call(function: Callable[..., Any], log: logging.Logger, *arguments: Any) -> Any:
    try:
        answer = function(*arguments)
        return await answer if inspect.isawaitable(answer) else answer
    except Exception as error:
        log.error("%s raised %s.", _name(function), type(error).__name__)
        log.debug("It was raised here:", exc_info=True)
        return _failed


def _name(function: object) -> str:
    return getattr(function, "__qualname__", type(function).__name__)
