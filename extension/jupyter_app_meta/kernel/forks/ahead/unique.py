"""What an author's code makes up before its question, of which each visitor should perhaps have one: names and keys.

1. A call counts if the author's own code makes it: a cell, or a module that is not installed. Libraries make names
   for themselves, such as the ids of widgets.
2. A function that is registered with ``atexit`` counts as well: no child calls it, and it may remove what is a
   visitor's.
3. The functions stay in their modules as they are watched here, and a child pays next to nothing for that. Code that
   imported one has it in any case, and could otherwise not send it to another process.
"""

from __future__ import annotations

import atexit
import functools
import os
import random
import secrets
import sys
import tempfile
import uuid
from collections.abc import Callable
from typing import Any

from ... import authors

MAKERS = {
    uuid: ("uuid1", "uuid4", "uuid6", "uuid7", "uuid8"),
    secrets: ("choice", "randbelow", "randbits", "token_bytes", "token_hex", "token_urlsafe"),
    random: ("choice", "choices", "getrandbits", "randbytes"),
    os: ("urandom",),
    tempfile: ("mktemp",),
    atexit: ("register",),
}
"""Functions with which names and keys are made."""


class Unique:
    """Knows which of these functions the author's own code has called, until it is over: this process is a child."""

    def __init__(self) -> None:
        self._shell: Any = None
        self._called = ""
        self.is_over = False

    def watch(self, shell: Any) -> None:
        """Note from now on what code calls that is the author's; the shell tells which cells are."""
        self._shell = shell
        for module, names in MAKERS.items():
            for name in filter(module.__dict__.__contains__, names):
                setattr(module, name, self._watched(module, name))

    def why(self) -> str:
        """Return why visitors should not share what was called, or nothing."""
        if self._called == "register":
            return "it calls atexit.register() before it asks who is looking, and no visitor's kernel would call that"
        if self._called:
            return f"it calls {self._called}() before it asks who is looking, and its visitors would share the result"
        return ""

    def _watched(self, module: Any, name: str) -> Callable[..., Any]:
        function = getattr(module, name)

        @functools.wraps(function)
        def watched(*given: Any, **named: Any) -> Any:
            if not (self.is_over or self._called) and authors.wrote(sys._getframe(1), self._shell):
                self._called = name
            return function(*given, **named)

        watched.__module__, watched.__qualname__ = module.__name__, name  # a method, in the case of `random`
        return watched
