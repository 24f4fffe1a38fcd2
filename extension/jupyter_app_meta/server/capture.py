"""A tornado handler → RawRequest. This module copies a request and decides nothing.

1. tornado 6 joins repeated Cookie lines with a comma and loses cookies, so each line is parsed here.
2. If tornado trusts ``X-Real-IP`` and similar headers (xheaders), ``remote_ip`` is a header's value, so the address of
   the socket's peer is used instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from starlette.datastructures import Address
from tornado.httputil import HTTPServerRequest, parse_cookie

from ..model import User
from ..policy import RawRequest


def raw_request(handler: JupyterHandler, user: User | None) -> RawRequest:
    """Return a handler's request, unfiltered; never raises for odd bytes."""
    request, mount_params = handler.request, params_of_mount(handler.request)
    own = {name: str(value) for name, value in handler.path_kwargs.items() if value is not None}
    return RawRequest(
        method=request.method or "",
        url=request.full_url(),
        base_url=f"{request.protocol}://{request.host}{handler.base_url}",
        headers=tuple(request.headers.get_all()),
        cookies=cookies(request),
        path_params={**mount_params, **own},
        user=user,
        client=peer(request),
        own_cookies=own_cookies(handler),
        mount_params=mount_params,
        scope=scope_of(request),
        browser=browser(handler),
    )


def browser(handler: JupyterHandler) -> str | None:
    """Return the id in the login cookie of a browser, which the server has verified or makes now; None without one."""
    try:
        user, provider = handler.current_user, handler.identity_provider
        if getattr(user, "is_anonymous", False) and (session := getattr(user, "session", None)):
            return str(session.id)  # our providers' cookie names a session
        name = provider.get_cookie_name(handler)
        made = getattr(handler, "_new_cookie", None) or {}
        value = made[name].value if name in made else None
        text = handler.get_secure_cookie(name, value, **provider.get_secure_cookie_kwargs)
        found = json.loads(text or b"{}").get("username")
    except Exception:  # the deployer's provider may do without a cookie, or write anything into it
        return None
    return found if isinstance(found, str) and found else None


def scope_of(request: HTTPServerRequest) -> Mapping[str, Any] | None:
    """Return the ASGI scope of a request; None if tornado's own server received it."""
    found = getattr(request.connection, "scope", None)
    return found if isinstance(found, Mapping) else None


def params_of_mount(request: HTTPServerRequest) -> dict[str, str]:
    """Return the path parameters of the place at which an ASGI host has mounted the server.

    Starlette's mount has a further parameter, ``path``, which is the rest of the path.
    """
    found = (scope_of(request) or {}).get("path_params")
    if not isinstance(found, Mapping):
        return {}
    return {str(name): str(value) for name, value in found.items() if name != "path"}


def own_cookies(handler: JupyterHandler) -> frozenset[str]:
    """Return the names of the cookies that log a browser in to this server, or protect its forms (XSRF)."""
    provider, settings = handler.identity_provider, handler.settings
    hubs = (getattr(provider, "hub_auth", None), settings.get("hub_auth"))
    of_hub = (getattr(hub, "cookie_name", None) for hub in hubs)
    names = (provider.get_cookie_name(handler), settings.get("xsrf_cookie_name"), *of_hub)
    return frozenset(name for name in names if isinstance(name, str))


def cookies(request: HTTPServerRequest) -> tuple[tuple[str, str], ...]:
    """Return the request's cookies from all of its Cookie lines."""
    lines = request.headers.get_list("Cookie")
    return tuple((name, value) for name, value in parse_cookie("; ".join(lines)).items() if name)


def peer(request: HTTPServerRequest) -> Address | None:
    """Return the address of the socket's peer, which no header can change; None for a unix socket."""
    context = getattr(request.connection, "context", None)
    address = getattr(context, "address", None)
    if not isinstance(address, tuple) or len(address) < 2:
        return None
    return Address(str(address[0]), int(address[1]))
