"""Handlers of a server that an ASGI host may mount at many places.

1. The host's bridge gives each request its ``base``, the path of the mount. Without a host, the base is the server's
   base URL.
2. All links and all cookies of an answer have the base of its request. Settings are shared by all mounts, so they do
   not have it.
3. A host's rules are about paths. So a mounted server has one path for each page and file. Every other spelling is
   redirected to it (307) before a handler answers, and the query is kept.
"""

from __future__ import annotations

import string
from typing import Any
from urllib.parse import quote

from tornado import web
from tornado.httputil import HTTPServerRequest

from .. import paths

MOVED = 307
METHODS = ("GET", "HEAD")
ASKED = "asked_path"
"""The attribute of a request for its path as the browser wrote it."""


class Mounted(web.RequestHandler):
    """A handler that knows where its server is mounted. It comes before the classes that it changes."""

    @property
    def base_url(self) -> str:
        """The path of the server, as the visitor sees it, with a slash at both ends."""
        found: str = base(self.request) or self.settings["base_url"]
        return found

    def set_cookie(self, name: str, value: str | bytes, *arguments: Any, **options: Any) -> None:
        """Set a cookie. If a host mounts the server, browsers send it to this mount only."""
        if base(self.request) is not None:
            options["path"] = self.base_url
        super().set_cookie(name, value, *arguments, **options)


def base(request: HTTPServerRequest) -> str | None:
    """Return the base that a host has given to a request; None if no host has mounted the server."""
    found = getattr(request, "base", None)
    return found if isinstance(found, str) else None


def respell(request: HTTPServerRequest) -> None:
    """Give the path of a mounted server's request its one spelling. ``moved`` tells whether it had another one."""
    if base(request) is not None and request.method in METHODS:
        setattr(request, ASKED, request.path)
        request.path = paths.spelled(request.path)


def moved(request: HTTPServerRequest, path: str) -> str | None:
    """Return the URL of ``path`` if a mounted server was asked for another path; None otherwise."""
    mount = base(request)
    if mount is None or path == getattr(request, ASKED, request.path):
        return None
    query = quote(request.query, safe=string.punctuation, encoding="latin-1", errors="replace")
    # The path has no further slash at its beginning. With two slashes, browsers would take it for a host's name.
    return mount + path.lstrip("/") + (f"?{query}" if query else "")


def send(handler: web.RequestHandler, url: str) -> None:
    """Redirect, and let no cache keep the answer."""
    handler.set_header("Cache-Control", "no-store")
    handler.redirect(url, status=MOVED)
