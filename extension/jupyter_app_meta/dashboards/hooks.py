"""What the deployer's ``authorize`` and ``on_error`` decide about a page.

They fail closed: if ``authorize`` raises an error, or returns anything but a bool or a URL, the visitor is refused.
"""

from __future__ import annotations

import logging
import re

from ..model import HTTPRequest, User
from ..server.hooks import FAILED, META_LIMIT, Authorize, Meta, OnError, call, meta_of, name

_no_url = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # a header with these cannot be sent, or means something else

__all__ = ["META_LIMIT", "Authorize", "Meta", "OnError", "meta_of", "page", "verdict"]


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


async def page(on_error: OnError | None, status: int, request: HTTPRequest | None, log: logging.Logger) -> str | None:
    """Return the deployer's own error page; None if the server's own page is to be shown."""
    answer = await call(on_error, log, status, request) if on_error is not None else None
    return answer if isinstance(answer, str) else None
