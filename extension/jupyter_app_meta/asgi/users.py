"""What ``scope["user"]`` and ``scope["auth"]`` of a host say of a visitor, and how much of that is believed. Pure.

1. Only objects that the host's own code put into the scope name a visitor. Headers, ContextVars, ``scope["client"]``
   and the session cookie do not.
2. A visitor is authenticated if ``is_authenticated`` is True. A string, a number, a method and a missing value are not.
3. The username is the first of ``NAMES`` that has a value; of an object last its ``display_name``. It is never
   ``name``: two visitors may have the same. Without a username the visitor is not known.
4. A mapping also gives its other JSON values. Of an object only the attributes that are named here are read: a row of
   a database has the hash of a password. ``scope["auth"].scopes`` become the field ``scopes``.
5. The binding key ties pages to connections. An authenticated visitor's is made of kind, username and id. Any other
   visitor is told from the next by a random name in a signed cookie of ours, whatever the host calls them.
6. An object of the host may raise wherever it is touched. What cannot be read is not there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal
from uuid import UUID

from ..model import User
from ..policy.names import Scopes

NAMES = ("username", "preferred_username", "email", "identity", "sub", "id")
"""What may be a username, the first that has a value."""

IDS = ("id", "sub", "identity")
"""What tells two visitors of one username apart."""

SHOWN = ("name", "display_name", "initials", "color")

LARGEST = 4096
"""The most characters of a mapping's other value, as JSON."""

LONGEST = 1024
"""The most characters of a name or id. A longer one is not cut: its beginning may be another visitor's."""

Take = Callable[[str], object]
"""Reads one value of a user by its name; None for one that is not there."""

Problem = Literal["", "flag", "name"]
"""Why a user is not authenticated, where the host's author may have meant another thing."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a host says of a visitor: the fields of the user, and the binding key of one who is authenticated."""

    values: Mapping[str, Any] = field(default_factory=dict)
    key: str = field(default="", repr=False)
    problem: Problem = ""


def read(user: object, auth: object = None) -> Said:
    """Return what a user and the credentials of a scope say. Never raises."""
    if user is None:
        return Said()
    mapping = _mapping(user)
    take = partial(_attribute, user) if mapping is None else partial(_item, mapping)
    flag = take("is_authenticated")
    username = _first(take, NAMES if mapping is not None else (*NAMES, "display_name"))
    shown = _shown(mapping, take, username) if username else {}
    if flag is not True or not username:
        return Said(shown, problem="name" if flag is True else "" if flag is False else "flag")
    rights = _rights(mapping, take, auth)
    parts = ("host", rights["kind"], username, _first(take, IDS))
    return Said({**shown, **rights}, ":".join(map(_without_colon, parts)))


def _mapping(user: object) -> Mapping[Any, object] | None:
    """Return a user whose values are items; None for an object with attributes. A string is a username."""
    try:
        if isinstance(user, str):
            return {"username": user}
        return user if isinstance(user, Mapping) else None
    except Exception:  # its class may say anything of itself
        return None


def _first(take: Take, names: Iterable[str]) -> str:
    return next(filter(None, (_text(take(name)) for name in names)), "")


def _without_colon(part: str) -> str:
    """Return a part of a key: if it had a colon, two visitors could have one key."""
    return part.replace("%", "%25").replace(":", "%3A")


def _shown(mapping: Mapping[Any, object] | None, take: Take, username: str) -> dict[str, Any]:
    """Return the names of a user, and what else its host tells of it."""
    more = _others(mapping) if mapping is not None else [(name, take(name)) for name in NAMES if _text(take(name))]
    told = {name: plain for name, value in more if (plain := _plain(value)) is not None}
    return {**told, **{name: text for name in SHOWN if (text := _text(take(name)))}, "username": username}


def _others(mapping: Mapping[Any, object]) -> list[tuple[str, object]]:
    """Return a mapping's items, but for those that have a meaning of their own."""
    try:
        items = [(name, value) for name, value in mapping.items() if type(name) is str]
    except Exception:  # the host's own mapping
        return []
    return [(name, value) for name, value in items if name[:1] != "_" and name not in _OWN]


_OWN = frozenset((*User.defaults, "scopes", "avatar_url"))


def _rights(mapping: Mapping[Any, object] | None, take: Take, auth: object) -> dict[str, Any]:
    """Return what an authenticated visitor is and may do."""
    is_service = mapping is not None and _text(take("kind")) == "service"
    return {
        "kind": "service" if is_service else "user",
        "groups": _texts(take("groups")),
        "admin": take("admin") is True,
        "scopes": Scopes(_texts(_attribute(auth, "scopes"))),
    }


def _item(mapping: Mapping[Any, object], name: str) -> object:
    try:
        return mapping.get(name)
    except Exception:  # the host's own mapping
        return None


def _attribute(thing: object, name: str) -> object:
    try:
        return getattr(thing, name, None)
    except Exception:  # Starlette's BaseUser raises NotImplementedError for its identity
        return None


def _plain(value: object) -> Any:
    """Return a copy of a value that is JSON and small, or the text of a UUID; None for any other."""
    try:
        text = json.dumps(_text(value) if isinstance(value, UUID) else value, allow_nan=False)
        return json.loads(text) if len(text) <= LARGEST else None
    except Exception:  # a class of the host's own may raise anything
        return None


def _text(value: object) -> str:
    """Return a name or id as text; empty for what is none."""
    try:
        text = _spelled(value)
        text.encode()  # half of a surrogate pair is part of no name, and cannot be sent
    except Exception:  # as above
        return ""
    return text if text.strip() and len(text) <= LONGEST else ""


def _spelled(value: object) -> str:
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int.__repr__(value)
    return UUID.__str__(value) if isinstance(value, UUID) else ""


def _texts(value: object) -> tuple[str, ...]:
    """Return the names in a list, tuple or set; those of a set in order, as it has none."""
    try:
        if not isinstance(value, list | tuple | set | frozenset):
            return ()
        found = [text for item in value if isinstance(item, str) and (text := _text(item))]
        return tuple(sorted(found) if isinstance(value, set | frozenset) else found)
    except Exception:  # as above
        return ()
