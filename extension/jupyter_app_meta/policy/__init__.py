"""Which facts of a request may enter a kernel: RawRequest + Policy → HTTPRequest. Pure.

The rules, in the order in which a name is judged (``headers``, ``cookies`` and ``urls`` have the tables):

1. Some things never cross, under no option.
2. What looks like a credential, by its name or its value, crosses only when ``unsafe_*`` has its exact name.
3. What a proxy says about the user's identity crosses only when ``headers_allow`` has its exact name.
4. A few cookies and headers cross by default. Others cross by a pattern of the deployer's. A pattern that names nothing
   in particular (``*``) opens neither addresses nor cookies with unfamiliar names.
5. A credential inside a URL is cut out. A credential inside any other value withholds the whole value.
6. The name of each item that is withheld or changed is listed in ``redacted``; its value appears nowhere.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from starlette.datastructures import Address

from ..datastructures import URL, Cookies, Headers, QueryParams
from ..model import HTTPRequest, Names, User
from ..withheld import Why, named
from . import cookies, headers, names, paths, proxies, urls, values
from .names import USER_FIELDS
from .patterns import matches, normal, specific
from .proxies import IPAddress, Network
from .remedies import remedy

__all__ = ["OPEN_COOKIES", "OPEN_HEADERS", "USER_FIELDS", "Page", "Policy", "RawRequest", "normal", "remedy"]

Pairs = tuple[tuple[str, str], ...]

OPEN_COOKIES = cookies.OPEN
OPEN_HEADERS = headers.OPEN


@dataclass(frozen=True, slots=True, repr=False)
class Page:
    """The page that a visitor looks at: its whole URL, its path parameters, and the mode that it implies."""

    url: str
    path_params: Mapping[str, str] = field(default_factory=dict)
    mode: Literal["edit", "run"] = "edit"


@dataclass(frozen=True, slots=True, repr=False)
class RawRequest:
    """What a handler knows of its request, unfiltered. It never leaves the server, and no repr shows it.

    ``headers`` are (name, value) pairs in the order received, decoded as latin-1. ``url`` and ``base_url`` are
    absolute. ``client`` is the socket's true peer. ``own_cookies`` are the names of the server's own login cookies.
    On a host that mounts the server, ``scope`` is the host's own form of the request, and ``mount_params`` are the path
    parameters of the mount. ``browser`` is the id in the browser's login cookie.
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
    mount_params: Mapping[str, str] = field(default_factory=dict)
    scope: Mapping[str, Any] | None = None
    browser: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What may cross into a kernel. ``Policy.of`` builds one; the default opens nothing extra."""

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
        """Return the policy for these option values; raise PolicyError for a value that is not valid.

        ``user_fields=None`` means all fields. ``secret_query`` has further names of credential parameters.
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
            trusted_proxies=tuple(proxies.network(text) for text in trusted_proxies),
            user_header=names.user_header(user_header),
        )

    def of_deployer(self) -> Policy:
        """Return the policy for the deployer's own functions. ``user_fields`` narrows only what kernels see."""
        return replace(self, user_fields=frozenset(USER_FIELDS), extra_user_fields=True)

    def request(self, raw: RawRequest, page: Page | None = None) -> HTTPRequest:
        """Return what code may know of the request; ``page`` is the visitor's page, if it is known."""
        withheld: list[str] = []
        params = self._path_params(page.path_params if page else raw.path_params)
        shown = self._url(page.url if page else raw.url, params, withheld)
        withheld += [f"path_params.{name}" for name in params.listed]
        user = self._user(raw.user, withheld)
        return HTTPRequest(
            method=raw.method,
            url=URL(shown.url),
            base_url=URL(urls.without_secrets(raw.base_url)),
            headers=Headers(self._headers(raw, withheld)),
            query_params=QueryParams(shown.pairs),
            path_params=params.shown,
            cookies=Cookies(self._cookies(raw, withheld)),
            user=user,
            client=self._client(raw, withheld),
            meta=raw.meta,
            via="page" if page else "socket",
            redacted=Names(dict.fromkeys(withheld)),
        )

    def user(self, raw: RawRequest) -> User | None:
        """Return what code may know of the user of a request."""
        return self._user(raw.user, [])

    def trusts(self, peer: Address | None) -> bool:
        """Whether the socket's peer is one of the deployer's proxies."""
        return peer is not None and self._is_proxy(proxies.address(peer.host))

    def opens_header(self, key: str, *, proxied: bool = False) -> bool:
        """Whether a header of this normal name may cross; ``proxied`` if one of the deployer's proxies sent it."""
        if matches(key, headers.NEVER):
            return False
        if key in self.unsafe_headers:
            return True
        if headers.is_credential(key):
            return False
        if matches(key, headers.OPEN) or key in self.headers_allow:
            return True
        if headers.is_identity(key):
            return False
        patterns = self.headers_allow if proxied or not headers.is_address(key) else specific(self.headers_allow)
        return matches(key, patterns)

    def opens_cookie(self, name: str) -> bool:
        """Whether a cookie of this name may cross, judged by its name alone."""
        key = normal(name)
        if cookies.is_never(key):
            return False
        if key in self.unsafe_cookies:
            return True
        if cookies.is_credential(name):
            return False
        allowed = self.cookies_allow if cookies.is_familiar(name) else specific(self.cookies_allow)
        return key in cookies.OPEN or matches(key, allowed)

    def _url(self, text: str, params: _PathParams, withheld: list[str]) -> urls.Clean:
        found = urls.clean(text, self.secret_query, self.unsafe_query, hidden=params.hidden, kept=params.kept)
        withheld += [named("query", name) for name in found.withheld] if found.url else ["url"]
        withheld += ["url.path"] if found.path_changed and found.url else []
        return found

    def _path_params(self, given: Mapping[str, str]) -> _PathParams:
        """Judge each parameter by its name and value, like those of a query."""
        shown, hidden, kept, listed = {}, set(), set(), []
        for name, value in given.items():
            if normal(name) in self.unsafe_query:
                shown[name] = value
                kept.update(value.split("/"))
            elif urls.says(name, value, self.secret_query) or ("/" not in value and paths.is_credential(value)):
                hidden.update(value.split("/"))
                listed.append(name)
            else:
                shown[name] = urls.clean_path(value, self.secret_query)[0]
                listed += [name] if shown[name] != value else []
        return _PathParams(shown, frozenset(hidden), frozenset(kept), tuple(listed))

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
        proxied = bool(self.trusted_proxies) and self.trusts(raw.client)
        spoofed = bool(self.trusted_proxies) and not proxied
        for name, value in raw.headers:
            key = normal(name)
            is_spoofed = spoofed and headers.is_address(key)
            opens = self.opens_header(key, proxied=proxied) and not is_spoofed
            shown = self._header_value(key, value) if opens else None
            if shown != value:
                why = "proxy" if is_spoofed else "changed" if shown is not None else self._why_header(key, value)
                withheld.append(named("headers", name.lower(), why))
            if shown is not None:
                kept.append((name, shown))
        return kept

    def _why_header(self, key: str, value: str) -> Why | None:
        """Return why a header would be withheld even if its name were opened."""
        is_told = matches(key, headers.NEVER) or headers.is_credential(key)
        return "value" if not is_told and self._header_value(key, value) is None else None

    def _header_value(self, key: str, value: str) -> str | None:
        """Return what may be shown of an open header; None if it contains a credential."""
        if key in self.unsafe_headers:
            return value
        if matches(key, headers.URLS):
            value = urls.without_secrets(value, self.secret_query, self.unsafe_query)
        elif matches(key, headers.OPEN):
            return None if values.is_token(value) else value
        return urls.cleaned(value, self.secret_query, self.unsafe_query)

    def _cookies(self, raw: RawRequest, withheld: list[str]) -> list[tuple[str, str]]:
        own = frozenset(normal(name) for name in raw.own_cookies)
        kept = []
        for name, value in raw.cookies:
            if normal(name) not in own and self.opens_cookie(name) and self._is_harmless(name, value):
                kept.append((name, value))
            else:
                withheld.append(named("cookies", name, self._why_cookie(name, value, own)))
        return kept

    def _why_cookie(self, name: str, value: str, own: frozenset[str]) -> Why | None:
        """Return why a cookie would be withheld even if its name were opened."""
        key = normal(name)
        if cookies.is_never(key):
            return None
        if key in own:
            return "own"
        return "value" if not cookies.is_credential(name) and not self._is_harmless(name, value) else None

    def _is_harmless(self, name: str, value: str) -> bool:
        """Whether a cookie's value contains no credential, such as another cookie that a proxy joined with a comma."""
        if normal(name) in self.unsafe_cookies:
            return True
        try:
            inner = [said.rpartition(",")[2] for said in urls.names_in(value)]
        except ValueError:
            return False
        if any(cookies.is_never(normal(said)) or cookies.is_credential(said) for said in inner):
            return False
        return urls.cleaned(value, self.secret_query, self.unsafe_query, strict=True) == value

    def _client(self, raw: RawRequest, withheld: list[str]) -> Address | None:
        if raw.client is None:
            return None
        if not self.trusted_proxies and not any(matches(key, specific(self.headers_allow)) for key in proxies.HOPS):
            withheld.append("client")
            return None
        return (
            proxies.nearest_stranger(raw.headers, raw.client, self._is_proxy) if self.trusts(raw.client) else raw.client
        )

    def _is_proxy(self, address: IPAddress | None) -> bool:
        return address is not None and any(address in network for network in self.trusted_proxies)


class _PathParams(NamedTuple):
    """The path's parameters: what is shown, which segments are withheld or kept, and the names withheld or changed."""

    shown: dict[str, str]
    hidden: frozenset[str]
    kept: frozenset[str]
    listed: tuple[str, ...]
