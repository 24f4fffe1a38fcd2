"""Dashboards as an ASGI application. It starts and ends with its host, once for each event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette

from .. import lifespans
from ..dashboards import DashboardError
from ..dashboards.site import Plan
from ..lifespans import Lifespan, shielded
from .lifespan import Within
from .site import HostedSite
from .types import ASGIApp, Receive, Scope, Send, User_


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosted:
    """The deployer's options about the host. ``raises`` says that the host shows errors."""

    user: User_ | None = None
    host: ASGIApp | None = None
    lifespan: Lifespan | None = None
    raises: bool = False


class AsgiApp:
    """An ASGI application that serves dashboards. ``create_asgi_app(...).build()`` makes it.

    It needs its lifespan: ``AsgiBuilder.mount`` joins it to the host's, or ``FastAPI(lifespan=dashboards.lifespan)``
    does. If nothing runs it, the first request starts the dashboards.
    """

    def __init__(self, plan: Plan, hosted: Hosted) -> None:
        self._plan, self._hosted = plan, hosted
        self._within = Within(self._entered, log=plan.log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or a socket, or speak the lifespan protocol. Raises RuntimeError if no asyncio loop runs."""
        await self._within(scope, receive, send)

    def lifespan(self, app: object = None) -> AbstractAsyncContextManager[None]:
        """Start the dashboards, and end them when the context is left; ``app`` is the host's application."""
        return self._within.around(app)

    async def aclose(self) -> None:
        """End the dashboards that the first request has started, and answer 503 from now on. Idempotent."""
        await self._within.aclose()

    def join(self, host: Starlette) -> None:
        """Take part in the lifespan of a host. Raises DashboardError if the host has none."""
        router: Any = getattr(host, "router", None)
        if not callable(before := getattr(router, "lifespan_context", None)):
            raise DashboardError(
                f"{type(host).__name__} has no lifespan to take part in: use build(), and pass "
                "lifespan=dashboards.lifespan to the host."
            )

        @asynccontextmanager
        async def both(app: object) -> AsyncIterator[Mapping[str, Any] | None]:
            async with before(app) as state, self.lifespan(app):
                yield state

        router.lifespan_context = both

    @asynccontextmanager
    async def _entered(self, app: object) -> AsyncIterator[ASGIApp]:
        """Enter the deployer's lifespan, then start. All requests have ended when this is left."""
        hosted = self._hosted
        async with lifespans.entered(hosted.lifespan, self if app is None else app) as state:
            site = HostedSite(self._plan, hosted.user, hosted.host, state, raises=hosted.raises)
            try:
                await site.start()
                yield site
            finally:
                await shielded(site.close())
