"""What a notebook is called: its metadata's title, its first heading, or its file's name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_heading = re.compile(r"^#\s+(.+?)\s*#*\s*$", re.MULTILINE)
_markup = re.compile(r"[*_`]+|<[^>]*>|!?\[([^\]]*)\]\([^)]*\)")


def title(path: Path) -> str:
    """Return the title of a notebook; one that cannot be read has its file's name."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        found = _stated(notebook) or _first_heading(notebook)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        found = ""
    return found or path.stem.replace("_", " ").replace("-", " ").strip().capitalize()


def _stated(notebook: Any) -> str:
    found = notebook["metadata"].get("title")
    return found.strip() if isinstance(found, str) else ""


def _first_heading(notebook: Any) -> str:
    for cell in notebook["cells"]:
        match = _heading.search("".join(cell["source"])) if cell["cell_type"] == "markdown" else None
        if match:
            return _markup.sub(r"\1", match[1]).strip()
    return ""
