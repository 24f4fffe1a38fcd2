"""Notices as the feeds of PostgreSQL and Redis carry them: JSON of the writer's name, the scope and the keys."""

from __future__ import annotations

import json
from collections.abc import Collection

from .base import Notice

# PostgreSQL takes texts under 8000 bytes.
MOST = 7000


def encode(writer: str, scope: str, keys: Collection[str] | None) -> str:
    """Return the text of a notice; of too many keys it names none."""
    text = json.dumps([writer, scope, keys if keys is None else list(keys)])
    return text if len(text) < MOST else json.dumps([writer, scope, None])


def decode(text: str, reader: str) -> Notice | None:
    """Return the notice of a text; None: the reader's own."""
    writer, scope, keys = json.loads(text)
    return None if writer == reader else Notice(scope, None if keys is None else frozenset(keys))
