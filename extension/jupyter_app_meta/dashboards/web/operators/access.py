"""Which clients may read what is meant for operators: those with the token, or without one those of this machine."""

from __future__ import annotations

from hmac import compare_digest

from tornado.httputil import HTTPServerRequest

from ....server import capture
from ....server.local import is_local
from ..arrivals.front import Front


def may_read(request: HTTPServerRequest, front: Front, token: str | None) -> bool:
    """Return whether a client may read what is meant for operators."""
    if token:
        return _has_token(request, token)
    return not _is_behind(request, front) and is_local(request)


def _has_token(request: HTTPServerRequest, token: str) -> bool:
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    is_known = compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
    return kind.lower() == "bearer" and is_known


def _is_behind(request: HTTPServerRequest, front: Front) -> bool:
    """Whether an option says that the server is behind a proxy."""
    return bool(front.public or front.trust_xheaders or front.is_proxy(capture.peer(request)))
