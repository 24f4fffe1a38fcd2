"""What outputs look like to a visitor: as text without markup, and as HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from html.parser import HTMLParser
from typing import Any

HIDDEN = {"script", "style", "template", "head", "title"}
BLOCKS = {"p", "div", "br", "li", "tr", "table", "ul", "ol", "section", "article", "pre", "h1", "h2", "h3", "h4", "hr"}
CELLS = {"td", "th"}
PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")

_ansi = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


class _Reader(HTMLParser):
    """Collects the text of HTML, without what browsers do not show."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._hidden += tag in HIDDEN
        self.parts.append("\n" if tag in BLOCKS else " " if tag in CELLS else "")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in HIDDEN and self._hidden > 0
        self.parts.append("\n" if tag in BLOCKS else " " if tag in CELLS else "")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


def plain(text: str) -> str:
    """Return a text without the codes by which terminals show colours."""
    return _ansi.sub("", text)


def of_html(html: str) -> str:
    """Return the text that a browser shows for HTML, a line for each block."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.parts).splitlines())
    return "\n".join(line for line in lines if line)


def of_markdown(source: str) -> str:
    """Return Markdown as HTML, as a page has it; as it is written where nbconvert is not installed."""
    try:
        from nbconvert.filters.markdown import markdown2html
    except ImportError:
        return pre(source)
    return str(markdown2html(source))


def text_of(data: Mapping[str, Any]) -> str:
    """Return the text that a visitor reads in a display's data."""
    if "text/html" in data:
        return of_html(_joined(data["text/html"]))
    for kind in ("text/markdown", "text/latex", "text/plain"):
        if kind in data:
            return plain(_joined(data[kind]))
    return ""


def html_of(data: Mapping[str, Any]) -> str:
    """Return the HTML of a display's data."""
    for kind in ("text/html", "image/svg+xml"):
        if kind in data:
            return _joined(data[kind])
    for kind in PICTURES:
        if kind in data:
            return f'<img alt="" src="data:{kind};base64,{escape(_joined(data[kind]).strip())}">'
    if "text/markdown" in data:
        return of_markdown(_joined(data["text/markdown"]))
    return pre(text_of(data))


def _joined(value: object) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else str(value)


def pre(text: str) -> str:
    """Return text as HTML that keeps its lines."""
    return f"<pre>{escape(plain(text))}</pre>"
