"""What a policy's options open, as the policy itself judges it, and which options open nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from . import OPEN_HEADERS, Policy, headers
from .patterns import matches, normal
from .remedies import remedy

Kind = Literal["headers", "cookies"]

KINDS: tuple[Kind, ...] = ("headers", "cookies")
PREFERENCES = "preferences by well-known names (theme, lang, tz, ...)"


def opened(policy: Policy, kind: Kind) -> list[str]:
    """Return the names and patterns that cross: those that are open by default, and those that options open."""
    allowed, unsafe = _options(policy, kind)
    own = OPEN_HEADERS if kind == "headers" else (PREFERENCES,)
    return list(dict.fromkeys((*own, *added(policy, kind, allowed), *sorted(unsafe))))


def added(policy: Policy, kind: Kind, allowed: tuple[str, ...]) -> Iterator[str]:
    """Yield the allowed names and patterns that open something."""
    return (name for name in allowed if not idle(policy, kind, name))


def idle(policy: Policy, kind: Kind, pattern: str) -> str:
    """Return why a name or pattern opens nothing; empty if it opens something."""
    name = normal(pattern)
    opens = policy.opens_header if kind == "headers" else policy.opens_cookie
    known = map(_example, headers.ADDRESS) if kind == "headers" else ()
    met = [fill.join(name.split("*")) for fill in ("", "a")] + [each for each in known if matches(each, (name,))]
    return "" if any(map(opens, met)) else remedy(f"{kind}.{pattern}")


def _example(pattern: str) -> str:
    """Return an example of a header that a pattern of addresses matches."""
    return pattern.replace("?", "i").removesuffix("*").replace("*", "x-")


def warnings(policy: Policy) -> list[str]:
    """Return a sentence for each name in an option that opens nothing."""
    return [
        f"AppMetaExtension.{kind}_allow opens nothing by {name!r} ({why})."
        for kind in KINDS
        for name in _options(policy, kind)[0]
        if (why := idle(policy, kind, name))
    ]


def _options(policy: Policy, kind: Kind) -> tuple[tuple[str, ...], frozenset[str]]:
    if kind == "headers":
        return policy.headers_allow, policy.unsafe_headers
    return policy.cookies_allow, policy.unsafe_cookies
