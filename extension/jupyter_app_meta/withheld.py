"""The name of a withheld item, and why the item is withheld if its name alone does not say so.

The reason travels with the name, so that an author is not told of an option that would not help.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, Self, get_args

Why = Literal["value", "changed", "own", "proxy", "path", "part"]

WHYS: Final[tuple[Why, ...]] = get_args(Why)


class Reasoned(str):
    """A name that knows why its item is withheld; it equals its text.

    value: the item's value looks like a credential
    changed: the item is forwarded without a credential that it contained
    own: a cookie logs its browser in to this server
    proxy: a header counts only if a trusted proxy sent it, and none did
    path: a parameter is in the path
    part: the text is only a part of the name
    """

    __slots__ = ("why",)

    why: Why

    @classmethod
    def of(cls, name: str, why: Why) -> Self:
        """Return a name with its reason."""
        found = cls(name)
        found.why = why
        return found


def named(kind: str, name: str, why: Why | None = None) -> str:
    """Return an item's name, such as ``cookies.theme``, with the given reason or that of its own name."""
    reason = why or reason_of(name)
    item = f"{kind}.{name}"
    return Reasoned.of(item, reason) if reason else item


def reason_of(name: str, among: Iterable[str] = ()) -> Why | None:
    """Return the reason of a name, or of an equal name among others; None if there is none."""
    found = next((each for each in (name, *among) if each == name and isinstance(each, Reasoned)), None)
    return found.why if found else None


def packed(names: Iterable[str]) -> dict[str, list[int]]:
    """Return the places of the names that have a reason, by reason; the inverse of ``unpacked``."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        if why := reason_of(name):
            places.setdefault(why, []).append(place)
    return places


def unpacked(names: Iterable[str], places: Mapping[str, Iterable[int]]) -> list[str]:
    """Return the names with their reasons; an unknown reason is ignored. Raises the errors of dicts and lists."""
    reasons = {place: why for why in WHYS for place in places.get(why, ())}
    return [Reasoned.of(name, reasons[place]) if place in reasons else name for place, name in enumerate(names)]
