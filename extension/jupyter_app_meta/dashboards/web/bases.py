"""The base of a request, in a page that was rendered before the base was known. Pure.

Pages are rendered with a random path. Each request replaces it by its own base, and keeps the spelling of the slashes
around it: a template may write the path into JSON, into a query string or without a slash at its end. The base has no
character that means something in HTML, JSON or scripts.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote

SLASH = r"(\\?/|%2[Ff]|&#47;|&#x2[Ff];|\\u002[Ff])?"
"""A slash as templates may spell it: plain, and escaped for JSON, URLs, HTML and scripts."""


def rebased(text: str, page_base: str, base: str) -> str:
    """Return a part of a page with ``base`` in each place of ``page_base``. Both begin and end with a slash."""
    name = page_base.strip("/")
    if not name or name not in text:
        return text
    return _pattern(name).sub(lambda found: _written(base.strip("/"), found[1] or "", found[2] or ""), text)


@lru_cache(maxsize=8)
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(f"{SLASH}{re.escape(name)}{SLASH}")


def _written(inner: str, before: str, after: str) -> str:
    """Return a base without its outer slashes in the place of a name between these."""
    if not inner:
        return before and after
    slash = before or after or "/"
    spelled = quote(inner, safe="/") if slash.startswith("%") else inner
    return before + spelled.replace("/", slash) + after
