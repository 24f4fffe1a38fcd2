"""JSON objects of messages: they are read here, and what was read is written anew.

1. A kernel never gets the client's own bytes, because two parsers may read them differently.
2. Values that plain JSON does not have are unreadable: NaN, infinite numbers, halves of surrogate pairs.
3. Nesting deeper than ``DEPTH`` is unreadable, because another parser may refuse it.
4. No function raises. An unreadable object is None.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal

from jupyter_client.jsonutil import json_default

Json = dict[str, Any]

DEPTH = 64
"""How deep objects and lists may be nested. Parsers refuse a depth of about 1000; the exact limit differs."""

_read = json.JSONDecoder().decode
_write = json.JSONEncoder(allow_nan=False, default=json_default).encode
_write_text = json.JSONEncoder(ensure_ascii=False, default=json_default).encode


def read(part: Any, errors: Literal["strict", "replace"] = "strict") -> Json | None:
    """Return the JSON object in a part's bytes; None if they are not a JSON object."""
    try:
        value = _read(str(part, "utf-8", errors))
    except (ValueError, TypeError, RecursionError):  # a number beyond Python's limit is a ValueError
        return None
    return value if isinstance(value, dict) else None


def write(value: Json, *, strict: bool = True) -> bytes | None:
    """Return an object as ASCII JSON that every parser reads in the same way; None if that is not possible.

    If not ``strict``, the object may hold values such as NaN, which Python's own json writes.
    """
    try:
        text = _write(value) if strict else json.dumps(value)
        if strict and text.count("{") + text.count("[") > DEPTH and not _is_shallow(value):
            return None
        if strict and "\\ud" in text:  # a character beyond the Basic Multilingual Plane, or half of its surrogate pair
            _write_text(value).encode()
    except (ValueError, TypeError, RecursionError):
        return None
    return text.encode()


def can_be_written(value: Json) -> bool:
    """Whether ``write`` can write an object. The usual objects of clients need not be written to know the answer."""
    if all(map(str.isascii, value)) and all(map(_is_plain, value.values())):
        return True
    return write(value) is not None


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return value.isascii()
    if isinstance(value, list):
        try:
            return "".join(value).isascii()
        except TypeError:
            return False
    return value is None or isinstance(value, bool)


def _is_shallow(value: Json) -> bool:
    level: list[Any] = [value]
    for _ in range(DEPTH):
        level = [child for item in level for child in _children(item) if isinstance(child, dict | list)]
        if not level:
            return True
    return False


def _children(item: Json | list[Any]) -> Iterable[Any]:
    return item.values() if isinstance(item, dict) else item
