"""The access log: one line for each page, and one for each request that was not simply answered; never a credential.

A page's line has status, visitor, path without query, duration, and how its kernel began. Other lines have method, URL,
visitor and address too. Without ``log_users`` a visitor is a number that is the same for the same visitor, and the
address is left out.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jupyter_server.prometheus.log_functions import prometheus_log_method
from tornado import web

from ...policy import Policy
from ...server.reports.json_lines import FIELDS
from ...server.reports.logs import printable
from . import cuts

LONGEST = 500
"""How many characters of a URL are logged."""


@dataclass(frozen=True, slots=True)
class Names:
    """How visitors are named: as they are, or by a number that only this server's secret can make."""

    secret: bytes
    are_shown: bool = True

    def of(self, handler: web.RequestHandler) -> str:
        """Return the name of the visitor of a request; empty if the visitor is not known."""
        user: Any = getattr(handler, "_jupyter_current_user", None)
        name = str(getattr(user, "username", "")) if user is not None else ""
        if self.are_shown or not name:
            return name
        return "~" + hmac.new(self.secret, name.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:12]

    def address(self, handler: web.RequestHandler) -> str:
        """Return where a request came from."""
        return f"@{handler.request.remote_ip}" if self.are_shown else ""


def log_function(policy: Policy, log: logging.Logger, names: Names) -> Callable[[web.RequestHandler], None]:
    """Return the function that tornado calls when a request is done."""

    def write(handler: web.RequestHandler) -> None:
        if start := getattr(handler, "page_start", ""):
            _write_page(handler, start)
        else:
            _write_request(handler)
        prometheus_log_method(handler)

    def _write_page(handler: web.RequestHandler, start: str) -> None:
        path = printable(url(handler.request.path, policy), LONGEST)
        who, milliseconds = printable(names.of(handler)), round(1000 * handler.request.request_time())
        status = handler.get_status()
        fields = {"status": status, "user": who, "path": path, "ms": milliseconds, "start": start}
        log.info("page %s %s %s %sms %s", status, who or "-", path, milliseconds, start, extra={FIELDS: fields})

    def _write_request(handler: web.RequestHandler) -> None:
        status, request = handler.get_status(), handler.request
        who = f"({names.of(handler)}{names.address(handler)})"
        parts = [str(status), request.method, url(request.uri, policy), who]
        parts.append(f"{1000 * request.request_time():.2f}ms")
        if status >= 400 and (referer := request.headers.get("Referer")):
            parts.append(f"referer={url(referer, policy)}")
        log.log(_level(status), "%s", " ".join(printable(part, LONGEST) for part in parts))

    return write


def url(text: str | None, policy: Policy) -> str:
    """Return a URL as it may be logged."""
    return cuts.without_secrets(text or "", policy.secret_query) or "(no URL)"


def _level(status: int) -> int:
    """Return the level of a line: what was simply answered is not worth a line, and a full server is not an error."""
    if status < 300 or status == 304:
        return logging.DEBUG
    if status < 400:
        return logging.INFO
    return logging.WARNING if status < 500 or status == 503 else logging.ERROR
