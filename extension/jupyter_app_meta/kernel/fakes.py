"""Fake requests: what ``jupyter_app_meta.testing`` gives to authors, and ``%%app_meta`` to a cell.

1. A fake may be entered several times: nested, and by several tasks at a time.
2. A decorated function keeps its kind: a plain function, ``async def`` or a generator.
3. A fake that is started holds for the whole process until it is stopped, in cells and callbacks to come as well. In
   the block of another fake, that one holds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import replace
from functools import wraps
from typing import Any, Literal, TypeVar, cast
from urllib.parse import urlencode, urljoin

from starlette.datastructures import Address

from .. import locales
from ..browser import Browser
from ..datastructures import URL, Cookies, Headers, QueryParams
from ..model import AppMeta, HTTPRequest, Names, SessionInfo, User
from . import context
from .context import bound
from .decorating import wrapper_of
from .state import seeds

BASE_URL = "http://testserver/"

Function = TypeVar("Function", bound=Callable[..., Any])
Seeds = Mapping[str, Any] | None
Items = Mapping[str, object] | Iterable[tuple[str, object]]

# The blocks that are open in this context. They are not an attribute of a fake, because one fake may be entered twice,
# and by two tasks at a time.
_open: ContextVar[tuple[AbstractContextManager[AppMeta], ...]] = ContextVar("jupyter_app_meta_open_fakes", default=())


def fake_request(
    *,
    user: str | Mapping[str, Any] | None = None,
    headers: Items | None = None,
    cookies: Items | None = None,
    query: Items | str | None = None,
    path_params: Mapping[str, str] | None = None,
    meta: Mapping[str, Any] | None = None,
    url: str = BASE_URL,
    session: Mapping[str, str | None] | None = None,
    client: str | tuple[str, int] | None = None,
    via: Literal["page", "socket"] = "page",
    redacted: Iterable[str] = (),
    truncated: Iterable[str] = (),
    state: Mapping[str, Any] | None = None,
    shared: Mapping[str, Any] | None = None,
    locale: str | None = None,
    browser: Mapping[str, Any] | None = None,
) -> FakeRequest:
    """Return a fake: code in its ``with`` block, or in a function that it decorates, sees this request.

    ``user`` is a username, a mapping of user fields, or None for an unknown user. A user is authenticated
    unless the mapping says ``is_authenticated=False``, ``assurance="none"`` or ``kind="anonymous"``.
    ``headers``, ``cookies`` and ``query`` are lists of pairs, or mappings in which a list stands for a repeated
    item. ``query`` may also be a string. ``meta`` is a mapping of JSON values, as on the server. ``url`` may be
    relative; ``query`` replaces its query. The ``mode`` is ``"test"``. ``client`` is the visitor's address, alone or
    with its port. ``locale``, such as ``de-CH``, is the language that the visitor prefers. ``via``, ``redacted`` and
    ``truncated`` are what the server says about the request.

    ``browser`` is what the page's script says, such as ``{"timezone": "Europe/Zurich", "theme": "dark", "viewport":
    (390, 844)}``.

    State is in memory, and is gone with the fake. ``session.state`` and ``visitor.state`` begin with the values of
    ``state``, and ``shared.state`` with those of ``shared``. Each call of a decorated function begins anew.

    Raises TypeError for a value of another type, also for one that state does not store.
    """
    address, params = _address(url, query)
    request = HTTPRequest(
        method="GET",
        url=address,
        base_url=URL(urljoin(str(address), "/")),
        headers=_headers(headers, locale),
        query_params=params,
        path_params=path_params or {},
        cookies=Cookies(_pairs("cookies", cookies or {})),
        user=_user(user),
        client=_client(client),
        meta=_json(meta or {}),
        via=via,
        redacted=Names(redacted),
        truncated=Names(truncated),
    )
    given = AppMeta(request, "test", SessionInfo(**{"client_id": "test", **(session or {})}))
    return FakeRequest(given, _seeds("state", state), _seeds("shared", shared), _browser(browser))


class FakeRequest:
    """A context manager and decorator. It may be used repeatedly, nested, and by several tasks at a time.

    ``start()`` makes it hold without a block, until ``stop()``: from one cell of a notebook to the next.

    A decorated generator sees the request in its own body, and not in the code that it yields to.
    """

    __slots__ = ("_browser", "_shared", "_state", "meta")

    def __init__(
        self, meta: AppMeta, state: Seeds = None, shared: Seeds = None, browser: Browser | None = None
    ) -> None:
        self.meta, self._state, self._shared, self._browser = meta, state, shared, browser
        from .page.commands import fake  # late, because each kernel loads this module with the magics

        fake(meta, browser or Browser())
        if state or shared:
            seeds.keep(meta, seeds.seeded(state, shared))

    def anew(self) -> FakeRequest:
        """Return a fake of the same request, whose state has nothing but what it begins with."""
        return FakeRequest(replace(self.meta), self._state, self._shared, self._browser)

    def __enter__(self) -> AppMeta:
        block = bound(self.meta)
        meta = block.__enter__()
        _open.set((*_open.get(), block))
        return meta

    def __exit__(self, *error: object) -> None:
        *outer, block = _open.get()
        _open.set(tuple(outer))
        block.__exit__(None, None, None)

    def start(self) -> FakeRequest:
        """Make all code of this process see the request, until ``stop``; return the fake. Idempotent.

        In a notebook, the cells and callbacks to come see it as well. Threads see what they would see of a visitor.
        Of several fakes, the one that was started last holds.
        """
        context.start(self.meta)
        return self

    def stop(self) -> None:
        """Undo ``start``. Idempotent."""
        context.stop(self.meta)

    def __call__(self, function: Function) -> Function:
        """Return a function of the same kind and signature that runs under this request."""
        if isinstance(function, type) or not callable(function):
            raise TypeError("fake_request decorates functions: put it on each method, or use it as a context manager.")
        return cast(Function, wraps(function)(wrapper_of(self, function)))

    def __repr__(self) -> str:
        return f"FakeRequest({self.meta.request!r})"


def _address(url: str, query: Items | str | None) -> tuple[URL, QueryParams]:
    address = URL(urljoin(BASE_URL, url))
    if query is None:
        return address, QueryParams(address.query)
    params = QueryParams(_pairs("query", QueryParams(query.removeprefix("?")) if isinstance(query, str) else query))
    return URL(str(address.replace(query=urlencode(params.multi_items())))), params


def _headers(given: Items | None, locale: str | None) -> Headers:
    pairs = _pairs("headers", given or {})
    if locale is None:
        return Headers(pairs)
    if not locales.is_tag(locale):
        raise TypeError("locale must be a language such as 'de-CH'.")
    others = [(name, value) for name, value in pairs if name.lower() != "accept-language"]
    return Headers([*others, ("accept-language", locale)])


def _pairs(option: str, given: Any) -> list[tuple[str, str]]:
    if hasattr(given, "multi_items"):  # items() of QueryParams gives only the last value of a repeated parameter
        given = given.multi_items()
    try:
        return [
            (name, str(value))
            for name, values in (given.items() if isinstance(given, Mapping) else given)
            for value in (values if isinstance(values, list | tuple) else [values])
        ]
    except (TypeError, ValueError):
        raise TypeError(f"{option} must be a mapping or a list of pairs, not {_kind(given)}.") from None


def _client(given: Any) -> Address | None:
    match given:
        case None:
            return None
        case str():
            return Address(given, 0)
        case (str() as host, int() as port):
            return Address(host, port)
    raise TypeError(f"client must be an address such as '10.0.0.7', alone or with its port, not {_kind(given)}.")


def _json(meta: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(meta), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"meta must be a mapping of JSON values, as the server has it: {error}.") from error
    return plain


def _seeds(option: str, given: Seeds) -> Seeds:
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"{option} must be a mapping of JSON values, not {_kind(given)}.")
    return given


def _browser(given: Mapping[str, Any] | None) -> Browser | None:
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise TypeError(f"browser must be a mapping with {', '.join(Browser())}, not {_kind(given)}.")
    found = Browser.read(given)
    for name, value in given.items():
        if value is not None and found.get(name) is None:
            raise TypeError(f"browser[{name!r}] has no form that a browser would say: {Browser.__doc__}")
    return found


def _kind(value: object) -> str:
    return f"of type {type(value).__name__}"


def _user(user: str | Mapping[str, Any] | None) -> User | None:
    if user is None:
        return None
    if not isinstance(user, str | Mapping):
        raise TypeError(f"user must be a username, a mapping of user fields or None, not {_kind(user)}.")
    given = {"username": user} if isinstance(user, str) else dict(user)
    if not isinstance(given.get("groups", ()), list | tuple | set | frozenset | None):
        raise TypeError(f"user['groups'] must be a list of names such as ['editors'], not {_kind(given['groups'])}.")
    assurance = given.get("assurance", "none" if given.get("kind") == "anonymous" else "provider")
    trusted = given.get("is_authenticated", assurance != "none")
    username = given.get("username")
    defaults = {
        "is_authenticated": trusted,
        "name": username,
        "display_name": given.get("name") or username,
        "kind": "user" if trusted else "anonymous",
        "assurance": "provider" if trusted else "none",
    }
    return User({**defaults, **given})
