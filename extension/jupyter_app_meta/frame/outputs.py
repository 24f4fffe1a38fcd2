"""Which outputs a browser can show without a script."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

STATIC = frozenset({"text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/plain"})
"""The types that the template shows as HTML. An output with any other type waits for the page's script."""

_active = re.compile(r"<(?:script|link|iframe|object|embed)\b|\$|\\[(\[]|\\begin\{", re.IGNORECASE)
"""What may need the page's script: other scripts, which expect the page to be complete, and mathematics."""


def is_static(output: Mapping[str, Any]) -> bool:
    """Whether the browser shows an output without the page's script; ``output`` is one of a notebook's outputs."""
    data: Mapping[str, Any] = output.get("data") or {}
    if not data or not STATIC.issuperset(data):
        return False
    return not any(_active.search(_text(data.get(name, ""))) for name in ("text/html", "text/markdown"))


def _text(value: object) -> str:
    return "".join(value) if isinstance(value, list) else str(value)
