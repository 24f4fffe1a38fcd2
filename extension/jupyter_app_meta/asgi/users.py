"""What a host's ``scope["user"]`` and ``scope["auth"]`` say about a visitor, and how much is believed. Pure.

1. Only objects that the host's own code put into the scope name a visitor. Headers, ContextVars, ``scope["client"]``
   and the session cookie do not.
2. A visitor is authenticated if ``is_authenticated`` is True. A string, a number, a method and a missing value are not.
3. The username is the first of ``NAMES`` that has a value; for an object, ``display_name`` comes last. It is never
   ``name``, because two visitors may have the same name. Without a username the visitor is not known.
4. A mapping also gives its other JSON values. Only the attributes that are named here are read from an object, because
   a database row may have the hash of a password. ``scope["auth"].scopes`` become the field ``scopes``.
5. The binding key ties pages to connections. An authenticated visitor's key is made of kind, username and id. Other
   visitors are told apart by a random name in our signed cookie, even if the host names them.
6. A host's object may raise an error at any access. A value that cannot be read counts as missing.
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
"""The names of values that may be a username. The first that has a value counts."""

IDS = ("id", "sub", "identity")
"""The names of values that tell two visitors with one username apart."""

SHOWN = ("name", "display_name", "initials", "color")

LARGEST = 4096
"""How many characters another value of a mapping may have as JSON."""

LONGEST = 1024
"""How many characters a name or id may have. A longer one is not cut: its beginning may be another visitor's."""

Take = Callable[[str], object]
"""Reads one value of a user by its name; None if it is missing."""

Problem = Literal["", "flag", "name"]
"""Why a user is not authenticated, if the host's author may have meant something else."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a host says about a visitor: the user's fields, and the binding key if the user is authenticated."""

    values: Mapping[str, Any] = field(default_factory=dict)
    key: str = field(default="", repr=False)
    problem: Problem = ""


def read(user: object, auth: object = None) -> Said:
    """Return what a scope's user and credentials say. Never raises."""
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
    except Exception:  # its class may raise anything
        return None


def _first(take: Take, names: Iterable[str]) -> str:
    return next(filter(None, (_text(take(name)) for name in names)), "")


def _without_colon(part: str) -> str:
    """Return a part of a key. With a colon in it, two visitors could have the same key."""
    return part.replace("%", "%25").replace(":", "%3A")


def _shown(mapping: Mapping[Any, object] | None, take: Take, username: str) -> dict[str, Any]:
    """Return a user's names, and what else the host says about the user."""
    more = _others(mapping) if mapping is not None else [(name, take(name)) for name in NAMES if _text(take(name))]
    told = {name: plain for name, value in more if (plain := _plain(value)) is not None}
    return {**told, **{name: text for name in SHOWN if (text := _text(take(name)))}, "username": username}


def _others(mapping: Mapping[Any, object]) -> list[tuple[str, object]]:
    """Return a mapping's items, except those with a meaning of their own."""
    try:
        items = [(name, value) for name, value in mapping.items() if type(name) is str]
    except Exception:  # the host's own mapping
        return []
    return [(name, value) for name, value in items if name[:1] != "_" and name not in _OWN]


_OWN = frozenset((*User.defaults, "scopes", "avatar_url"))


def _rights(mapping: Mapping[Any, object] | None, take: Take, auth: object) -> dict[str, Any]:
    """Return the standing of an authenticated visitor: kind, groups and rights."""
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
    except Exception:  # the host's class may raise anything
        return None


def _text(value: object) -> str:
    """Return a name or id as text; an empty text for any other value."""
    try:
        text = _spelled(value)
        text.encode()  # half of a surrogate pair cannot be sent
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
    """Return the names in a list, tuple or set. Those of a set are sorted, because it has no order."""
    try:
        if not isinstance(value, list | tuple | set | frozenset):
            return ()
        found = [text for item in value if isinstance(item, str) and (text := _text(item))]
        return tuple(sorted(found) if isinstance(value, set | frozenset) else found)
    except Exception:  # as above
        return ()
