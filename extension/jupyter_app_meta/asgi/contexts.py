"""ContextVars that handlers set, for the middleware above them.

A handler runs in a task of its own. The request's own task takes over what the handler has set, before it sends what
the handler wrote: then ``send`` wrappers and the code behind ``await app(...)`` see it.
"""

from __future__ import annotations

from contextvars import Context

WITHHELD = frozenset({"_name_value_map"})
"""Names that are never taken over. jupyter_server keeps the current handler in this one, and with it a visitor."""

_MISSING = object()


def carry(before: Context, after: Context) -> None:
    """Set, in the current context, each variable that ``after`` has and ``before`` has not, or with another value."""
    for variable, value in after.items():
        if before.get(variable, _MISSING) is not value and variable.name not in WITHHELD:
            variable.set(value)
