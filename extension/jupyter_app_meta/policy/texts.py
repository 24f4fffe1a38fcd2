"""The values that a text assigns to names: ``a=1``, ``{"a": 1}``, ``{a: 1}``. Visitors write these texts.

1. JSON is read as JSON, with its escapes. A text that only looks like JSON is read by its quotes.
2. JSON that is nested too deep, or holds too much, raises Unreadable; the caller treats it as a credential.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

MOST = 2000  # no person wrote a filter that assigns more

Pairs = list[tuple[str, str]]

_delimiters = re.compile(r"[\s?&#;/,]")
_begins_json = re.compile(r"\s*(?:[a-z]:)?\s*([\[{].*)", re.DOTALL)
_quoted = re.compile(r'"([^"\n]{1,200})"\s*:')
_loose = re.compile(r"(?:^|(?<=[{(\[,;&\s']))['\"]?([A-Za-z_$][\w.$-]{2,60})['\"]?\s?:(?!//)(?=\s?([^\s,;&})\]]*))")


class Unreadable(ValueError):
    """The text assigns more values, or nests them deeper, than is read."""


def assigned(text: str) -> Pairs:
    """Return what a text assigns with ``=``: ``[("a", "1"), ("b", "2")]`` of ``x?a=1&b=2``."""
    parts = text.split("=", MOST + 1)
    if len(parts) > MOST:
        raise Unreadable
    found = []
    for before, after in itertools.pairwise(parts):
        value = after.strip()
        found.append((_delimiters.split(before.rstrip())[-1], _delimiters.split(value, maxsplit=1)[0] if value else ""))
    return found


def spelled(text: str) -> Pairs:
    """Return what a text assigns with a colon, as JSON, JavaScript and YAML do; a value may be empty."""
    if ":" not in text:
        return []
    value = _json(text)
    if value is not None:
        return list(_scalars(value, [0]))
    if "\\u" in text and '"' in text:
        raise Unreadable  # it is nearly JSON, and a name may be hidden in its escapes
    return [*((name, "") for name in _quoted.findall(text)), *_loose_pairs(text)]


def _loose_pairs(text: str) -> Iterator[tuple[str, str]]:
    return ((found[1], found[2]) for found in _loose.finditer(text))


def _json(text: str) -> Any:
    found = _begins_json.fullmatch(text)
    if found is None:
        return None
    try:
        return json.loads(found[1])
    except RecursionError:
        raise Unreadable from None
    except ValueError:
        return None


def _scalars(value: Any, count: list[int], name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield each scalar of a JSON value with the name that is nearest to it."""
    count[0] += 1
    if depth > 32 or count[0] > MOST:
        raise Unreadable
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, dict | list):
                yield str(key), ""
            yield from _scalars(item, count, str(key), depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _scalars(item, count, name, depth + 1)
    else:
        yield name, _text(value)
        inner = _json(value) if isinstance(value, str) else None
        if isinstance(inner, dict | list):
            yield from _scalars(inner, count, name, depth + 1)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
