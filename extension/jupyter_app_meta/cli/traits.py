"""A command's options as traits with a help text: one function for each kind of value."""

from __future__ import annotations

import math

from traitlets import Bool, Float, Integer, List, Unicode


def text(help: str, default: str = "") -> Unicode[str, str | bytes]:
    """Return an option whose value is a text."""
    return Unicode(default, help=help).tag(config=True)


def names(help: str) -> List[str]:
    """Return an option whose value is a list of texts."""
    return List(Unicode(), help=help).tag(config=True)


def switch(help: str, *, default: bool = False) -> Bool[bool, bool | int]:
    """Return an option that is on or off."""
    return Bool(default, help=help).tag(config=True)


def automatic(help: str) -> Bool[bool | None, bool | int | None]:
    """Return an option that is on or off; None means that the server decides."""
    return Bool(None, allow_none=True, help=help).tag(config=True)


def seconds(default: float, help: str, *, least: float = -math.inf) -> Float[float, int | float]:
    """Return an option whose value is a time in seconds."""
    return Float(default, min=least, help=help).tag(config=True)


def count(default: int, help: str, *, least: int = 0, most: int | None = None) -> Integer[int, int]:
    """Return an option whose value is a whole number."""
    return Integer(default, min=least, max=most, help=help).tag(config=True)


def limit(help: str) -> Integer[int | None, int | None]:
    """Return an option whose value is a limit; None means that the machine decides."""
    return Integer(None, allow_none=True, min=0, help=help).tag(config=True)
