"""Addresses of a page: where it may be redirected to, and its query after a change.

1. An address is relative to the page, or names an origin: the page's own, or one that the deployer lists.
2. Browsers read some texts otherwise than Python does: backslashes, control characters, more slashes. Such a text is
   refused, whatever Python finds in it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from urllib.parse import SplitResult, parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from ...errors import RedirectRefused
from .operations import ADDRESS

ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")
"""An origin, such as ``https://portal.example.org``."""

_odd = re.compile(r"[\\\x00-\x20\x7f-\xa0\ud800-\udfff\u2028\u2029\ufeff]")
_DEFAULT = {"http": ":80", "https": ":443"}


def target(url: str, page: str, origins: Collection[str] | None) -> str:
    """Return the address to go to from a page: a path of its own origin, or the address itself if its origin is listed.

    Without a list (None) each origin is as if listed. Raises RedirectRefused for any other text.
    """
    if not url or len(url) > ADDRESS or _odd.search(url):
        raise RedirectRefused(f"An address has 1 to {ADDRESS} characters, and no spaces, backslashes or control codes.")
    try:
        parts, own = urlsplit(url), urlsplit(page)
        origin = _origin(parts) if parts.scheme or parts.netloc or url.startswith("//") else _origin(own)
        joined = urlsplit(urljoin(page, url))
    except ValueError:
        raise RedirectRefused("The address cannot be read.") from None
    if origin == _origin(own) == _origin(joined):
        return _local(joined)
    if origin is not None and (origins is None or origin in origins):
        return url
    raise RedirectRefused(
        "A page may be redirected to its own server, and to the origins that the deployer lists in redirect_origins "
        f"(now: {', '.join(sorted(origins or ())) or 'none'})."
    )


def normal(origin: str) -> str | None:
    """Return an origin in the form in which origins are compared; None for any other text."""
    return _origin(urlsplit(origin)) if ORIGIN.fullmatch(origin) else None


def with_query(url: str, values: Mapping[str, tuple[str, ...]]) -> str:
    """Return an address whose query has these values in place of those of the same names."""
    parts = urlsplit(url)
    kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in values]
    added = [(name, value) for name, some in values.items() for value in some]
    return urlunsplit(parts._replace(query=urlencode([*kept, *added])))


def _origin(parts: SplitResult) -> str | None:
    """Return the origin of an absolute address; None if it has none that a page may be redirected to."""
    if not ORIGIN.fullmatch(f"{parts.scheme}://{parts.netloc}"):
        return None
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(_DEFAULT[parts.scheme])}"


def _local(parts: SplitResult) -> str:
    path = parts.path or "/"
    if path.startswith("//"):
        raise RedirectRefused("The path of an address must not begin with two slashes.")
    return urlunsplit(("", "", path, parts.query, parts.fragment))
