"""The memory of a fake request: what its code finds in state, and stores there."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

from ...model import AppMeta
from ...state import values
from ...state.operations import Apply
from .memory import Memory, memories

Memories = Mapping[str, Memory]

# By the id of the request, because a thread that a fake's code starts knows the request and not the fake.
_of: dict[int, Memories] = {}


def seeded(state: Mapping[str, Any] | None, shared: Mapping[str, Any] | None) -> Memories:
    """Return memories: ``state`` is what a tab and a visitor begin with, ``shared`` is what is shared."""
    made = memories([])
    for audience, begin in (("session", state), ("visitor", state), ("shared", shared)):
        if puts := {values.check_key(key): values.encode(value) for key, value in (begin or {}).items()}:
            made[audience](Apply(puts=puts))
    return made


def keep(meta: AppMeta, memories: Memories) -> None:
    """Let code that runs under this request find these memories, as long as the request exists."""
    if id(meta) not in _of:
        weakref.finalize(meta, _of.pop, id(meta), None).atexit = False
    _of[id(meta)] = memories


def memories_of(meta: AppMeta) -> Memories | None:
    """Return the memories of a fake request; None for any other request."""
    found = _of.get(id(meta))
    if found is None and meta.mode == "test":
        found = seeded(None, None)
        keep(meta, found)
    return found
