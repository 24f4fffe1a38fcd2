"""Where a socket entered the application that Starlette names, when applications are mounted in one another. Pure.

``scope["app"]`` is the innermost application and ``scope["app_root_path"]`` is where the outermost one was entered. The
innermost was entered at the first place between there and ``scope["root_path"]`` from which its routes lead to
``scope["root_path"]``.
"""

from __future__ import annotations

from collections.abc import Iterator

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match

from .types import Scope

DEPTH = 20
"""How many nested routers are followed."""


def entered(app: Starlette, scope: Scope, first: str) -> str | None:
    """Return where a socket entered an application, ``first`` or below it; None if its routes do not say."""
    root = scope.get("root_path", "")
    return next((place for place in _places(first, root) if _leads(app, scope, place) == root), None)


def _places(first: str, root: str) -> Iterator[str]:
    """Yield where an application may have been entered: at the first mount, or behind a later one."""
    yield first
    if root.startswith(first):
        yield from (root[:end] for end in range(len(first) + 1, len(root)) if root[end] == "/")
        yield root


def _leads(app: Starlette, scope: Scope, root: str) -> str | None:
    """Return where an application's routes lead a socket that entered it below ``root``; None if they do not match."""
    here, routes = {**scope, "root_path": root}, app.routes
    for _ in range(DEPTH):
        try:
            found = _match(routes, here)
        except Exception:  # a route of the host's own
            return None
        if found is None:
            return None
        route, child = found
        here.update(child)
        routes = getattr(route, "routes", None) or []
        if not routes:
            return str(here["root_path"])
    return None


def _match(routes: list[BaseRoute], scope: Scope) -> tuple[BaseRoute, Scope] | None:
    for route in routes:
        match, child = route.matches(scope)
        if match is Match.FULL:
            return route, child
    return None
