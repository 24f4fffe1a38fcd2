"""A tornado handler → RawRequest. It copies facts and decides nothing.

What tornado 6 does that matters here: repeated Cookie lines are joined with a comma and lose
cookies, so each line is parsed; cookies are Morsels, so their value is taken; ``remote_ip`` is
whatever a header claims where xheaders are on, so the socket's own peer is taken.
"""

from __future__ import annotations

from jupyter_server.base.handlers import JupyterHandler
from starlette.datastructures import Address
from tornado.httputil import HTTPServerRequest, parse_cookie

from ..model import User
from ..policy import RawRequest


def raw_request(handler: JupyterHandler, user: User | None) -> RawRequest:
    """Return the facts of a handler's request, unfiltered; raises nothing for odd bytes."""
    request = handler.request
    return RawRequest(
        method=request.method or "",
        url=request.full_url(),
        base_url=f"{request.protocol}://{request.host}{handler.base_url}",
        headers=tuple(request.headers.get_all()),
        cookies=cookies(request),
        path_params={name: str(value) for name, value in handler.path_kwargs.items() if value is not None},
        user=user,
        client=peer(request),
        own_cookies=own_cookies(handler),
    )


def own_cookies(handler: JupyterHandler) -> frozenset[str]:
    """Return the names of the cookies that log a browser in to this server, or guard its forms."""
    provider, settings = handler.identity_provider, handler.settings
    hubs = (getattr(provider, "hub_auth", None), settings.get("hub_auth"))
    of_hub = (getattr(hub, "cookie_name", None) for hub in hubs)
    names = (provider.get_cookie_name(handler), settings.get("xsrf_cookie_name"), *of_hub)
    return frozenset(name for name in names if isinstance(name, str))


def cookies(request: HTTPServerRequest) -> tuple[tuple[str, str], ...]:
    """Return the request's cookies, of all its Cookie lines."""
    lines = request.headers.get_list("Cookie")
    return tuple((name, value) for name, value in parse_cookie("; ".join(lines)).items() if name)


def peer(request: HTTPServerRequest) -> Address | None:
    """Return the socket's true peer, whatever headers say; None for a unix socket."""
    context = getattr(request.connection, "context", None)
    address = getattr(context, "address", None)
    if not isinstance(address, tuple) or len(address) < 2:
        return None
    return Address(str(address[0]), int(address[1]))
