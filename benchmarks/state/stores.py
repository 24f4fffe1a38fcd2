"""The stores that are measured, each of them empty and for one benchmark alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from databases import empty_store

NAMES = {"sqlite": "SQLite", "redis": "Redis", "postgresql": "PostgreSQL"}
"""The stores of ``tests/state/databases.py``, and what people call them."""


@contextmanager
def emptied(kind: str) -> Iterator[str]:
    """Yield the URL of a store."""
    with TemporaryDirectory(prefix="benchmark-") as folder, empty_store(kind, Path(folder)) as url:
        yield url
