"""JSON objects of messages: read here, and written anew from what was read.

1. What a kernel gets is never the client's own bytes. Two parsers may read two things in them.
2. What cannot be written as plain JSON counts as unreadable: NaN, infinite numbers, halves of surrogate pairs.
3. So does what another parser may refuse: nesting deeper than ``DEPTH``.
4. Nothing raises: what is unreadable is None.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal

from jupyter_client.jsonutil import json_default

Json = dict[str, Any]

DEPTH = 64
"""The most objects and lists in one another. Parsers give up from about 1000 on, each at a number of its own."""

_read = json.JSONDecoder().decode
_write = json.JSONEncoder(allow_nan=False, default=json_default).encode
_write_text = json.JSONEncoder(ensure_ascii=False, default=json_default).encode


def read(part: Any, errors: Literal["strict", "replace"] = "strict") -> Json | None:
    """Return the JSON object of a part's bytes; None where it is not one."""
    try:
        value = _read(str(part, "utf-8", errors))
    except (ValueError, TypeError, RecursionError):  # a number beyond Python's limit is a ValueError
        return None
    return value if isinstance(value, dict) else None


def write(value: Json, *, strict: bool = True) -> bytes | None:
    """Return an object as ASCII JSON in which every parser reads the same; None where there is no such JSON.

    What is not ``strict`` may hold NaN and the like, as Python's own json has them.
    """
    try:
        text = _write(value) if strict else json.dumps(value)
        if strict and text.count("{") + text.count("[") > DEPTH and not _is_shallow(value):
            return None
        if strict and "\\ud" in text:  # a character beyond the Basic Multilingual Plane, or half of one
            _write_text(value).encode()
    except (ValueError, TypeError, RecursionError):
        return None
    return text.encode()


def can_be_written(value: Json) -> bool:
    """Whether ``write`` has a JSON for an object; what clients usually write is not written for that."""
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
