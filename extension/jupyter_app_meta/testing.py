"""A fake request for authors' own tests: ``with fake_request(user="alice"): ...``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from .datastructures import URL, Cookies, Headers, QueryParams
from .kernel.context import bound
from .model import AppMeta, HTTPRequest, SessionInfo, User

Multi = Mapping[str, str | Sequence[str]]

BASE_URL = "http://testserver/"


@contextmanager
def fake_request(
    *,
    user: str | Mapping[str, Any] | None = None,
    headers: Multi | None = None,
    cookies: Mapping[str, str] | None = None,
    query: Multi | None = None,
    path_params: Mapping[str, str] | None = None,
    meta: Mapping[str, Any] | None = None,
    url: str = BASE_URL,
    session: Mapping[str, str] | None = None,
) -> Iterator[AppMeta]:
    """Run a block, or a decorated function, as if this request had caused it; ``mode`` is ``"test"``.

    ``user`` is a username, a mapping of user fields, or None for nobody; a user is authenticated
    unless the mapping says ``is_authenticated=False``. A list in ``headers`` or ``query`` repeats
    the item. It works in scripts, pytest and notebooks alike, and asks no server.
    """
    params = QueryParams(_pairs(query or {}))
    address = URL(url).replace(query=urlencode(params.multi_items())) if params else URL(url)
    request = HTTPRequest(
        method="GET",
        url=URL(str(address)),
        base_url=URL(BASE_URL),
        headers=Headers(_pairs(headers or {})),
        query_params=params or QueryParams(URL(url).query),
        path_params=path_params or {},
        cookies=Cookies(cookies or {}),
        user=_user(user),
        meta=meta or {},
        via="page",
    )
    with bound(AppMeta(request, "test", SessionInfo(**{"client_id": "test", **(session or {})}))) as fake:
        yield fake


def _pairs(items: Multi) -> list[tuple[str, str]]:
    return [
        (name, str(value))
        for name, values in items.items()
        for value in ([values] if isinstance(values, str) else values)
    ]


def _user(user: str | Mapping[str, Any] | None) -> User | None:
    if user is None:
        return None
    given = {"username": user} if isinstance(user, str) else dict(user)
    trusted = given.get("is_authenticated", given.get("assurance") != "none")
    username = given.get("username")
    defaults = {
        "is_authenticated": trusted,
        "name": username,
        "display_name": given.get("name") or username,
        "kind": "user" if trusted else "anonymous",
        "assurance": "provider" if trusted else "none",
    }
    return User({**defaults, **given})
