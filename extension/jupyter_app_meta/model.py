"""What an author sees: AppMeta, HTTPRequest, User, SessionInfo. Frozen values, masked reprs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

from starlette.datastructures import Address

from . import locales
from .browser import Browser
from .datastructures import URL, Confined, Cookies, Headers, QueryParams
from .errors import NotAuthenticated
from .records import NOTHING, Frozen, Record, freeze, sealed

if TYPE_CHECKING:
    from .kernel.page.commands import Page

Mode = Literal["edit", "run", "test", "script"]


class User(Frozen):
    """Who made the request: a read-only dict with attribute access, ready for ``json.dumps``.

    Fields: is_authenticated, username, name, display_name, initials, color, kind (``user``, ``service``,
    ``anonymous``), groups (a tuple of names), admin, is_owner (None if it cannot be known), assurance (``hub``,
    ``provider``, ``shared-secret``, ``none``), and those that the identity provider adds. A field that the server
    withholds, or that did not fit into the stamp, is None.
    """

    __slots__ = ()

    _kind = "user"

    defaults: Mapping[str, Any] = MappingProxyType(
        {
            "is_authenticated": False,
            "username": None,
            "name": None,
            "display_name": None,
            "initials": None,
            "color": None,
            "kind": "anonymous",
            "groups": (),
            "admin": False,
            "is_owner": None,
            "assurance": "none",
        }
    )

    def __init__(self, values: Mapping[str, Any] = NOTHING, /, **more: Any) -> None:
        merged = {**self.defaults, **dict(values), **more}
        groups = merged["groups"]
        super().__init__({**merged, "groups": None if groups is None else tuple(groups)})

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the user has no {name!r}, only: {', '.join(self)}") from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    _repr_mimebundle_ = Confined._repr_mimebundle_


@sealed
@dataclass(frozen=True, slots=True)
class SessionInfo(Record):
    """Where the code runs. A field is None if it is not known."""

    _kind = "session"

    client_id: str | None = None  #: names the browser tab; stable over a reconnect
    session_id: str | None = None  #: names the Jupyter session, which is the open notebook
    kernel_id: str | None = None  #: names the kernel
    path: str | None = None  #: the path of the open notebook

    def get(self, name: str, default: Any = None) -> Any:
        """Return the field, or the default if there is no such field or it is not known."""
        value = Record.get(self, name)
        return default if value is None else value


class Names(tuple[str, ...]):
    """Names of withheld or dropped items, as ``headers.cookie``; ``"cookie" in names`` works too."""

    __slots__ = ()

    # Authors write `"cookie" in request.redacted`: they know an item's name, and not under which kind it is listed. A
    # method beside `in` would leave an `in` that answers False to that, which reads as "nothing was withheld".
    def __contains__(self, name: object) -> bool:
        return any(name in (item, item.partition(".")[2]) for item in self)


@sealed
@dataclass(frozen=True, slots=True, repr=False)
class HTTPRequest(Record):
    """The HTTP request behind the running code, with the parts that the server's policy lets through.

    ``url``, ``query_params`` and ``path_params`` belong to the visitor's page if ``via`` is ``"page"``, and to the
    kernel's connection if it is ``"socket"``. ``headers``, ``cookies`` and ``user`` are always those of the live
    connection.
    """

    _kind = "request"

    method: str  #: the HTTP method, as ``GET``
    url: URL  #: the address, without credentials
    base_url: URL  #: the address of the server's start page
    headers: Headers = field(default_factory=Headers)  #: the headers that the policy lets through
    query_params: QueryParams = field(default_factory=QueryParams)  #: the query, without credentials
    path_params: Mapping[str, str] = field(default_factory=dict)  #: the parameters of a dashboard's path
    cookies: Cookies = field(default_factory=Cookies)  #: the cookies that the policy lets through
    user: User | None = None  #: who made the request, as the server authenticated them
    client: Address | None = None  #: the client's address, if the server forwards it
    meta: Mapping[str, Any] = field(default_factory=dict)  #: the deployer's own fields
    via: Literal["page", "socket"] = "socket"  #: whether the visitor's page is known
    redacted: Names = Names()  #: names of what the policy withheld or changed
    truncated: Names = Names()  #: names of what did not fit into the stamp

    def __post_init__(self) -> None:
        left_out = tuple(self.redacted), tuple(self.truncated)
        for name in ("headers", "query_params", "cookies"):
            object.__setattr__(self, name, getattr(self, name).with_left_out(*left_out))
        object.__setattr__(self, "path_params", freeze(self.path_params))
        object.__setattr__(self, "meta", freeze(self.meta))

    @property
    def locale(self) -> str | None:
        """The language that the visitor's browser prefers, such as ``de-CH``; None if it names none."""
        return locales.preferred(self.headers.get("accept-language"))

    def keys(self) -> tuple[str, ...]:  # type: ignore[override]  # as Record
        """The names that ``[]`` takes: the fields, and ``locale``."""
        return (*Record.keys(self), "locale")

    def __repr__(self) -> str:
        username = self.user["username"] if self.user else None
        return (
            f"HTTPRequest(method={self.method!r}, url={self.url!r}, user={username!r}, "
            f"headers={self.headers!r}, cookies={self.cookies!r}, via={self.via!r})"
        )


@sealed
@dataclass(frozen=True, slots=True, weakref_slot=True)
class AppMeta(Record):
    """A snapshot for the code that asked: which request caused it, and where it runs."""

    _kind = "app_meta()"

    #: the request; None in a script, under nbconvert, papermill and pytest
    request: HTTPRequest | None = None
    #: ``"edit"`` in JupyterLab, Notebook and consoles, ``"run"`` in a dashboard, ``"test"`` under ``fake_request``,
    #: ``"script"`` anywhere else
    mode: Mode = "script"
    session: SessionInfo = field(default_factory=SessionInfo)  #: where the code runs
    login_url: str | None = None  #: where the visitor logs in and comes back to this page; None if there is no login
    logout_url: str | None = None  #: where the visitor logs out; None if there is no logout

    @property
    def user(self) -> User | None:
        """The request's user; None without a request."""
        return self.request.user if self.request else None

    @property
    def cookies(self) -> Cookies | None:
        """The request's cookies; None without a request."""
        return self.request.cookies if self.request else None

    @property
    def meta(self) -> Mapping[str, Any] | None:
        """The deployer's own fields of the request; None without a request."""
        return self.request.meta if self.request else None

    @property
    def browser(self) -> Browser:
        """What the page's script says of the visitor's browser. Each field is None where that is not known.

        The browser may say anything: never decide by it who the visitor is.
        """
        from .kernel.page.commands import browser_of  # late, because the values of a server have no kernel

        return browser_of(self)

    @property
    def page(self) -> Page:
        """The visitor's page: its query, its title, its cookies, and where it is redirected to."""
        from .kernel.page.commands import page_of  # late, as above

        return page_of(self)

    def require_user(self) -> User:
        """Return the authenticated user.

        Raises NotAuthenticated, whose message says why there is none and what to do.
        """
        user = self.user
        if user is not None and user["is_authenticated"]:
            return user
        raise NotAuthenticated(_why_no_user(self))

    def keys(self) -> tuple[str, ...]:  # type: ignore[override]  # as Record
        """The names that ``[]`` takes: the fields and the shortcuts."""
        return ("request", "user", "cookies", "meta", "mode", "session", "login_url", "logout_url")


def logins(request: HTTPRequest | None, *, has_login: bool, has_logout: bool) -> dict[str, str | None]:
    """Return the addresses at which a request's visitor logs in and out, on the same host as the page."""
    base = request.base_url.path if request else ""
    if request is None or not base:
        return {"login_url": None, "logout_url": None}
    shown = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = f"?{urlencode({'next': shown})}" if request.via == "page" else ""
    root = base if base.endswith("/") else f"{base}/"
    return {
        "login_url": f"{root}login{back}" if has_login else None,
        "logout_url": f"{root}logout" if has_logout else None,
    }


def _why_no_user(meta: AppMeta) -> str:
    if meta.request is None:
        return (
            "No request is known for this code: it runs outside a Jupyter server that has "
            "jupyter-app-meta enabled, or in a thread that does not belong to a request. Check the "
            "server with 'jupyter app-meta check'; in tests use "
            "jupyter_app_meta.testing.fake_request(user=...)."
        )
    if meta.user is None:
        return (
            "The server did not say who made this request: its identity provider gave no user, "
            "or the user did not fit into the stamp (see request.truncated)."
        )
    return (
        "The visitor is not authenticated: this server runs with authentication disabled. "
        "Set a token, a password or an identity provider. Inside an ASGI application, that application names its "
        "users: let its middleware set scope['user'], with is_authenticated True."
    )
