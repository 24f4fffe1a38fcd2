"""Whether a request comes from this machine, as far as that can be known. In doubt it does not.

A proxy on this machine makes each visitor look like a client of this machine. So a request that says that it was passed
on is not a local one, and neither is one that asks for another host's name, as a website could make a browser do.
"""

from __future__ import annotations

from ipaddress import ip_address

from tornado.httputil import HTTPServerRequest

from . import capture

PASSED_ON = ("Forwarded", "Via", "X-Real-Ip", "X-Scheme")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def is_local(request: HTTPServerRequest) -> bool:
    """Return whether a client of this machine asks for a name of this machine, and no header names a proxy."""
    if any(name in PASSED_ON or name.startswith("X-Forwarded-") for name in request.headers):
        return False
    peer = capture.peer(request)
    try:
        is_loopback = peer is not None and ip_address(peer.host.partition("%")[0]).is_loopback
    except ValueError:
        return False
    return is_loopback and request.host_name.strip("[]") in LOOPBACK
