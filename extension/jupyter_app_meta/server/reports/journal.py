"""The journal: texts of many lines in the author's log. Each line is marked, and the lines of each page are bounded."""

from __future__ import annotations

import logging
import re

from .allowances import Allowance
from .logs import Lines, printable

MOST_LINES = 120
"""How many lines of one text are logged: its beginning and its end."""

HEAD = 40
"""How many of them are the text's beginning, if the text has too many lines."""

WIDTH = 500
"""The most characters of a line."""

_style = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_place = re.compile(r"\bCell In\[\d+\](?=, line)")  # IPython counts executions, not the cells of the notebook
_line_break = re.compile(r"\r\n|[\n\r]")


class Journal:
    """Writes the texts of a server's kernels into its log."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._allowance = Allowance(10_000, 20)

    def write(self, level: int, headline: str, text: str, mark: str, own: Allowance | None = None) -> None:
        """Write a headline and a text below it, within the allowances of the server and of the page (``own``)."""
        if not self._log.isEnabledFor(level):
            return
        allowances = [self._allowance, *([own] if own else [])]
        room = min(allowance.left() for allowance in allowances)
        if room < 1:
            allowances[-1].drop(text.count("\n") + 2)
            return
        dropped = sum(allowance.told() for allowance in allowances)
        lines = split(text) if text else []
        shown = [headline, *([f"… and {dropped} more lines before this."] if dropped else []), *lines[: room - 1]]
        for allowance in allowances:
            allowance.take(len(shown))
        allowances[-1].drop(max(len(lines) - room + 1, 0))
        self._log.log(level, "%s", Lines("\n".join((shown[0], *(f"{mark}| {line}" for line in shown[1:])))))

    def close(self, name: str, own: Allowance) -> None:
        """Log how many lines were left out since the last text."""
        if dropped := own.told():
            self._log.warning("%s: … and %d more lines.", name, dropped)


def split(text: str) -> list[str]:
    """Return a text as lines that are safe for a log."""
    plain = _place.sub("Cell", _style.sub("", text.rstrip()))
    lines = _line_break.split(plain)
    if len(lines) > MOST_LINES:
        left_out = f"… {len(lines) - MOST_LINES} lines are left out …"
        lines = [*lines[:HEAD], left_out, *lines[HEAD - MOST_LINES :]]
    return [printable(line, WIDTH) for line in lines]
