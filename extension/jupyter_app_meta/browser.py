"""What a page's script says of the visitor's browser. Pure.

It is a claim of the browser: good for formats and layouts, and never for who the visitor is. A field that does not have
its form is None.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

from . import locales
from .records import Record, sealed

LARGEST = 100_000
"""Pixels of a viewport's side."""

_timezone = re.compile(r"(?=.{1,64}\Z)[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,3}", re.ASCII)


class Viewport(NamedTuple):
    """The size of the part of a window that shows the page, in CSS pixels."""

    width: int
    height: int


@sealed
@dataclass(frozen=True, slots=True)
class Browser(Record):
    """The visitor's browser, as the page's script describes it. A field is None if it is not known."""

    _kind = "browser"

    timezone: str | None = None  #: an IANA name such as ``Europe/Zurich``
    locale: str | None = None  #: the language of the browser's own menus, such as ``de-CH``
    theme: Literal["light", "dark"] | None = None  #: how the page looks
    viewport: Viewport | None = None  #: ``viewport.width`` and ``viewport.height``, in CSS pixels

    @classmethod
    def read(cls, given: object) -> Browser:
        """Return what a JSON value says; raise ValueError unless it is an object."""
        if not isinstance(given, Mapping):
            raise ValueError("not an object")
        locale, theme = given.get("locale"), given.get("theme")
        return cls(
            _named(given.get("timezone")),
            locales.spelled(cast(str, locale)) if locales.is_tag(locale) else None,
            cast(Any, theme) if theme in ("light", "dark") else None,
            _sized(given.get("viewport")),
        )

    @property
    def plain(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {**self, "viewport": [*self.viewport] if self.viewport else None}


def _named(given: object) -> str | None:
    return given if isinstance(given, str) and _timezone.fullmatch(given) else None


def _sized(given: object) -> Viewport | None:
    if not isinstance(given, list | tuple) or len(given) != 2:
        return None
    fits = all(type(side) is int and 0 < side <= LARGEST for side in given)
    return Viewport(*given) if fits else None
