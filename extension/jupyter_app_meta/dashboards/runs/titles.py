"""What a notebook is called: its metadata's title, its first heading, or its file's name."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

_markup = re.compile(r"[*`]+|\b_+|_+\b(?!\w)|</?[A-Za-z][^<>]*>|!?\[([^][]*)\]\([^()]*\)")


def title(path: Path) -> str:
    """Return the title of a notebook; one that cannot be read has its file's name."""
    try:
        return _title(path, path.stat().st_mtime_ns)
    except OSError:
        return _name(path)


@lru_cache(maxsize=1000)
def _title(path: Path, changed: int) -> str:
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        found = _stated(notebook) or _first_heading(notebook)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        found = ""
    return found.encode("utf-8", "replace").decode() or _name(path)


def _name(path: Path) -> str:
    words = path.stem.replace("_", " ").replace("-", " ").strip() or path.stem
    return words[:1].upper() + words[1:]


def _stated(notebook: Any) -> str:
    found = notebook["metadata"].get("title")
    return found.strip() if isinstance(found, str) else ""


def _first_heading(notebook: Any) -> str:
    for cell in notebook["cells"]:
        lines = "".join(cell["source"]).splitlines() if cell["cell_type"] == "markdown" else []
        fences = accumulate(line.lstrip().startswith(("```", "~~~")) for line in lines)
        for line, fence in zip(lines, fences, strict=True):
            if fence % 2:
                continue  # code
            text = line[2:].strip().rstrip("#") if line[:2] in ("# ", "#\t") else ""
            if heading := _markup.sub(r"\1", text).strip():
                return heading
    return ""
