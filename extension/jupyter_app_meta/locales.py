"""Language tags, such as ``de-CH``: which one a visitor prefers by the header ``accept-language``. Pure."""

from __future__ import annotations

import re

LONGEST = 35
"""Characters of a tag. Registered ones are shorter (RFC 5646, 4.4.1)."""

MOST = 50
"""How many tags of a header are read."""

_tag = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_weight = re.compile(r"q=([01](?:\.[0-9]{0,3})?)", re.IGNORECASE)


def is_tag(text: object) -> bool:
    """Whether this has the form of a language tag."""
    return isinstance(text, str) and len(text) <= LONGEST and _tag.fullmatch(text) is not None


def spelled(tag: str) -> str:
    """Return a tag in its usual spelling: ``zh-hant-tw`` is ``zh-Hant-TW``."""
    first, *rest = tag.split("-")
    return "-".join([first.lower(), *map(_part, rest)])


def preferred(accept_language: str | None) -> str | None:
    """Return the tag with the highest weight, of equal ones the first; None if the header names no language."""
    best, most = None, 0.0
    for item in (accept_language or "").split(",")[:MOST]:
        tag, _, parameter = (part.strip() for part in item.partition(";"))
        weight = _weigh(parameter)
        if is_tag(tag) and weight > most:
            best, most = spelled(tag), weight
    return best


def _weigh(parameter: str) -> float:
    if not parameter:
        return 1.0
    found = _weight.fullmatch(parameter.replace(" ", ""))
    return min(float(found[1]), 1.0) if found else 0.0


def _part(part: str) -> str:
    if len(part) == 2:
        return part.upper()
    return part.title() if len(part) == 4 and part.isalpha() else part.lower()
