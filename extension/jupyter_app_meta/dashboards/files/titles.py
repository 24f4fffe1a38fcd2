"""The title of a notebook: the title in its metadata, its first heading, or the name of its file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import mistune

from . import content

LONGEST = 20_000
"""How many characters of a text are parsed. More of them could keep all visitors waiting."""

_may_have_heading = re.compile(r"^ {0,3}(?:#[ \t]|=+[ \t]*$)", re.MULTILINE)
"""A text that this does not match has no heading of the first level, and is not parsed."""


def title(path: Path) -> str:
    """Return the title of a notebook; the name of its file if the notebook cannot be read."""
    try:
        return _title(path, path.stat().st_mtime_ns)
    except OSError:
        return _name(path)


@lru_cache(maxsize=1000)
def _title(path: Path, changed: int) -> str:
    try:
        notebook = content.read(path)
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
    """Return the text of the first heading of the first level, as a reader sees it; empty if there is none."""
    texts = ("".join(cell["source"])[:LONGEST] for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    blocks: Iterator[Any] = chain.from_iterable(_blocks(text) for text in texts if _may_have_heading.search(text))
    headings = (_text(block).strip() for block in blocks if block["type"] == "heading" and block["attrs"]["level"] == 1)
    return next((heading for heading in headings if heading.strip("*_` ")), "")


def first(text: str, kind: str) -> str:
    """Return what a reader sees of the first block of this kind in a text; empty if there is none."""
    return next(
        (found for block in _blocks(text[:LONGEST]) if block["type"] == kind and (found := _text(block).strip())), ""
    )


def _blocks(text: str) -> Any:
    return mistune.create_markdown(renderer=None)(text)


def _text(token: Any) -> str:
    """Return what a reader sees of a part of a heading, without markup and HTML tags."""
    if "children" in token:
        return "".join(map(_text, token["children"]))
    if token["type"] in ("softbreak", "linebreak"):
        return " "
    return str(token["raw"]) if token["type"] in ("text", "codespan") else ""
