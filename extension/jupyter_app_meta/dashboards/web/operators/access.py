"""Which clients may read what is meant for operators: those with the token, or without one those of this machine.

A proxy on this machine makes each visitor look like a client of this machine. So without a token a request is refused
if anything says that a proxy may have passed it on.
"""

from __future__ import annotations

from hmac import compare_digest
from ipaddress import ip_address

from tornado.httputil import HTTPServerRequest

from ....server import capture
from ..arrivals.front import Front

FORWARDED = ("Forwarded", "Via", "X-Real-Ip", "X-Scheme")
LOCAL = ("localhost", "127.0.0.1", "::1")


def may_read(request: HTTPServerRequest, front: Front, token: str | None) -> bool:
    """Return whether a client may read what is meant for operators."""
    if token:
        return _has_token(request, token)
    return not _may_be_passed_on(request, front) and _is_local(request)


def _has_token(request: HTTPServerRequest, token: str) -> bool:
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    is_known = compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
    return kind.lower() == "bearer" and is_known


def _may_be_passed_on(request: HTTPServerRequest, front: Front) -> bool:
    is_told = any(name in FORWARDED or name.startswith("X-Forwarded-") for name in request.headers)
    return bool(is_told or front.public or front.trust_xheaders or front.is_proxy(capture.peer(request)))


def _is_local(request: HTTPServerRequest) -> bool:
    """Whether the peer is on this machine, and was asked for by a name of this machine, which no website can do."""
    peer = capture.peer(request)
    try:
        is_loopback = peer is not None and ip_address(peer.host.partition("%")[0]).is_loopback
    except ValueError:
        return False
    return is_loopback and request.host_name in LOCAL
