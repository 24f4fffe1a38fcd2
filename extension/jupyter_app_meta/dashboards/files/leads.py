"""The first sentence of a notebook's text, which the index shows below its title."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from . import content, titles

LONGEST = 160
"""How many characters of a sentence are shown."""

_end = re.compile(r"(?<=[.!?…])\s+(?=[^a-z])")


def lead(path: Path) -> str:
    """Return the first sentence of a notebook's first paragraph; empty if there is none, or it cannot be read."""
    try:
        return _lead(path, path.stat().st_mtime_ns)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return ""


@lru_cache(maxsize=1000)
def _lead(path: Path, changed: int) -> str:
    for cell in content.read(path)["cells"]:
        if cell["cell_type"] == "markdown" and (text := titles.first("".join(cell["source"]), "paragraph")):
            return _shortened(_end.split(" ".join(text.split()), maxsplit=1)[0])
    return ""


def _shortened(text: str) -> str:
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rsplit(' ', 1)[0]} …"
