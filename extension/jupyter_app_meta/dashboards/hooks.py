"""What the deployer's ``authorize`` and ``on_error`` decide about a page.

They fail closed: if ``authorize`` raises an error, or returns anything but a bool or a URL, the visitor is refused.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ..model import HTTPRequest, User
from ..server.hooks import FAILED, META_LIMIT, Authorize, Meta, OnError, ValidateCallback, call, meta_of, name

_no_url = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # a header with these cannot be sent, or means something else

FORBIDDEN, NOT_FOUND = 403, 404

__all__ = ["META_LIMIT", "Authorize", "Meta", "OnError", "meta_of", "page", "refusal", "verdict"]


async def verdict(authorize: Authorize | None, request: HTTPRequest, log: logging.Logger) -> bool | str:
    """Return whether a visitor may see a page, or the URL to send them to."""
    if authorize is None:
        return True
    answer = await call(authorize, log, request.user or User(), request)
    if answer is True or (isinstance(answer, str) and answer and not _no_url.search(answer)):
        return answer
    if answer is not False and answer is not FAILED:
        log.warning(
            "%s returned a %s, not a bool or URL: the visitor is refused.", name(authorize), type(answer).__name__
        )
    return False


async def refusal(
    callback: ValidateCallback, app_path: str, scope: MutableMapping[str, Any] | None, log: logging.Logger
) -> int | None:
    """Return the status with which a ``validate_callback`` refuses a visitor; None if it admits the visitor.

    False refuses with 404. An error refuses with its ``status_code``, if that is a status of an error, and otherwise
    with 403. Its text is not shown.
    """
    if scope is None:
        return FORBIDDEN
    answer = await call(_with_status(callback), log, app_path, scope)
    if answer is True:
        return None
    if answer is False:
        return NOT_FOUND
    if isinstance(answer, _Refusal):
        return answer.status
    if answer is not FAILED:
        log.warning("%s returned a %s, not a bool: the visitor is refused.", name(callback), type(answer).__name__)
    return FORBIDDEN


def _with_status(callback: ValidateCallback) -> Callable[..., Awaitable[object]]:
    """Return a function that returns a refusal where the callback raises an error that has a status."""

    async def asked(app_path: str, scope: MutableMapping[str, Any]) -> object:
        try:
            answer = callback(app_path, scope)
            return await answer if inspect.isawaitable(answer) else answer
        except Exception as error:
            if status := _status(error):
                return _Refusal(status)
            raise

    asked.__qualname__ = name(callback)  # the log names the deployer's function
    return asked


class _Refusal:
    """A status that the deployer's own error has."""

    def __init__(self, status: int) -> None:
        self.status = status


def _status(error: Exception) -> int:
    """Return the status that an error has; 0 if it has none that refuses."""
    found = vars(error).get("status_code") if hasattr(error, "__dict__") else None
    if found is None:
        found = getattr(type(error), "status_code", None)
    if not isinstance(found, int) or isinstance(found, bool):
        return 0
    return int(found) if 400 <= found <= 599 else 0  # it may be one of http.HTTPStatus


async def page(on_error: OnError | None, status: int, request: HTTPRequest | None, log: logging.Logger) -> str | None:
    """Return the deployer's own error page; None if the server's own page is to be shown."""
    answer = await call(on_error, log, status, request) if on_error is not None else None
    return answer if isinstance(answer, str) else None
