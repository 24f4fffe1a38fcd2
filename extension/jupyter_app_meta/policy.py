"""Which facts of a request may enter a kernel: RawRequest + Policy → HTTPRequest. Pure.

The rules, in the order in which a name is judged (names are compared lower-case, ``_`` as ``-``):

1. Some things never cross, under no option (``NEVER_*``).
2. What looks like a credential crosses only when ``unsafe_*`` has its exact name (``SECRET_*``).
3. What a proxy says about identity crosses only when ``headers_allow`` has its exact name.
4. Everything else crosses by default (``OPEN_HEADERS``) or by a pattern of the deployer.
5. The name of whatever stays behind is listed in ``redacted``; its value is nowhere.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Literal

from starlette.datastructures import Address

from . import queries
from .datastructures import URL, Cookies, Headers, QueryParams
from .errors import PolicyError
from .model import HTTPRequest, Names, User

NEVER_HEADERS = ("cookie", "cookie2", "set-cookie", "set-cookie2", "sec-websocket-*")
SECRET_HEADERS = (
    "*authorization*",
    "*authenticat*",
    "*token*",
    "*jwt*",
    "*assertion*",
    "*saml*",
    "*secret*",
    "*password*",
    "*credential*",
    "*session*",
    "*signature*",
    "*xsrf*",
    "*csrf*",
    "*api-key*",
    "*apikey*",
    "*-key",
    "*client-cert*",
    "*-certificate*",
    "ssl-client-*",
    "x-ssl-*",
    "x-arr-clientcert",
    "*cookie*",
)
IDENTITY_HEADERS = (
    "*remote-user*",
    "*remote-name*",
    "*remote-email*",
    "*remote-group*",
    "*forwarded-user*",
    "*forwarded-email*",
    "*forwarded-group*",
    "*forwarded-preferred-username",
    "*forwarded-access*",
    "x-auth-*",
    "x-authenticated-*",
    "*authenticated-user*",
    "*webauth-user*",
    "x-user*",
    "x-email*",
    "x-username*",
    "x-groups",
    "x-ms-client-principal*",
    "x-amzn-oidc-*",
    "cf-access-*",
    "tailscale-user-*",
    "x-authentik-*",
    "x-pomerium-*",
    "x-goog-authenticated-*",
    "x-goog-iap-*",
    "oidc-*",
)
ADDRESS_HEADERS = (
    "forwarded",
    "x-forwarded*",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip*",
    "fastly-client-ip",
    "via",
)
URL_HEADERS = ("referer", "referrer", "*-url", "*-uri", "location", "content-location")
OPEN_HEADERS = (
    "accept",
    "accept-language",
    "user-agent",
    "host",
    "origin",
    "dnt",
    "sec-ch-ua*",
    "sec-fetch-*",
    "x-request-id",
    "traceparent",
)
NEVER_COOKIES = ("-xsrf", "jupyterhub-*", "service-*", "username-*", "*oauth-state*")
SECRET_COOKIES = (
    "*sess*",
    "*sid",
    "sid-*",
    "*token*",
    "*auth*",
    "*jwt*",
    "*csrf*",
    "*xsrf*",
    "remember*",
    "*login*",
    "*sso*",
    "*saml*",
    "*secret*",
    "*passw*",
    "*credential*",
    "*identity*",
    "*ticket*",
    "*signature*",
    "*api-key*",
    "*apikey*",
    "*-key",
    "key",
    "--host-*",
    "--secure-*",
    "-oauth2-proxy*",
    "awselb*",
    "awsalb*",
    "cf-*",
    "--cf*",
    "-cf*",
    "incap-*",
    "bigipserver*",
)
USER_FIELDS = (
    "username",
    "kind",
    "assurance",
    "is_owner",
    "name",
    "display_name",
    "initials",
    "color",
    "groups",
    "admin",
)
NEVER_USER = ("*scope*", "role*", "*token*", "*session*", "*auth-state*", "*hub-user*", "avatar-url", "*cookie*")

Kind = Literal["headers", "cookies", "query"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Page:
    """The page that a visitor looks at: its whole URL, path parameters, and the mode it means."""

    url: str
    path_params: Mapping[str, str] = field(default_factory=dict)
    mode: Literal["edit", "run"] = "edit"


@dataclass(frozen=True, slots=True)
class RawRequest:
    """What a handler knows of its request, unfiltered. It never leaves the server.

    ``headers`` are (name, value) pairs in the order received, latin-1 as HTTP has it; ``url`` and
    ``base_url`` are absolute; ``client`` is the socket's true peer; ``own_cookies`` are the names
    of the server's own login cookies.
    """

    method: str
    url: str
    base_url: str
    headers: tuple[tuple[str, str], ...] = ()
    cookies: tuple[tuple[str, str], ...] = ()
    path_params: Mapping[str, str] = field(default_factory=dict)
    user: User | None = None
    client: Address | None = None
    own_cookies: frozenset[str] = frozenset()
    meta: Mapping[str, Any] = field(default_factory=dict)


def normal(name: str) -> str:
    """Return the form in which names are compared."""
    return name.strip().lower().replace("_", "-")


@lru_cache(maxsize=4096)
def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a normal name matches one of the shell patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


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
    extra_user_fields: bool = field(default=True)

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
            user_fields=_user_fields(user_fields),
            extra_user_fields=user_fields is None,
            headers_allow=_patterns("headers_allow", headers_allow),
            unsafe_headers=_exact("unsafe_headers", unsafe_headers, NEVER_HEADERS),
            cookies_allow=_patterns("cookies_allow", cookies_allow),
            unsafe_cookies=_exact("unsafe_cookies", unsafe_cookies, NEVER_COOKIES),
            unsafe_query=_exact("unsafe_query", unsafe_query, ("session-id",)),
            secret_query=frozenset(normal(name) for name in secret_query),
            trusted_proxies=tuple(_network(text) for text in trusted_proxies),
            user_header=_header_name(user_header),
        )

    def request(self, raw: RawRequest, page: Page | None = None, *, dashboard: bool = False) -> HTTPRequest:
        """Return what may be known of the request; ``page`` is the visitor's page where it is known.

        On a dashboard everybody, its owner too, is a visitor whose cookies need to be named.
        """
        withheld: list[str] = []
        url, params = self._url(page.url if page else raw.url, withheld)
        user = self._user(raw.user, withheld)
        owner = bool(raw.user and raw.user["is_owner"] is True and not dashboard)
        return HTTPRequest(
            method=raw.method,
            url=url,
            base_url=URL(queries.without_secrets(raw.base_url)),
            headers=Headers(self._headers(raw, withheld)),
            query_params=QueryParams(params),
            path_params=page.path_params if page else raw.path_params,
            cookies=Cookies(self._cookies(raw, owner, withheld)),
            user=user,
            client=self._client(raw, withheld),
            meta=raw.meta,
            via="page" if page else "socket",
            redacted=Names(dict.fromkeys(withheld)),
        )

    def trusts(self, peer: Address | None) -> bool:
        """Whether the socket's peer is one of the deployer's proxies."""
        address = _address(peer.host) if peer else None
        return address is not None and any(address in network for network in self.trusted_proxies)

    def _url(self, text: str, withheld: list[str]) -> tuple[URL, list[tuple[str, str]]]:
        url, params, secret = queries.split(text, self.secret_query, self.unsafe_query)
        withheld += [f"query.{name}" for name in secret]
        return URL(url), params

    def _user(self, user: User | None, withheld: list[str]) -> User | None:
        if user is None:
            return None
        known = {name: user[name] for name in USER_FIELDS if name in self.user_fields}
        extra = {k: v for k, v in user.items() if k not in User.defaults and self._extra_field(k)}
        gone = [name for name in user if name not in known and name not in extra and name != "is_authenticated"]
        withheld += [f"user.{name}" for name in gone]
        hidden = {name: None for name in USER_FIELDS}
        return User(hidden, **known, **extra, is_authenticated=user["assurance"] != "none")

    def _extra_field(self, name: str) -> bool:
        return self.extra_user_fields and not matches(normal(name), NEVER_USER)

    def _headers(self, raw: RawRequest, withheld: list[str]) -> list[tuple[str, str]]:
        kept = []
        trusted = not self.trusted_proxies or self.trusts(raw.client)
        for name, value in raw.headers:
            key = normal(name)
            if not self.opens_header(key) or (not trusted and matches(key, ADDRESS_HEADERS)):
                withheld.append(f"headers.{name.lower()}")
            elif matches(key, URL_HEADERS):
                kept.append((name, queries.without_secrets(value, self.secret_query, self.unsafe_query)))
            else:
                kept.append((name, value))
        return kept

    def opens_header(self, key: str) -> bool:
        """Whether a header of this normal name may cross."""
        if matches(key, NEVER_HEADERS):
            return False
        if key in self.unsafe_headers:
            return True
        if matches(key, IDENTITY_HEADERS) and not matches(key, ("*token*", "*jwt*", "*assertion*")):
            return key in self.headers_allow
        if matches(key, SECRET_HEADERS):
            return False
        return matches(key, OPEN_HEADERS) or matches(key, self.headers_allow)

    def _cookies(self, raw: RawRequest, owner: bool, withheld: list[str]) -> list[tuple[str, str]]:
        own = frozenset(normal(name) for name in raw.own_cookies)
        kept = []
        for name, value in raw.cookies:
            key = normal(name)
            if key not in own and self.opens_cookie(key, owner=owner):
                kept.append((name, value))
            else:
                withheld.append(f"cookies.{name}")
        return kept

    def opens_cookie(self, key: str, *, owner: bool) -> bool:
        """Whether a cookie of this normal name may cross, for the server's owner or anybody else."""
        if matches(key, NEVER_COOKIES):
            return False
        if key in self.unsafe_cookies:
            return True
        return not matches(key, SECRET_COOKIES) and (owner or matches(key, self.cookies_allow))

    def _client(self, raw: RawRequest, withheld: list[str]) -> Address | None:
        if raw.client is None:
            return None
        if not self.trusted_proxies and not any(matches(key, self.headers_allow) for key in _HOPS):
            withheld.append("client")
            return None
        return self._nearest_stranger(raw) if self.trusts(raw.client) else raw.client

    def _nearest_stranger(self, raw: RawRequest) -> Address | None:
        """Walk X-Forwarded-For from the right, past our own proxies, as werkzeug's ProxyFix does."""
        hops = [hop.strip() for k, v in raw.headers if normal(k) == "x-forwarded-for" for hop in v.split(",")]
        for hop in reversed(hops):
            address = _address(hop)
            if address is None:
                return None
            if not any(address in network for network in self.trusted_proxies):
                return Address(str(address), 0)
        return raw.client if not hops else None


_HOPS = ("x-forwarded-for", "forwarded", "x-real-ip")


def remedy(item: str) -> str:
    """Return which option opens a withheld item such as ``headers.referer``, in one sentence."""
    kind, _, name = item.partition(".")
    key = normal(name)
    if kind == "headers":
        return _header_remedy(name.lower(), key)
    if kind == "cookies":
        return _cookie_remedy(name, key)
    if kind == "query":
        return f"AppMetaExtension.unsafe_query = [{name!r}]" if key != "session-id" else "never forwarded"
    if kind == "user":
        never = key.replace("-", "_") not in USER_FIELDS and matches(key, NEVER_USER)
        return "never forwarded" if never else f"AppMetaExtension.user_fields: add {name!r}, or leave the option unset"
    return "AppMetaExtension.trusted_proxies = [the networks of your proxies]"


def _header_remedy(name: str, key: str) -> str:
    policy = Policy()
    if matches(key, NEVER_HEADERS):
        return "never forwarded"
    if not matches(key, IDENTITY_HEADERS) and matches(key, SECRET_HEADERS):
        return f"a credential: AppMetaExtension.unsafe_headers = [{name!r}]"
    if policy.opens_header(key):
        return "AppMetaExtension.trusted_proxies"
    return f"AppMetaExtension.headers_allow = [{name!r}]"


def _cookie_remedy(name: str, key: str) -> str:
    if matches(key, NEVER_COOKIES):
        return "never forwarded"
    if matches(key, SECRET_COOKIES):
        return f"a credential: AppMetaExtension.unsafe_cookies = [{name!r}]"
    return f"AppMetaExtension.cookies_allow = [{name!r}]"


def _patterns(option: str, values: Iterable[str]) -> tuple[str, ...]:
    names = tuple(normal(value) for value in values)
    if "" in names:
        raise PolicyError(option, "an empty name is not allowed; remove it.")
    return names


def _exact(option: str, values: Iterable[str], never: tuple[str, ...]) -> frozenset[str]:
    for name in (names := _patterns(option, values)):
        if any(char in name for char in "*?["):
            raise PolicyError(option, f"{name!r} is a pattern; this option takes exact names only.")
        if matches(name, never):
            raise PolicyError(option, f"{name!r} is never forwarded, under no option; remove it.")
    return frozenset(names)


def _user_fields(values: Iterable[str] | None) -> frozenset[str]:
    if values is None:
        return frozenset(USER_FIELDS)
    unknown = sorted(set(values := list(values)) - set(USER_FIELDS))
    if unknown:
        raise PolicyError("user_fields", f"unknown field {unknown[0]!r}; the fields are {', '.join(USER_FIELDS)}.")
    return frozenset(values)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError as error:
        raise PolicyError("trusted_proxies", f"{text!r} is not an address or CIDR such as 10.0.0.0/8.") from error


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _header_name(text: str) -> str:
    name = normal(text)
    if name and not name.replace("-", "").isalnum():
        raise PolicyError("user_header", f"{text!r} is not a header name such as X-Forwarded-User.")
    return name
