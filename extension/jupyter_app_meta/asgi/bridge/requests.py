"""The request of an ASGI scope, in tornado's form."""

from __future__ import annotations

import re
from urllib.parse import unquote

from starlette.types import Scope
from tornado import httputil

from .connection import Connection
from .paths import Place
from .refusals import Refused

HANDSHAKE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
"""The headers of a handshake that tornado expects. Servers have checked them, and some servers remove them."""

_devious = re.compile(r"(?:^|/)\.\.?(?:/|$)|[\x00-\x1f\x7f]")
"""What no browser writes into a path: it would lead elsewhere as a parameter of a mount, such as ``/t/{tenant}``."""


class Request(httputil.HTTPServerRequest):
    """A request below a mount: ``base`` is the mount's path, with a slash at both ends."""

    base: str = "/"


def read(scope: Scope, place: Place, connection: Connection) -> tuple[httputil.RequestStartLine, Request]:
    """Return a request and its first line; raises ``Refused``: 400 if it cannot be read, 404 below a devious mount."""
    if _devious.search(unquote(place.base)):
        raise Refused(404, "There is no page at this address.")
    query = bytes(scope.get("query_string") or b"").decode("latin-1")
    uri = place.base + place.route[1:] + (f"?{query}" if query else "")
    version = "HTTP/1.0" if scope.get("http_version") in ("1.0", "1") else "HTTP/1.1"  # granian leaves the zero out
    start = httputil.RequestStartLine(str(scope.get("method") or "GET"), uri, version)
    try:
        headers = _headers(scope)
        _check_host(headers, version)
        request = Request(start_line=start, headers=headers, connection=connection)
    except (httputil.HTTPInputError, ValueError) as error:
        raise Refused(400, "The request cannot be read: its headers or its query are invalid.") from error
    request.base, request.path = place.base, place.route
    return start, request


def _headers(scope: Scope) -> httputil.HTTPHeaders:
    headers = httputil.HTTPHeaders()
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    if not str(scope.get("http_version") or "1.1").startswith("1"):
        pairs = _one_cookie_line(pairs)
    for name, value in pairs:
        if value or name.lower() != "host":  # granian adds an empty Host if there is none
            headers.add(name, value)
    if scope["type"] == "websocket":
        headers.update(HANDSHAKE)
        if offered := scope.get("subprotocols"):
            headers["Sec-WebSocket-Protocol"] = ", ".join(offered)
    return headers


def _one_cookie_line(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Join the cookies, which HTTP/2 sends one by one (RFC 9113, 8.2.3); tornado would join them with a comma."""
    cookies = [value for name, value in pairs if name.lower() == "cookie"]
    others = [pair for pair in pairs if pair[0].lower() != "cookie"]
    return [*others, ("cookie", "; ".join(cookies))] if cookies else others


def _check_host(headers: httputil.HTTPHeaders, version: str) -> None:
    """Refuse what newer versions of tornado refuse: no Host in HTTP/1.1, or more than one."""
    hosts = headers.get_list("Host")
    if len(hosts) > 1 or (not hosts and version != "HTTP/1.0"):
        raise Refused(400, "The request must have one Host header.")
