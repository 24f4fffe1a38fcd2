"""What the tests of all stores put into them, and how they read it back."""

from __future__ import annotations

import time
from collections.abc import Callable

from hypothesis import strategies as st

from jupyter_app_meta.state.keys import Scope
from jupyter_app_meta.state.stores.base import Store

KEYS = st.text(st.characters(codec=None, categories=None), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def put(store: Store, scope: Scope, ttl: float | None = None, **texts: str) -> int:
    """Put texts; return their version."""
    return max(store.apply(scope, {}, texts, (), ttl).values())


def texts(store: Store, scope: Scope) -> dict[str, str]:
    """Return the texts of a scope."""
    return {key: entry.text for key, entry in store.read(scope.id, None).items()}


def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
