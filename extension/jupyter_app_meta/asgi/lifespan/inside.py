"""The application inside a context: its own lifespan is entered within that context, in the same task.

We speak the lifespan protocol with the application, with calls that return at the right moment. No task is made for it,
so that

1. a failing task group of its lifespan cancels the task in which the server's part waits;
2. the server's part sees the variables that its lifespan sets.

An application that raises an error or returns before it has said that it started has no lifespan of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from contextvars import Context, copy_context
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from ...errors import LifespanError
from ...lifespans import Variables

Serve = Callable[[ASGIApp, Variables], Awaitable[None]]
"""What happens between start and end. It returns when the server stops; the surrounding context may cancel it."""


def lifespan_scope() -> Scope:
    """Return the scope of a lifespan that no server has begun."""
    return {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}


async def alive(surrounding: AbstractAsyncContextManager[ASGIApp], scope: Scope, serve: Serve) -> None:
    """Enter a context that yields an application, then the application's lifespan; serve; leave both."""
    before = copy_context()
    async with surrounding as app:
        await _Inside(app, before, serve).run(scope)


class _Inside:
    """The server's side of the lifespan protocol for one application."""

    def __init__(self, app: ASGIApp, before: Context, serve: Serve) -> None:
        self._app, self._before, self._serve = app, before, serve
        self._variables: Variables | None = None
        self._has_begun = self._has_served = self._has_ended = False
        self._settled = asyncio.Event()
        self._failure: str | None = None

    async def run(self, scope: Scope) -> None:
        """Call the application with the lifespan's scope, and serve; raises what its lifespan raises."""
        try:
            await self._app(scope, self._receive, self._send)
        except Exception:
            if self._settled.is_set() and not self._has_ended:
                raise
        if self._failure is not None:
            raise LifespanError(f"The application's own lifespan failed. {self._failure}")
        if not self._has_served:
            await self._serve_once()

    async def _receive(self) -> Message:
        if not self._has_begun:
            self._has_begun = True
            return {"type": "lifespan.startup"}
        await self._settled.wait()
        if self._has_served:
            raise RuntimeError("The lifespan is over: there is no other message.")
        await self._serve_once()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: dict[str, Any] | Any) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            self._variables = Variables.since(self._before)
        elif kind in ("lifespan.startup.failed", "lifespan.shutdown.failed"):
            # The text may be a traceback with values of the deployer's. Its last line says enough.
            self._failure = str(message.get("message", "")).strip().rpartition("\n")[2]
        elif kind == "lifespan.shutdown.complete":
            self._has_ended = True
        else:
            raise RuntimeError(f"{kind} is not a message of a lifespan.")
        self._settled.set()

    async def _serve_once(self) -> None:
        self._has_served = True
        await self._serve(self._app, self._variables or Variables.since(self._before))
