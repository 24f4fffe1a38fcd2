"""What a GET is for: only a page that a visitor will see needs a kernel.

1. Browsers say what they want (Sec-Fetch-Dest, Sec-Purpose). A document or a frame is a page. A picture, a script's
   fetch and a prefetch are not. Nor is a frame on another site that may not show the page, or a socket's handshake:
   scripts of other sites may open sockets, and not every browser says what a handshake is for.
2. A client that does not say what it wants gets a page if it accepts HTML, unless its name is that of a health check or
   preview. A request with neither Accept nor Cookie is a health check.
"""

from __future__ import annotations

import re
from enum import Enum

from tornado.httputil import HTTPServerRequest

_pages = ("document", "iframe", "frame")
_html = re.compile(r"(?:^|,)\s*(?:text/html|application/xhtml\+xml|text/\*|\*/\*)", re.IGNORECASE)
_robots = re.compile(
    r"(?<!cu)bot\b|crawl|spider|preview|facebookexternalhit|whatsapp|embedly|mastodon|pinterest|skypeuri|"
    r"health ?-?_?check|kube-probe|googlehc|haproxy|uptime|pingdom|statuscake|blackbox|prometheus|consul|monitoring",
    re.IGNORECASE,
)


class Purpose(Enum):
    """What a GET is for."""

    PAGE = "page"
    """To show the page."""
    GLANCE = "glance"
    """To know that the page exists, and its title."""
    AHEAD = "ahead"
    """To show the page later, perhaps."""


def purpose(request: HTTPServerRequest, *, framed: bool) -> Purpose:
    """Return what a request is for; ``framed`` is whether other sites may show pages in a frame."""
    headers = request.headers
    ahead = ",".join(headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")).lower()
    if "prefetch" in ahead or "prerender" in ahead or "preview" in ahead:
        return Purpose.AHEAD
    if "websocket" in headers.get("Upgrade", "").lower():
        return Purpose.GLANCE
    kind = headers.get("Sec-Fetch-Dest", "").strip().lower()
    if kind:
        elsewhere = kind != "document" and headers.get("Sec-Fetch-Site", "").strip().lower() == "cross-site"
        return Purpose.PAGE if kind in _pages and (framed or not elsewhere) else Purpose.GLANCE
    accept = headers.get("Accept")
    says_nothing = accept is None and "Cookie" not in headers
    takes_html = accept is None or bool(_html.search(accept))
    is_robot = bool(_robots.search(headers.get("User-Agent", "")[:1000]))
    return Purpose.GLANCE if says_nothing or is_robot or not takes_html else Purpose.PAGE
