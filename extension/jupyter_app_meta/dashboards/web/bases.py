"""The base of a request, in a page that was rendered before the base was known. Pure.

Pages are rendered with a random path. Each request replaces it by its own base, and keeps the spelling of the slashes
around it: a template may write the path into JSON, into a query string or without a slash at its end. The base has no
character that means something in HTML, JSON or scripts.
"""

from __future__ import annotations

import re
from urllib.parse import quote

SLASH = r"(?:\\?/|%2[Ff]|&#47;|&#x2[Ff];|\\u002[Ff])"
"""A slash as templates may spell it: plain, and escaped for JSON, URLs, HTML and scripts."""

LONGEST = 6
"""The characters of its longest spelling."""

_first, _last = re.compile(SLASH), re.compile(rf"{SLASH}\Z")


def rebased(text: str, page_base: str, base: str) -> str:
    """Return a part of a page with ``base`` in each place of ``page_base``. Both begin and end with a slash."""
    if not (name := page_base.strip("/")):
        return text
    begin, *parts = text.split(name)  # much faster than a pattern, in a page of some megabytes
    done = [begin]
    for part in parts:
        before, after = _last.search(done[-1][-LONGEST:]), _first.match(part)
        around = (before[0] if before else "", after[0] if after else "")
        done[-1] = done[-1].removesuffix(around[0])
        done += [_written(base.strip("/"), *around), part.removeprefix(around[1])]
    return "".join(done)


def _written(inner: str, before: str, after: str) -> str:
    """Return a base without its outer slashes in the place of a name between these."""
    if not inner:
        return before and after
    slash = before or after or "/"
    spelled = quote(inner, safe="/") if slash.startswith("%") else inner
    return before + spelled.replace("/", slash) + after
