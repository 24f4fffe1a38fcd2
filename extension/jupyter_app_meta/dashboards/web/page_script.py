"""The first script of each page: it ends and reconnects the page (``page.js``), tells the visitor (``bar.js``), and
tells the server in which tab the page is (``tab.js``) and does what code in the kernel asks of it (``commands.js``).

It is written into the page, so that it runs before any other script and costs no request. rjsmin, a small package
without dependencies of its own, takes off what only readers of its source need. It does so when the first page is
shown: if a build did it, a checkout would need a build before each try.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from functools import lru_cache
from html import escape
from importlib.resources import files

import rjsmin

from ..load.limits import largest

PLACE = "  // (the other scripts stand here)\n"
"""The line of ``page.js`` in whose place the others are written: they share one function, and no name is global."""

THEMES = {"light": "light", "JupyterLab Light": "light", "dark": "dark", "JupyterLab Dark": "dark"}
"""The themes that do not depend on the visitor's system."""

_head = re.compile(r"<head(?:\s[^>]*)?>", re.IGNORECASE)


@lru_cache(maxsize=8)
def script(upload: int, beat: float, *, tab: bool = True) -> str:
    """Return the script's element, without the comments and white space that only readers of its source need.

    ``upload`` is how many bytes a page may upload at once. ``beat`` is after how many seconds an incomplete page gets a
    heartbeat. ``tab``: whether the page says in which tab it is, because the server keeps state.
    """
    templates = files(__package__) / "templates"
    names = ("page.js", "bar.js", *(["tab.js", "commands.js"] if tab else []))
    page, *others = ((templates / name).read_text(encoding="utf-8") for name in names)
    text = rjsmin.jsmin(page.replace(PLACE, "".join(others)))
    limits = f'data-upload="{upload}" data-message="{largest(upload)}" data-beat="{round(1000 * beat)}"'
    return f"<script {limits}>\n{text}\n</script>\n"


def told(element: str, url: str, theme: object = None) -> str:
    """Return the script's element of one page, whose tab is to be told to this URL. ``theme`` is the notebook's."""
    fixed = THEMES.get(str(theme), "")
    return element.replace("<script ", f'<script data-tab="{escape(url)}" data-theme="{fixed}" ', 1)


async def added(pieces: AsyncIterator[str], element: str) -> AsyncIterator[str]:
    """Yield the pieces of a page, with the element of our script at the beginning of its head."""
    sought = True
    async for piece in pieces:
        top, body, _ = piece.partition("<body")
        head = _head.search(top) if sought else None
        sought = sought and not head and not body  # a later text that looks like a head is the author's
        if head:
            yield f"{piece[: head.end()]}\n{element}{piece[head.end() :]}"
        else:
            yield piece
