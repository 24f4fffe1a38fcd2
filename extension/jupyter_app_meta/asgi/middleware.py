"""The middleware of one mount: who wants to see its pages, files and kernels must pass it.

Each call of ``with_app`` and ``with_dynamic_directory`` has its own. Two mounts of one notebook never share it, so the
open one cannot be used to see the pages of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..dashboards import DashboardError
from ..dashboards.settings import GATE
from .types import ASGIApp, MiddlewareFactory, Receive, Scope, Send


@dataclass(frozen=True, slots=True, eq=False)
class Wrapping:
    """The middleware of one mount. Only the same object is equal to it."""

    factories: tuple[MiddlewareFactory, ...]
    path: str

    @classmethod
    def of(cls, factories: Sequence[MiddlewareFactory], path: str) -> Wrapping | None:
        """Return the middleware of the mount at ``path``; None if it has none.

        Raises DashboardError for a value that is not a list of factories.
        """
        if not isinstance(factories, list | tuple) or not all(map(callable, factories)):
            raise DashboardError(
                f"middleware at {path} must be a list of classes or functions that take an ASGI application and return "
                "one, such as [OurMiddleware] or [lambda app: OurMiddleware(app, option=1)]."
            )
        return cls(tuple(factories), path) if factories else None

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return an application with this middleware around it. The last factory makes the outermost part."""

        async def through(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, GATE: self}, receive, send)

        made: ASGIApp = through
        for factory in self.factories:
            made = factory(made)
            if not callable(made):
                raise DashboardError(
                    f"A middleware at {self.path} returned a {type(made).__name__}, not an application."
                )
        return made
