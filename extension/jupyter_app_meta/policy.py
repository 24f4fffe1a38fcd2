"""Which facts of a request may enter a kernel: RawRequest + Policy → HTTPRequest. Pure.

The rules, in the order in which a name is judged (``names`` has the tables):

1. Some things never cross, under no option.
2. What looks like a credential crosses only when ``unsafe_*`` has its exact name.
3. What a proxy says about identity crosses only when ``headers_allow`` has its exact name.
4. Everything else crosses by default or by a pattern of the deployer; a credential inside a value
   is cut out of a URL, and keeps any other value back.
5. The name of whatever stays behind is listed in ``redacted``; its value is nowhere.
"""

from __future__ import annotations

import copy
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from starlette.datastructures import Address

from . import names, queries
from .datastructures import URL, Cookies, Headers, QueryParams
from .errors import PolicyError
from .model import HTTPRequest, Names, User
from .names import OPEN_HEADERS, USER_FIELDS, matches, normal

__all__ = ["OPEN_HEADERS", "USER_FIELDS", "Page", "Policy", "RawRequest", "normal", "remedy"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, repr=False)
class Page:
    """The page that a visitor looks at: its whole URL, path parameters, and the mode it means."""

    url: str
    path_params: Mapping[str, str] = field(default_factory=dict)
    mode: Literal["edit", "run"] = "edit"


@dataclass(frozen=True, slots=True, repr=False)
class RawRequest:
    """What a handler knows of its request, unfiltered. It never leaves the server, and no repr shows it.

    ``headers`` are (name, value) pairs in the order received, latin-1 as HTTP has it; ``url`` and
    ``base_url`` are absolute; ``client`` is the socket's true peer; ``own_cookies`` are the names
    of the server's own login cookies.
    """

    method: str
    url: str
    base_url: str
    headers: Pairs = ()
    cookies: Pairs = ()
    path_params: Mapping[str, str] = field(default_factory=dict)
    user: User | None = None
    client: Address | None = None
    own_cookies: frozenset[str] = frozenset()
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Policy:
    """What may cross into a kernel. Build one with ``Policy.of``; the default opens nothing extra."""

    user_fields: frozenset[str] = frozenset(USER_FIELDS)
    headers_allow: tuple[str, ...] = ()
    unsafe_headers: frozenset[str] = frozenset()
    cookies_allow: tuple[str, ...] = ()
    unsafe_cookies: frozenset[str] = frozenset()
    unsafe_query: frozenset[str] = frozenset()
    secret_query: frozenset[str] = frozenset()
    trusted_proxies: tuple[Network, ...] = ()
    user_header: str = ""
    extra_user_fields: bool = True

    @classmethod
    def of(
        cls,
        *,
        user_fields: Iterable[str] | None = None,
        headers_allow: Iterable[str] = (),
        unsafe_headers: Iterable[str] = (),
        cookies_allow: Iterable[str] = (),
        unsafe_cookies: Iterable[str] = (),
        unsafe_query: Iterable[str] = (),
        secret_query: Iterable[str] = (),
        trusted_proxies: Iterable[str] = (),
        user_header: str = "",
    ) -> Policy:
        """Return the policy of these option values; raise PolicyError for a value that cannot be.

        ``user_fields`` None means all. ``secret_query`` are more names of credential parameters.
        """
        return cls(
            user_fields=names.user_fields(user_fields),
            extra_user_fields=user_fields is None,
            headers_allow=names.pattern_names("headers_allow", headers_allow),
            unsafe_headers=names.exact_names("unsafe_headers", unsafe_headers),
            cookies_allow=names.pattern_names("cookies_allow", cookies_allow),
            unsafe_cookies=names.exact_names("unsafe_cookies", unsafe_cookies),
            unsafe_query=names.exact_names("unsafe_query", unsafe_query),
            secret_query=frozenset(normal(name) for name in secret_query),
            trusted_proxies=tuple(_network(text) for text in trusted_proxies),
            user_header=names.user_header(user_header),
        )

    def of_deployer(self) -> Policy:
        """Return the policy for the deployer's own functions: ``user_fields`` narrows what kernels see, not them."""
        return replace(self, user_fields=frozenset(USER_FIELDS), extra_user_fields=True)

    def request(self, raw: RawRequest, page: Page | None = None, *, dashboard: bool = False) -> HTTPRequest:
        """Return what may be known of the request; ``page`` is the visitor's page where it is known.

        On a dashboard everybody, its owner too, is a visitor whose cookies need to be named.
        """
        withheld: list[str] = []
        url, params = self._url(page.url if page else raw.url, withheld)
        user = self._user(raw.user, withheld)
        owner = raw.user is not None and raw.user["is_owner"] is True and not dashboard
        return HTTPRequest(
            method=raw.method,
            url=url,
            base_url=URL(queries.without_secrets(raw.base_url)),
            headers=Headers(self._headers(raw, withheld)),
            query_params=QueryParams(params),
            path_params=self._path_params(page.path_params if page else raw.path_params),
            cookies=Cookies(self._cookies(raw, owner, withheld)),
            user=user,
            client=self._client(raw, withheld),
            meta=raw.meta,
            via="page" if page else "socket",
            redacted=Names(dict.fromkeys(withheld)),
        )

    def trusts(self, peer: Address | None) -> bool:
        """Whether the socket's peer is one of the deployer's proxies."""
        return peer is not None and self._is_proxy(_address(peer.host))

    def opens_header(self, key: str) -> bool:
        """Whether a header of this normal name may cross."""
        if matches(key, names.NEVER_HEADERS):
            return False
        if key in self.unsafe_headers:
            return True
        if matches(key, names.SECRET_HEADERS):
            return False
        if names.identity_header(key):
            return key in self.headers_allow
        return matches(key, names.OPEN_HEADERS) or matches(key, self.headers_allow)

    def opens_cookie(self, key: str, *, owner: bool) -> bool:
        """Whether a cookie of this normal name may cross, for the server's owner or anybody else."""
        if names.never_cookie(key):
            return False
        if key in self.unsafe_cookies:
            return True
        return not matches(key, names.SECRET_COOKIES) and (owner or matches(key, self.cookies_allow))

    def _url(self, text: str, withheld: list[str]) -> tuple[URL, list[tuple[str, str]]]:
        url, params, secret = queries.split(text, self.secret_query, self.unsafe_query)
        withheld += [f"query.{name}" for name in secret] if url else ["url"]
        return URL(url), params

    def _path_params(self, params: Mapping[str, str]) -> dict[str, str]:
        return {name: queries.clean_path(value, self.secret_query)[0] for name, value in params.items()}

    def _user(self, user: User | None, withheld: list[str]) -> User | None:
        if user is None:
            return None
        shown = {name: value for name, value in user.items() if self._opens_user(name, value)}
        withheld += [f"user.{name}" for name in user if name not in shown and name != "is_authenticated"]
        hidden = dict.fromkeys(USER_FIELDS)
        own = copy.deepcopy(shown)  # a deployer's function may change a list that it is shown
        return User({**hidden, **own, "is_authenticated": user["assurance"] != "none"})

    def _opens_user(self, name: str, value: object) -> bool:
        if name in User.defaults:
            return name in self.user_fields
        return self.extra_user_fields and not names.never_user(name, value)

    def _headers(self, raw: RawRequest, withheld: list[str]) -> list[tuple[str, str]]:
        kept = []
        spoofed = bool(self.trusted_proxies) and not self.trusts(raw.client)
        for name, value in raw.headers:
            key = normal(name)
            opens = self.opens_header(key) and not (spoofed and matches(key, names.ADDRESS_HEADERS))
            shown = self._header_value(key, value) if opens else None
            if shown is None:
                withheld.append(f"headers.{name.lower()}")
            else:
                kept.append((name, shown))
        return kept

    def _header_value(self, key: str, value: str) -> str | None:
        """Return what may be shown of an open header; None where a credential is written in it."""
        if key in self.unsafe_headers:
            return value
        if matches(key, names.URL_HEADERS):
            value = queries.without_secrets(value, self.secret_query, self.unsafe_query)
        elif matches(key, names.OPEN_HEADERS):
            return value
        return queries.cleaned(value, self.secret_query, self.unsafe_query)

    def _cookies(self, raw: RawRequest, owner: bool, withheld: list[str]) -> list[tuple[str, str]]:
        own = frozenset(normal(name) for name in raw.own_cookies)
        kept = []
        for name, value in raw.cookies:
            key = normal(name)
            if key not in own and self.opens_cookie(key, owner=owner) and self._is_harmless(key, value):
                kept.append((name, value))
            else:
                withheld.append(f"cookies.{name}")
        return kept

    def _is_harmless(self, key: str, value: str) -> bool:
        """Whether no credential stands in a cookie's value, as where a proxy joined cookies with commas."""
        if key in self.unsafe_cookies or value.isalnum():
            return True
        inner = (normal(name.rpartition(",")[2]) for name in (*queries.assigned(value), *queries.quoted(value)))
        joined = any(names.never_cookie(name) or matches(name, names.SECRET_COOKIES) for name in inner)
        return not joined and queries.cleaned(value, self.secret_query, self.unsafe_query) == value

    def _client(self, raw: RawRequest, withheld: list[str]) -> Address | None:
        if raw.client is None:
            return None
        if not self.trusted_proxies and not any(matches(key, self.headers_allow) for key in _HOPS):
            withheld.append("client")
            return None
        return self._nearest_stranger(raw) if self.trusts(raw.client) else raw.client

    def _nearest_stranger(self, raw: RawRequest) -> Address | None:
        """Walk X-Forwarded-For from the right, past our own proxies; None where the walk ends in doubt.

        Only the header's true name counts: proxies pass a client's own ``X_Forwarded_For`` on.
        """
        told = {name.lower() for name, _ in raw.headers}
        lines = [value for name, value in raw.headers if name.lower() == "x-forwarded-for"]
        hops = [hop for hop in ",".join(lines).split(",") if hop.strip()]
        if not hops:
            return None if told.intersection(_HOPS) else raw.client
        addresses = [_address(hop) for hop in reversed(hops)]
        nearest = next((address for address in addresses if not self._is_proxy(address)), addresses[-1])
        return Address(str(nearest), 0) if nearest else None

    def _is_proxy(self, address: IPAddress | None) -> bool:
        return address is not None and any(address in network for network in self.trusted_proxies)


_HOPS = ("x-forwarded-for", "forwarded", "x-real-ip")


def remedy(item: str, redacted: Iterable[str] = ()) -> str:
    """Return which option opens a withheld item such as ``headers.referer``; ``redacted`` is the whole list."""
    kind, _, name = item.partition(".")
    narrowed = not {f"user.{field}" for field in USER_FIELDS}.isdisjoint((item, *redacted))
    if kind == "user" and redacted and not narrowed and not names.never_user(name):
        return "never forwarded: it contains what looks like a credential, for which there is no option"
    return names.remedy(item)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError as error:
        raise PolicyError("trusted_proxies", f"{text!r} is not an address or CIDR such as 10.0.0.0/8.") from error


def _address(text: str) -> IPAddress | None:
    """Return a hop's address: ``10.0.0.1``, ``10.0.0.1:80``, ``2001:db8::1``, ``[2001:db8::1]:80``."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
