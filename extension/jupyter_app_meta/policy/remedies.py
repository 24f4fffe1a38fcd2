"""Which option opens what the server withholds: the sentence for one name of ``request.redacted``."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ..withheld import Why, reason_of
from . import cookies, headers
from .names import USER_FIELDS, is_never, never_user
from .patterns import matches, normal

NEVER = "never forwarded"


def remedy(item: str, redacted: Iterable[str] = ()) -> str:
    """Return which option opens a withheld item such as ``headers.referer``; ``redacted`` is the whole list.

    The list may know why an item is withheld, if the item's name alone does not say so.
    """
    kind, _, name = item.partition(".")
    if kind == "user":
        return _user_remedy(name, {item, *redacted} if redacted else set())
    if kind in ("headers", "cookies", "query") and is_never(kind, normal(name)):
        return NEVER
    if why := reason_of(item, redacted):
        return _reasoned(kind, name, why)
    if kind in ("headers", "cookies"):
        return _name_remedy(kind, name)
    if kind in ("query", "path_params"):
        return _option("unsafe_query", name)
    return "AppMetaExtension.trusted_proxies = [the networks of your proxies]" if kind == "client" else NEVER


def _reasoned(kind: str, name: str, why: Why) -> str:
    match why:
        case "value":
            return f"{_option(f'unsafe_{kind}', name)}, because its value looks like a credential"
        case "changed":
            return f"{_option(f'unsafe_{kind}', name)}, because a credential was cut out of it"
        case "proxy":
            return f"{_name_remedy(kind, name)}, and a proxy in AppMetaExtension.trusted_proxies that sends it"
        case "part":
            return "AppMetaExtension.unsafe_query: add the whole name, of which this is a part"
        case "own":
            return f"{NEVER}, because it belongs to this server"
    return f"{NEVER}, because it stands in the path"


def _name_remedy(kind: str, name: str) -> str:
    if kind == "headers":
        credential = headers.is_credential(normal(name)) or matches(normal(name), headers.OPEN)
    else:  # a cookie whose name is open was withheld because of its value
        credential = cookies.is_credential(name) or normal(name) in cookies.OPEN
    return f"a credential: {_option(f'unsafe_{kind}', name)}" if credential else _option(f"{kind}_allow", name)


def _option(option: str, name: str) -> str:
    """Return what to write into an option; a pattern, or a name that was cut, would open nothing."""
    if any(mark in name for mark in "*?…"):
        return f"AppMetaExtension.{option}: add the exact name"
    return f"AppMetaExtension.{option} = [{name!r}]"


def _user_remedy(name: str, listed: Collection[str]) -> str:
    if name in USER_FIELDS:
        return f"AppMetaExtension.user_fields: add {name!r}, or leave the option unset"
    if never_user(name):
        return NEVER
    if listed and not any(f"user.{field}" in listed for field in USER_FIELDS):  # user_fields withholds nothing
        return f"{NEVER}: it contains what looks like a credential, for which there is no option"
    return "leave AppMetaExtension.user_fields unset"
