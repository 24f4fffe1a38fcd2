"""How a command line is refused: with one line that names the nearest option."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class Refused(Exception):
    """The command cannot be carried out. The message is one line; ``status`` is the exit status."""

    def __init__(self, message: str, status: int = 2) -> None:
        super().__init__(message)
        self.status = status


def nearest(argument: str, known: Iterable[str]) -> str:
    """Return the refusal of an unknown argument, with the nearest known one."""
    if not argument.startswith("-"):
        return f"unexpected argument {argument!r}."
    name = argument.partition("=")[0]
    known = sorted({*known} - {name})  # another command may have it
    near = get_close_matches(name, known, 1, cutoff=0.65)
    hint = f"did you mean {near[0]}?" if near else "`--help` lists the options."
    return f"unknown option {name}; {hint}"


def table(lines: Sequence[Sequence[str]]) -> str:
    """Return the lines in columns that are as wide as their longest text."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def plain(text: str | None) -> str:
    """Return a visitor's text for a terminal, without what controls a terminal; a hyphen for no text."""
    return "".join(letter if letter.isprintable() else "?" for letter in text or "-")
