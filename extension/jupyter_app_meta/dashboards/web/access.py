"""The access log: status, method, path, visitor, address and duration of each request; never a credential."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from jupyter_server.prometheus.log_functions import prometheus_log_method
from tornado import web

from ...policy import Policy
from ...server.reports.logs import printable
from . import cuts

LONGEST = 500
"""How many characters of a URL are logged."""


def log_function(policy: Policy, log: logging.Logger) -> Callable[[web.RequestHandler], None]:
    """Return the function that tornado calls when a request is done."""

    def write(handler: web.RequestHandler) -> None:
        status, request = handler.get_status(), handler.request
        parts = [str(status), request.method, url(request.uri, policy), f"({_who(handler)}@{request.remote_ip})"]
        parts.append(f"{1000 * request.request_time():.2f}ms")
        if status >= 400 and (referer := request.headers.get("Referer")):
            parts.append(f"referer={url(referer, policy)}")
        log.log(_level(status), "%s", " ".join(printable(part, LONGEST) for part in parts))
        prometheus_log_method(handler)

    return write


def url(text: str | None, policy: Policy) -> str:
    """Return a URL as it may be logged."""
    return cuts.without_secrets(text or "", policy.secret_query) or "(no URL)"


def _level(status: int) -> int:
    """Return the level of a line: a page that was shown is not worth a line, and a full server is not an error."""
    if status < 300 or status == 304:
        return logging.DEBUG
    if status < 400:
        return logging.INFO
    return logging.WARNING if status < 500 or status == 503 else logging.ERROR


def _who(handler: web.RequestHandler) -> str:
    user: Any = getattr(handler, "_jupyter_current_user", None)
    return str(getattr(user, "username", "")) if user is not None else ""
