"""The routes ``/healthz`` and ``/metrics``. A notebook or a page at the same address comes first.

1. ``/healthz`` says to every client that the server lives. ``/healthz?ready`` says whether it is ready (503 if not).
   Why it is not, it says only to a client that may read the metrics.
2. ``/metrics`` has what jupyter_server counts and what we count. It has no visitor's data.
3. Both are at ``api/app-meta/`` as well, where no notebook can be.
"""

from __future__ import annotations

import re
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from tornado.httputil import HTTPServerRequest
from tornado.routing import Matcher

from ...site import Site
from ..base import Handler
from . import access


class Operators(Handler):
    """The base of these routes: no login, and no answer is kept."""

    def initialize(self, site: Site) -> None:
        """Take the site that is asked about."""
        self._site = site

    async def prepare(self, *, _redirect_to_login: bool = True) -> None:
        """Let no cache keep the answer. There is no visitor to log in."""
        self.set_header("Cache-Control", "no-store")

    def may_read(self) -> bool:
        """Whether the client may read what is meant for operators."""
        return access.may_read(self.request, self.settings["dashboard_front"], self._site.plan.outside.metrics_token)


class HealthHandler(Operators):
    """Says that the server lives, or whether it is ready."""

    def get(self) -> None:
        """Answer 200 or 503."""
        waits = self._site.not_ready() if "ready" in self.request.query_arguments else []
        self.set_status(503 if waits else 200)
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        why = f": {', '.join(waits)}" if waits and self.may_read() else ""
        self.finish(f"{'not ready' if waits else 'ok'}{why}\n")

    head = get


class MetricsHandler(Operators):
    """Shows the metrics in the form that Prometheus reads."""

    def get(self) -> None:
        """Answer with the metrics, or 403."""
        if not self.may_read():
            self.set_status(403)
            self.set_header("Content-Type", "text/plain; charset=UTF-8")
            self.finish("Metrics are for this machine, or need the token (metrics_token).\n")
            return
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(generate_latest(REGISTRY) + generate_latest(self._site.services.meter.registry))


class Unless(Matcher):
    """Matches one path, unless a page of the site is there."""

    def __init__(self, site: Site, base: str, name: str) -> None:
        self._site, self._path, self._name = site, f"{base}/{name}", name

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Return no parameters if the path is ours, None if it is not."""
        return {} if request.path == self._path and not self._site.shows(self._name) else None


def routes(site: Site) -> list[Any]:
    """Return the routes of a server. Inside a host there are none, because the host has its own."""
    if site.plan.page_base:
        return []
    base, options = site.plan.base_url.rstrip("/"), {"site": site}
    found: list[Any] = []
    for name, handler in (("healthz", HealthHandler), ("metrics", MetricsHandler)):
        found.append((f"{re.escape(base)}/api/app-meta/{name}", handler, options))
        found.append((Unless(site, base, name), handler, options))
    return found
