"""What a kernel writes for its author: errors, and whatever it writes to stderr.

1. An ``error`` message is an exception that reached IPython: of a cell, or of a callback.
2. ``stderr`` has the rest: comms, tasks, threads, ``logging``, warnings, finalizers, file descriptor 2. Of these
   a visitor is told what nobody handled; what the author's code has logged and survived is the author's.
3. An exception that renders no traceback (``_render_traceback_`` returns nothing) says nothing to visitors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

LONGEST = 100_000
"""The most characters of a complaint that are looked at."""

STDERR = "stderr"

Reach = Literal["author", "visitor", "login"]

_unhandled = re.compile(r"(?i)\bexception (?:in|opening comm)\b|exception was never retrieved|\bunhandled exception\b")
_traceback = re.compile(r"Traceback \(most recent call last\)|^Fatal Python error", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Complaint:
    """An exception's name (or ``stderr``), the whole text, and whether a visitor is told that there was something."""

    name: str
    text: str
    reach: Reach

    @property
    def is_error(self) -> bool:
        """Whether something went wrong, and not only a word was said."""
        return self.name != STDERR or bool(_traceback.search(self.text))


def is_for_author(msg_type: object, content: Mapping[str, Any]) -> bool:
    """Whether a message is none for visitors."""
    return msg_type == "error" or (msg_type == "stream" and content.get("name") != "stdout")


def complaint(msg_type: object, content: Mapping[str, Any], *, python: bool = False) -> Complaint:
    """Return what a message that is for its author says; ``python`` is whether a Python kernel sent it."""
    if msg_type != "error":
        text = str(content.get("text", ""))[:LONGEST]
        return Complaint(STDERR, text, "visitor" if _unhandled.search(text) else "author")
    name, lines = str(content.get("ename") or "Error"), content.get("traceback")
    text = "\n".join(map(str, lines)) if isinstance(lines, list) else str(lines or "")
    whole = text.strip() or f"{name}: {content.get('evalue', '')}"
    return Complaint(name, whole[:LONGEST], _reach(name, bool(text.strip()), lines, python))


def _reach(name: str, is_rendered: bool, lines: object, python: bool) -> Reach:
    if not is_rendered and (python or lines != []):  # other kernels send no lines for want of them
        return "author"
    return "login" if name == "NotAuthenticated" else "visitor"
