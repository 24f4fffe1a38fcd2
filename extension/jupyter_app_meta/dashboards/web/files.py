"""The route of files beside notebooks. It matches if the file exists, and serves visitors who may see its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tornado import web
from tornado.httputil import HTTPServerRequest
from tornado.routing import Matcher, Rule

from .. import admission
from ..files import beside
from ..files.beside import Found, Place, Rules
from ..files.private import Private
from ..site import Site
from . import mounted
from .base import Handler

METHODS = ("GET", "HEAD")

SANDBOX = "sandbox"
SANDBOXES = {"text/html": "sandbox allow-scripts", "application/pdf": ""}
"""What browsers must forbid a file that is opened by itself, or in a frame. Scripts of HTML run in an origin of their
own, where they find no cookie and no page of this server. Browsers show no PDF in a sandbox."""

ALIAS = f"/{'/'.join(beside.VOILA)}/"
"""A second address of each file, which a mounted server does not have: the host may have a rule for the first."""


def route(site: Site) -> Rule:
    """Return the route of a site's files. An index or a page at the same address comes first."""
    taken = {source.route.path for source in site.sources if not source.is_folder}
    if site.plan.index:
        taken.add(site.plan.index.path)
    plan, peers = site.plan, site.services.peers
    private = Private.of(plan.config, plan.outside.cookie_secret_file, peers.secret_file, peers.state_file)
    rules = Rules.of(site.services.options.voila, plan.files, private)
    finder = _Finder(site.plan.base_url, tuple(site.sources), frozenset(taken), rules)
    return Rule(finder, FileHandler, {"finder": finder})


class _Finder(Matcher):
    """Matches requests for files."""

    def __init__(self, base_url: str, places: tuple[Place, ...], taken: frozenset[str], rules: Rules) -> None:
        self._base, self._places, self._taken, self._rules = base_url, places, taken, rules

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Return the value with which tornado marks a match; None if there is no such file."""
        return {} if request.method in METHODS and self.find(request) else None

    def find(self, request: HTTPServerRequest) -> list[Found]:
        """Return the files that a request means, each with its pages."""
        path = self._below(request.path)
        is_alias = mounted.base(request) is not None and request.path.startswith(ALIAS)
        if path is None or is_alias or path in self._taken or any(place.shows(path) for place in self._places):
            return []
        return list(beside.search(path, self._referer(request), self._places, self._rules))

    def _below(self, path: str) -> str | None:
        return f"/{path.removeprefix(self._base)}" if path.startswith(self._base) else None

    def _referer(self, request: HTTPServerRequest) -> str:
        """Return the path of the page that shows a file, if it is a page of this server."""
        try:
            url = urlsplit(request.headers.get("Referer", ""))
        except ValueError:
            return ""
        return (self._below(url.path) or "") if url.netloc == request.host else ""


class FileHandler(Handler, web.StaticFileHandler):
    """Sends a file beside a notebook."""

    _file: Path

    def initialize(self, finder: _Finder) -> None:  # type: ignore[override]  # tornado's takes a folder
        """Take the object that finds files."""
        self._finder = finder
        super().initialize(path="", default_filename=None)

    @web.authenticated
    async def get(self) -> None:  # type: ignore[override]  # tornado's takes a path
        """Send the file, if the visitor may see a page that it belongs to."""
        await self._send(include_body=True)

    @web.authenticated
    async def head(self) -> None:  # type: ignore[override]  # as above
        """Send the headers that a GET would send, without the file."""
        await self._send(include_body=False)

    async def _send(self, *, include_body: bool) -> None:
        found = self._finder.find(self.request)
        for each in found:
            if await self._may_see(each):
                self._file = each.file
                await web.StaticFileHandler.get(self, each.file.name, include_body)
                return
        await self.fail(403 if found else 404)

    async def _may_see(self, found: Found) -> bool:
        pages = ((self.url_of(path), params) for path, params in found.pages)
        return await admission.may_see_one(self.services, found.settings, self.raw_request(), pages)

    def get_absolute_path(self, root: str, path: str) -> str:  # type: ignore[override]  # tornado's is of the class
        """Return where the file is. It has already been found and judged."""
        return str(self._file)

    def validate_absolute_path(self, root: str, absolute_path: str) -> str:
        """Return the path. It has already been judged."""
        return absolute_path

    def compute_etag(self) -> str:
        """Return a tag that changes when the file does. tornado would cache its own for ever."""
        found = self._file.stat()
        return f'"{found.st_mtime_ns:x}-{found.st_size:x}"'

    def get_cache_time(self, path: str, modified: Any, mime_type: str) -> int:
        """Make browsers ask each time, because the visitor may have changed."""
        return 0

    def set_extra_headers(self, path: str) -> None:
        """Forbid shared caches, and forbid scripts of the file to run as scripts of this server."""
        self.set_header("Cache-Control", "private, no-cache")
        self.set_header("X-Content-Type-Options", "nosniff")
        policy, own = self._headers.get("Content-Security-Policy", ""), SANDBOXES.get(self.get_content_type(), SANDBOX)
        self.set_header("Content-Security-Policy", "; ".join(filter(None, (policy, own))))
