"""Complaints: messages of a kernel that are for its author: errors, and text on stderr.

1. An ``error`` message is an exception that reached IPython, from a cell or from a callback.
2. ``stderr`` has the rest: comms, tasks, threads, ``logging``, warnings, finalizers, file descriptor 2. A visitor is
   told of unhandled exceptions among them. Text that the author's code logged is for the author only.
3. A visitor is not told of an exception that renders no traceback (``_render_traceback_`` returns nothing).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .logs import beginning

LONGEST = 100_000
"""How many characters of a complaint are read."""

STDERR = "stderr"

Reach = Literal["author", "visitor", "login"]

_unhandled = re.compile(r"(?i)\bexception (?:in|opening comm)\b|exception was never retrieved|\bunhandled exception\b")
_traceback = re.compile(r"Traceback \(most recent call last\)|^Fatal Python error", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Complaint:
    """An exception's name (or ``stderr``), its whole text, and who is told of it."""

    name: str
    text: str
    reach: Reach

    @property
    def is_error(self) -> bool:
        """Whether it reports an error, and not only text on stderr."""
        return self.name != STDERR or bool(_traceback.search(self.text))


def is_for_author(msg_type: object, content: Mapping[str, Any]) -> bool:
    """Whether a message is for the author, and not for visitors."""
    return msg_type == "error" or (msg_type == "stream" and content.get("name") != "stdout")


def complaint(msg_type: object, content: Mapping[str, Any], *, python: bool = False) -> Complaint:
    """Return the complaint in a message that is for its author; ``python`` says whether a Python kernel sent it."""
    if msg_type != "error":
        text = beginning(str(content.get("text", "")), LONGEST)
        return Complaint(STDERR, text, "visitor" if _unhandled.search(text) else "author")
    name, lines = str(content.get("ename") or "Error"), content.get("traceback")
    text = "\n".join(map(str, lines)) if isinstance(lines, list) else str(lines or "")
    whole = text.strip() or f"{name}: {content.get('evalue', '')}"
    return Complaint(name, beginning(whole, LONGEST), _reach(name, bool(text.strip()), lines, python))


def _reach(name: str, is_rendered: bool, lines: object, python: bool) -> Reach:
    if not is_rendered and (python or lines != []):  # other kernels send an empty list if they have no traceback
        return "author"
    return "login" if name == "NotAuthenticated" else "visitor"
