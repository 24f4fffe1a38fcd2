"""What a stamp says, item by item, the most important first: what does not fit is dropped from the end.

1. The user comes first: who made the request stays known whatever else the request holds.
2. Nothing that a visitor can make long stands before what the server or its deployer says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .model import AppMeta, HTTPRequest

Item = tuple[str, str | None, Any]  # ("headers", "accept", "*/*"); ("method", None, "GET") for what has no names

_CORE = ("is_authenticated", "username", "kind", "admin", "is_owner", "assurance")
_CHOSEN = frozenset(("name", "display_name", "initials", "color"))  # some servers let their visitors set these
_OWN_SESSION = ("client_id", "kernel_id")  # the visitor may write the other two


def by_importance(meta: AppMeta) -> Iterator[Item]:
    """Yield what may be dropped on its own, the most important first; each value of a repeated name."""
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
    yield "url", None, str(request.url.replace(query=""))  # "query" has it: neither can lack what the other has
    yield from (("path_params", *item) for item in request.path_params.items())
    yield from (("query", *item) for item in request.query_params.multi_items())
    yield from (("headers", *item) for item in request.headers.items())
    yield from (("cookies", *item) for item in request.cookies.items())
