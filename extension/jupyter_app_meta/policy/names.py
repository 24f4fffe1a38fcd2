"""The names in options and in lists of withheld items: which are valid, and which never cross.

``cookies``, ``headers`` and ``urls`` say what a name is. "Never" is stronger than any option; "credential" is stronger
than any pattern of the deployer's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import PolicyError
from . import cookies, headers, urls, values
from .patterns import matches, normal

USER_FIELDS = tuple("username kind assurance is_owner name display_name initials color groups admin".split())
NEVER_USER = frozenset("scope scopes roles session sessions cookie cookies hub-user auth-state avatar-url".split())


class Scopes(tuple[str, ...]):
    """What an ASGI host lets a visitor do: the field ``scopes`` of such a user. Those of a Hub are a list."""

    __slots__ = ()


def never_user(name: str, value: object = None) -> bool:
    """Whether a field of an identity provider never crosses, because of its name, a name in it, or a token in it."""
    if name == "scopes" and isinstance(value, Scopes):
        return any(map(values.is_token, value))
    key = normal(name)
    if urls.is_secret(name) or not NEVER_USER.isdisjoint((key, *key.split("-"))):
        return True
    if isinstance(value, Mapping):
        return any(never_user(str(inner), item) for inner, item in value.items())
    if isinstance(value, str):
        return values.is_token(value)
    return isinstance(value, list | tuple) and any(never_user("", item) for item in value)


def pattern_names(option: str, values: Iterable[str]) -> tuple[str, ...]:
    """Return an option's patterns in normal form; raise PolicyError for a pattern that is not valid."""
    if isinstance(values, str):
        raise PolicyError(option, f"must be a list of names, not a string: write [{values!r}].")
    found = tuple(normal(value) for value in values)
    if "" in found:
        raise PolicyError(option, "an empty name is not allowed; remove it.")
    return found


def exact_names(option: str, values: Iterable[str]) -> frozenset[str]:
    """Return an option's exact names in normal form; raise PolicyError for one that never opens anything."""
    for name in (found := pattern_names(option, values)):
        if "*" in name or "?" in name:
            raise PolicyError(option, f"{name!r} is a pattern; this option takes exact names only.")
        if is_never(option.removeprefix("unsafe_"), name):
            raise PolicyError(option, f"{name!r} is never forwarded, under any option; remove it.")
    return frozenset(found)


def user_fields(values: Iterable[str] | None) -> frozenset[str]:
    """Return the fields of the user that cross; None means all. Raise PolicyError for an unknown field."""
    found = USER_FIELDS if values is None else tuple(values)
    if unknown := sorted(set(found).difference(USER_FIELDS)):
        raise PolicyError("user_fields", f"unknown field {unknown[0]!r}; the fields are {', '.join(USER_FIELDS)}.")
    return frozenset(found)


def user_header(text: str) -> str:
    """Return the header's name in lower case. ``X_Forwarded_User`` is another header, which any client may send."""
    name = text.strip().lower()
    if name and not name.replace("-", "").replace("_", "").isalnum():
        raise PolicyError("user_header", f"{text!r} is not a header name such as X-Forwarded-User.")
    if is_never("headers", normal(name)) or headers.is_credential(normal(name)):
        raise PolicyError("user_header", f"{text!r} holds a credential; every cell would see it as the username.")
    return name


def is_never(kind: str, key: str) -> bool:
    """Whether a header, cookie or query parameter of this normal name crosses under no option."""
    if kind == "headers":
        return matches(key, headers.NEVER)
    return cookies.is_never(key) if kind == "cookies" else key == "session-id"
