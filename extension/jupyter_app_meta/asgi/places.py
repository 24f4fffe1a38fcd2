"""Which mount of a server a request belongs to: asked before a host's middleware for that mount sees the request.

The answer only chooses the middleware. Whether the request has passed it is decided later, by ``admission``, where the
page, kernel or file is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tornado.httputil import HTTPServerRequest
from tornado.routing import Rule
from tornado.web import Application

from ..dashboards.services import Services
from ..dashboards.settings import Settings
from ..dashboards.sources import Source
from ..dashboards.web.files import FileHandler
from ..dashboards.web.kernels import KernelRoute
from ..dashboards.web.pages import PageHandler


class Place(NamedTuple):
    """The settings of a mount, and the notebook that a request is about, if it is known."""

    settings: Settings
    notebook: Path | None = None


def place(application: Application, request: HTTPServerRequest) -> Place | None:
    """Return the mount that a request belongs to; None for a request that belongs to no mount."""
    for rule in application.wildcard_router.rules:
        found = rule.matcher.match(request)
        if found is not None:
            return _of(rule, found.get("path_kwargs", {}), request, application.settings["dashboard_services"])
    return None


def _of(rule: Rule, given: Mapping[str, Any], request: HTTPServerRequest, services: Services) -> Place | None:
    handler: Any = rule.target
    if not isinstance(handler, type):
        return None
    if issubclass(handler, FileHandler):
        return _of_file(rule, request)
    params = {name: _text(value) for name, value in given.items()}
    if issubclass(handler, PageHandler):
        source: Source = rule.target_kwargs["source"]
        return Place(source.settings, source.file(source.canonical(params)))
    if issubclass(handler, KernelRoute) and (visit := services.visits.get(params["kernel_id"])):
        return Place(visit.settings, visit.notebook)
    return None


def _of_file(rule: Rule, request: HTTPServerRequest) -> Place | None:
    """Return the mount of a file: one without middleware if there is one, because no host's rule guards it there."""
    mounts = [found.settings for found in rule.target_kwargs["finder"].find(request)]
    return Place(min(mounts, key=lambda settings: settings.gate is not None)) if mounts else None


def _text(value: bytes | str | None) -> str:
    """Return a parameter as tornado decodes it. One that cannot be decoded is refused there."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""
