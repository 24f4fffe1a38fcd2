"""The items of a stamp, the most important first: items that do not fit are dropped from the end.

1. The user comes first, so that it stays known regardless of what else the request holds.
2. Items that a visitor can make long come after everything that the server or its deployer says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .model import AppMeta, HTTPRequest

Item = tuple[str, str | None, Any]  # ("headers", "accept", "*/*"); ("method", None, "GET") for a field without names

_CORE = ("is_authenticated", "username", "kind", "admin", "is_owner", "assurance")
_CHOSEN = frozenset(("name", "display_name", "initials", "color"))  # some servers let their visitors set these
_OWN_SESSION = ("client_id", "kernel_id")  # the visitor may write the other two


def by_importance(meta: AppMeta) -> Iterator[Item]:
    """Yield the items that may be dropped one by one, the most important first, with each value of a repeated name."""
    request = meta.request
    user = request.user if request and request.user is not None else {}
    if user:
        yield "user", None, {name: user[name] for name in _CORE if name in user}
    yield from (("session", name, meta.session[name]) for name in _OWN_SESSION)
    rest = [name for name in user if name not in _CORE]
    yield from (("user", name, user[name]) for name in sorted(rest, key=_CHOSEN.__contains__))
    if request is not None:
        yield from (("meta", *item) for item in request.meta.items())
    yield from (("session", name, meta.session[name]) for name in meta.session if name not in _OWN_SESSION)
    if request is not None:
        yield from _of_visitor(request)


def _of_visitor(request: HTTPRequest) -> Iterator[Item]:
    yield "method", None, request.method
    yield "via", None, request.via
    yield "client", None, request.client
    yield "base_url", None, str(request.base_url)
    yield "url", None, str(request.url.replace(query=""))  # "query" has the query, so that the two cannot differ
    yield from (("path_params", *item) for item in request.path_params.items())
    yield from (("query", *item) for item in request.query_params.multi_items())
    yield from (("headers", *item) for item in request.headers.items())
    yield from (("cookies", *item) for item in request.cookies.items())
