"""What happens to a request before any route sees it: it is checked, and gets the address that its visitor sees.

1. A request that no route could read is refused here: its Host, Origin or path is invalid. So is one for a name that is
   not the server's (``hosts``).
2. The address that the visitor sees is ``public_url``, or else the address that one of ``trusted_proxies`` sends in
   X-Forwarded-Host, -Port, -Proto and -Prefix, or else that of the request itself. It is written into the request, so
   that all code that compares an Origin, makes a link or tells a notebook its URL uses the same address.
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

from ....errors import DashboardError
from ....policy import proxies
from ....server import capture
from ..cookies import LOGIN
from .hosts import Hosts

_host = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?", re.ASCII)
_control = re.compile(r"[\x00-\x1f\x7f]")
_public = re.compile(r"(https?)://([^/?#@\s]+)(/[^?#\s]*)?")

PORTS = {"http": "80", "https": "443"}
"""The default ports, which are left out of a host."""


@dataclass(frozen=True, slots=True)
class Front:
    """How the server is reached: its prefix, the address that visitors see, and whose headers are believed."""

    base_url: str
    public: tuple[str, str] | None
    is_proxy: Callable[[Address | None], bool]
    hosts: Hosts
    trust_xheaders: bool = False

    def receive(self, request: HTTPServerRequest) -> int | None:
        """Give the request the address that its visitor sees; return a status if the request gets no further."""
        if not _is_readable(request):
            return 400
        if not self.hosts.answers_to(request.host, _came_to(request)):
            return 403
        if _control.search(unquote(request.path)):
            return 404
        _keep_first(request)
        if self.public:
            _set_address(request, *self.public)
            self._add_prefix(request)
        elif self.is_proxy(capture.peer(request)):
            _set_address(request, _forwarded_scheme(request), _forwarded_host(request))
            if _last(request, "X-Forwarded-Prefix").strip("/") == self.base_url.strip("/"):
                self._add_prefix(request)
        return None

    def address(self, request: HTTPServerRequest) -> str | None:
        """Return the address that counts for limits: the visitor's, if it can be known; None if no address is known."""
        peer = capture.peer(request)
        if self.is_proxy(peer):  # if the proxy names no address, its own address counts
            return _group(self._forwarded_for(request)) or _group(peer.host if peer else None)
        if self.trust_xheaders:
            return _group(request.remote_ip)
        return _group(peer.host if peer else None)

    def _forwarded_for(self, request: HTTPServerRequest) -> str | None:
        """Return the last address that is not a proxy's. A client can write any addresses before it."""
        told = ",".join(request.headers.get_list("X-Forwarded-For")).split(",")
        for text in reversed([part for part in told if part.strip()]):
            found = proxies.address(text)
            if found is None or not self.is_proxy(Address(str(found), 0)):
                return str(found) if found else None
        return None

    def _add_prefix(self, request: HTTPServerRequest) -> None:
        """Add the prefix that a proxy cut off, because all of our routes are below it."""
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


def _came_to(request: HTTPServerRequest) -> tuple[str, int] | None:
    """Return the address and port of this machine to which a connection of tornado came; None for other connections."""
    stream = getattr(request.connection, "stream", None)
    with suppress(OSError, AttributeError):
        name = stream.socket.getsockname()  # type: ignore[union-attr]  # other connections have none
        return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None
    return None


def _is_origin(text: str) -> bool:
    """Whether this is one readable origin; raises ValueError for some texts that are not."""
    return "," not in text and urlsplit(text).netloc is not None


def _keep_first(request: HTTPServerRequest) -> None:
    """Drop a second cookie of a name that is ours. It belongs to a shorter path of the same host.

    There, another server may be, or the same one may be mounted a second time.
    """
    lines = request.headers.get_list("Cookie")
    pairs = [pair.strip() for pair in ";".join(lines).split(";")]
    kept, seen = [], set[str]()
    for pair in pairs:
        name = pair.partition("=")[0].strip()
        if name in seen:
            continue
        if name == "_xsrf" or name.startswith(LOGIN):
            seen.add(name)
        kept.append(pair)
    if len(kept) < len(pairs):
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
    is_own = port.isdecimal() and len(port) <= 5 and port not in PORTS.values()  # 80 and 443 may be an inner proxy's
    if is_own and not re.search(r":\d+$", host):
        host = f"{host}:{port}"
    return _without_default_port(_forwarded_scheme(request), host)


def _without_default_port(scheme: str, host: str) -> str:
    return host.removesuffix(f":{PORTS[scheme]}")


def _last(request: HTTPServerRequest, name: str) -> str:
    """Return what the nearest proxy added to a header that is a list."""
    return ",".join(request.headers.get_list(name)).rpartition(",")[2].strip()


def _group(text: str | None) -> str | None:
    """Return an address as limits count it. For IPv6 it is the network, because one client has the whole network."""
    try:
        found: Any = ip_address(text or "")
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped else f"{IPv6Address(int(found) >> 64 << 64)}/64"
    return str(found)
