"""The first script of each page (``pages/page.js``): when it ends, what it says when it is lost, how it comes back.

It is written into the page: it must be there before any other script, and costs no request.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from functools import lru_cache
from importlib.resources import files

from .uploads import largest

_head = re.compile(r"<head(?:\s[^>]*)?>", re.IGNORECASE)


@lru_cache(maxsize=8)
def script(upload: int) -> str:
    """Return the script's element; ``upload`` is how many bytes a page may upload at once."""
    text = (files(__package__) / "pages" / "page.js").read_text(encoding="utf-8")
    return f'<script data-upload="{upload}" data-message="{largest(upload)}">\n{text}</script>\n'


async def added(pieces: AsyncIterator[tuple[str, object]], upload: int) -> AsyncIterator[str]:
    """Yield the pieces of a page, with our script at the beginning of its head."""
    sought = True
    async for piece, _ in pieces:
        head = _head.search(piece) if sought else None
        sought = sought and not head and "<body" not in piece  # what looks like one later on is the author's
        if head:
            yield f"{piece[: head.end()]}\n{script(upload)}{piece[head.end() :]}"
        else:
            yield piece
