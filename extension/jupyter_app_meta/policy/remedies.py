"""Which option opens what the server withholds: the sentence for one name of ``request.redacted``."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from . import cookies, headers
from .names import USER_FIELDS, is_never, never_user
from .patterns import matches, normal

NEVER = "never forwarded"


def remedy(item: str, redacted: Iterable[str] = ()) -> str:
    """Return which option opens a withheld item such as ``headers.referer``; ``redacted`` is the whole list."""
    kind, _, name = item.partition(".")
    if kind == "user":
        return _user_remedy(name, {item, *redacted} if redacted else set())
    if kind in ("headers", "cookies", "query") and is_never(kind, normal(name)):
        return NEVER
    if kind in ("headers", "cookies"):
        return _name_remedy(kind, name)
    if kind in ("query", "path_params"):
        return f"AppMetaExtension.unsafe_query = [{name!r}]"
    return "AppMetaExtension.trusted_proxies = [the networks of your proxies]" if kind == "client" else NEVER


def _name_remedy(kind: str, name: str) -> str:
    if kind == "headers":
        credential = headers.is_credential(normal(name)) or matches(normal(name), headers.OPEN)
    else:  # a cookie whose name is open was withheld because of its value
        credential = cookies.is_credential(name) or normal(name) in cookies.OPEN
    return (
        f"a credential: AppMetaExtension.unsafe_{kind} = [{name!r}]"
        if credential
        else f"AppMetaExtension.{kind}_allow = [{name!r}]"
    )


def _user_remedy(name: str, listed: Collection[str]) -> str:
    if name in USER_FIELDS:
        return f"AppMetaExtension.user_fields: add {name!r}, or leave the option unset"
    if never_user(name):
        return NEVER
    if listed and not any(f"user.{field}" in listed for field in USER_FIELDS):  # user_fields withholds nothing
        return f"{NEVER}: it contains what looks like a credential, for which there is no option"
    return "leave AppMetaExtension.user_fields unset"
