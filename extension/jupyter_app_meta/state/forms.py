"""Strict readers of the fields of a message: each returns a value of its type, or raises Misunderstood.

The bounds keep one message from filling a server. What a deployer allows is less, and is checked elsewhere.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Any, TypeGuard

KEYS_LIMIT = 10_000  # keys of one message
KEY_LIMIT = 1_000  # characters of a key
TEXT_LIMIT = 16 * 1024 * 1024  # characters of all values of one message
GRANT_LIMIT = 4096  # characters
TTL_LIMIT = 100 * 366 * 86_400.0  # seconds
INT_LIMIT = 2**63
MESSAGE_NAME, MESSAGE_DATA = 100, 64 * 1024  # characters of the name and of the data, which is ASCII, of a message

_id_format = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Misunderstood(ValueError):
    """A message does not have the form that this release reads. The text names the field, and never its value."""


def fields(content: object, names: set[str]) -> dict[str, Any]:
    """Return an object that has exactly these fields."""
    if not isinstance(content, dict) or content.keys() != names:
        raise Misunderstood("the fields must be " + ", ".join(sorted(names)))
    return content


def need(holds: bool, name: str) -> None:
    """Raise Misunderstood unless the condition on the field holds."""
    if not holds:
        raise Misunderstood(f"{name} does not have its form")


def is_id(value: object) -> TypeGuard[str]:
    """Return whether this is the id of a request."""
    return isinstance(value, str) and _id_format.fullmatch(value) is not None


def ident(value: object) -> str:
    """Return the id of a request."""
    if not is_id(value):
        raise Misunderstood("id does not have its form")
    return value


def text(value: object, name: str, limit: int) -> str:
    """Return a text of at most ``limit`` characters."""
    if not isinstance(value, str) or len(value) > limit:
        raise Misunderstood(f"{name} does not have its form")
    return value


def message_name(value: object) -> str:
    """Return the name of a message between pages."""
    found = text(value, "name", MESSAGE_NAME)
    need(bool(found) and found.encode("utf-8", "ignore").decode() == found, "name")  # no half of a surrogate pair
    return found


def message_data(value: object) -> str:
    """Return the text of a message's data."""
    return text(value, "data", MESSAGE_DATA)


def key(value: object, name: str) -> str:
    """Return a key of state."""
    return text(value, name, KEY_LIMIT)


def keys(value: object, name: str) -> tuple[str, ...]:
    """Return keys, each once."""
    if not isinstance(value, list) or len(value) > KEYS_LIMIT:
        raise Misunderstood(f"{name} does not have its form")
    found = tuple(key(item, name) for item in value)
    need(len(set(found)) == len(found), name)
    return found


def some_keys(value: object, name: str) -> tuple[str, ...] | None:
    """Return keys, each once; None for all keys."""
    return None if value is None else keys(value, name)


def mapping(value: object, name: str) -> dict[str, Any]:
    """Return an object whose names are keys of state."""
    if not isinstance(value, dict) or len(value) > KEYS_LIMIT:
        raise Misunderstood(f"{name} does not have its form")
    return {key(item, name): content for item, content in value.items()}


def version(value: object, name: str) -> int:
    """Return a version, 0 for what is absent."""
    if type(value) is not int or not 0 <= value < INT_LIMIT:
        raise Misunderstood(f"{name} does not have its form")
    return value


def ttl(value: object, name: str) -> float | None:
    """Return a time to live in seconds; None for no end."""
    if value is None:
        return None
    if (type(value) is not int and type(value) is not float) or not 0 < value <= TTL_LIMIT:
        raise Misunderstood(f"{name} does not have its form")
    return float(value)


def amount(value: object, name: str) -> int | float:
    """Return what is added to a number: an int of at most 64 bits, or a finite float."""
    if type(value) is int and -INT_LIMIT <= value < INT_LIMIT:
        return value
    if type(value) is float and isfinite(value):
        return value
    raise Misunderstood(f"{name} does not have its form")
