"""Stored state as authors use it, and how a kernel asks its server for it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..visitors import shared as shared
    from ..visitors import visitor as visitor
    from .mapping import State as State
    from .transaction import Transaction as Transaction

_PLACES = {"State": ".mapping", "Transaction": ".transaction", "shared": "..visitors", "visitor": "..visitors"}


if not TYPE_CHECKING:  # for a type checker, every name would exist

    def __getattr__(name: str) -> Any:
        """Import a name when it is used, because a kernel that stores nothing needs none of them."""
        if name in _PLACES:
            return getattr(import_module(_PLACES[name], __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
