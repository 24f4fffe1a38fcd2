"""What a request is before any route sees it: readable, and with the address that its visitor sees.

1. A request that no route could read is refused here: one with an invalid Host, Origin or path.
2. The visitor's address is ``public_url``, else what one of ``trusted_proxies`` says in X-Forwarded-Host, -Port,
   -Proto and -Prefix, else what the request itself says. It stands in the request from here on, so that all that
   compares an Origin, makes a link or tells a notebook its URL means the same one.
3. X-Forwarded-Host is believed only from a trusted proxy.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Address
from tornado.httputil import HTTPServerRequest

from ...errors import DashboardError
from ...policy import proxies
from ...server import capture

_host = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?", re.ASCII)
_control = re.compile(r"[\x00-\x1f\x7f]")
_public = re.compile(r"(https?)://([^/?#@\s]+)(/[^?#\s]*)?")

PORTS = {"http": "80", "https": "443"}
"""The ports that are left out of a host."""


@dataclass(frozen=True, slots=True)
class Front:
    """How the server is reached: its prefix, its address as visitors see it, and whose headers are believed."""

    base_url: str
    public: tuple[str, str] | None
    is_proxy: Callable[[Address | None], bool]
    trust_xheaders: bool = False

    def receive(self, request: HTTPServerRequest) -> int | None:
        """Give the request the address that its visitor sees; return the status of one that cannot be read."""
        if not _is_readable(request):
            return 400
        if _control.search(unquote(request.path)):
            return 404
        _keep_first_xsrf(request)
        if self.public:
            _set_address(request, *self.public)
            self._add_prefix(request)
        elif self.is_proxy(capture.peer(request)):
            _set_address(request, _forwarded_scheme(request), _forwarded_host(request))
            if _last(request, "X-Forwarded-Prefix").strip("/") == self.base_url.strip("/"):
                self._add_prefix(request)
        return None

    def address(self, request: HTTPServerRequest) -> str | None:
        """Return whose address counts for limits: the visitor's, as far as it can be known; None where it cannot."""
        peer = capture.peer(request)
        if self.is_proxy(peer):  # what a proxy does not tell is counted as one visitor: the proxy's
            return _group(self._forwarded_for(request)) or _group(peer.host if peer else None)
        if self.trust_xheaders:
            return _group(request.remote_ip)
        return _group(peer.host if peer else None)

    def _forwarded_for(self, request: HTTPServerRequest) -> str | None:
        """Return the last address that is not a proxy's: those before it are the client's to write."""
        told = ",".join(request.headers.get_list("X-Forwarded-For")).split(",")
        for text in reversed([part for part in told if part.strip()]):
            found = proxies.address(text)
            if found is None or not self.is_proxy(Address(str(found), 0)):
                return str(found) if found else None
        return None

    def _add_prefix(self, request: HTTPServerRequest) -> None:
        """Undo what a proxy cut off: all of our routes are below the prefix."""
        if not f"{request.path}/".startswith(self.base_url):
            request.path = self.base_url + request.path.lstrip("/")
            request.uri = self.base_url + (request.uri or "").lstrip("/")


def public_address(public_url: str, base_url: str) -> tuple[str, str] | None:
    """Return the scheme and host of ``public_url``, or None if it is empty; raises DashboardError if it is invalid."""
    if not public_url:
        return None
    parts = _public.fullmatch(public_url)
    if not parts or not _host.fullmatch(parts[2]):
        raise DashboardError(
            "public_url must be the address that visitors see, such as 'https://example.org/apps/', without a query."
        )
    path = f"{parts[3] or ''}/".replace("//", "/")
    if path not in ("/", base_url):
        raise DashboardError(f"public_url has the path {path}, and base_url is {base_url}: give base_url={path!r}.")
    return parts[1], _without_default_port(parts[1], parts[2].lower())


def _is_readable(request: HTTPServerRequest) -> bool:
    origins = (request.headers.get(name) for name in ("Origin", "Sec-Websocket-Origin"))
    with suppress(ValueError):
        return all(map(_is_origin, filter(None, origins))) and bool(_host.fullmatch(request.host))
    return False


def _is_origin(text: str) -> bool:
    """Whether this is one origin that can be read; raises ValueError for some that are not."""
    return "," not in text and urlsplit(text).netloc is not None


def _keep_first_xsrf(request: HTTPServerRequest) -> None:
    """Drop a second ``_xsrf`` cookie: it is that of another server, at a shorter path of the same host."""
    lines = request.headers.get_list("Cookie")
    pairs = [pair.strip() for pair in ";".join(lines).split(";")]
    places = [place for place, pair in enumerate(pairs) if pair.startswith("_xsrf=")]
    if len(places) > 1:
        kept = (pair for place, pair in enumerate(pairs) if place not in places[1:])
        request.headers["Cookie"] = "; ".join(kept)


def _set_address(request: HTTPServerRequest, scheme: str, host: str) -> None:
    request.protocol = scheme
    request.host = request.headers["Host"] = host
    request.host_name = urlsplit(f"//{host}").hostname or host


def _forwarded_scheme(request: HTTPServerRequest) -> str:
    told = _last(request, "X-Forwarded-Proto").lower()
    return told if told in PORTS else request.protocol


def _forwarded_host(request: HTTPServerRequest) -> str:
    told = _last(request, "X-Forwarded-Host")
    host = told.lower() if _host.fullmatch(told) else request.host
    port = _last(request, "X-Forwarded-Port")
    is_own = port.isdecimal() and len(port) <= 5 and port not in PORTS.values()  # else it may be an inner proxy's
    if is_own and not re.search(r":\d+$", host):
        host = f"{host}:{port}"
    return _without_default_port(_forwarded_scheme(request), host)


def _without_default_port(scheme: str, host: str) -> str:
    return host.removesuffix(f":{PORTS[scheme]}")


def _last(request: HTTPServerRequest, name: str) -> str:
    """Return what the nearest proxy wrote into a header of a list."""
    return ",".join(request.headers.get_list(name)).rpartition(",")[2].strip()


def _group(text: str | None) -> str | None:
    """Return an address as limits count it: of IPv6 the network, in which one client has them all."""
    try:
        found: Any = ip_address(text or "")
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped else f"{IPv6Address(int(found) >> 64 << 64)}/64"
    return str(found)
