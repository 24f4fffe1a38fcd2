"""ContextVars that the code of a request sets, carried up to the code that called it.

A ContextVar goes down by itself, because a task has a copy of its creator's context. It does not come up by itself. If
the code below ran in another task, it is carried up here, at the start and at the end of a response:

1. ``carry`` sets the variables that differ between two copies of a context. Each value is carried once, so that a value
   that is set above afterwards stays.
2. ``transparent`` makes a ``BaseHTTPMiddleware`` carry. It notes the variables of the application below whenever that
   sends and when it ends. It sets them after ``call_next`` and at its own end, even after an error.
3. A context that does not descend from the same request is never carried. Nor is jupyter_server's CallContext.

Nothing here says who a visitor is: identity is never read from a ContextVar.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context, ContextVar, copy_context
from types import new_class
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..lifespans import ABSENT, MARK, changed

M = TypeVar("M")
A = TypeVar("A", bound=Starlette)

CARRIERS = "jupyter_app_meta.carriers"
"""Where a scope keeps the carrier of each transparent middleware that the request has passed."""

REMEMBERED = 8
"""How many values of one variable, set by one request, are remembered."""

_request: ContextVar[object] = ContextVar(MARK, default=None)
"""A mark that only contexts of one request have. It does not outlive the outermost transparent middleware."""


def carry(before: Context, after: Context) -> None:
    """Set in the current context each variable whose value in ``after`` differs from that in ``before``."""
    for variable, value in changed(before, after).items():
        variable.set(value)


class _Carrier:
    """The variables that the application below one middleware has set for one request."""

    def __init__(self, mark: object) -> None:
        self._mark = mark
        self._before = Context()
        self._noted: dict[asyncio.Task[Any] | None, Context] = {}
        self._values: dict[ContextVar[Any], deque[Any]] = {}
        self._restored: dict[asyncio.Task[Any] | None, dict[ContextVar[Any], Any]] = {}

    def begin(self) -> None:
        """Note the context in which the application below begins."""
        self._before = copy_context()

    def note(self) -> None:
        """Note the new values in the current context, which is that of the application below.

        A new task may still have a value that another task has set and replaced. That value is known, so it is not new.
        """
        if _request.get() is not self._mark:
            return
        task, now = asyncio.current_task(), copy_context()
        earlier = self._noted.get(task)
        for variable, value in changed(self._before if earlier is None else earlier, now).items():
            known = self._values.setdefault(variable, deque(maxlen=REMEMBERED))
            if earlier is not None or all(value is not one for one in known):
                known.append(value)
        self._noted[task] = now

    def restore(self) -> None:
        """Set the values that are new since the last time. Each task has its own last time."""
        restored = self._restored.setdefault(asyncio.current_task(), {})
        for variable, values in self._values.items():
            if restored.get(variable, ABSENT) is not values[-1]:
                restored[variable] = values[-1]
                variable.set(values[-1])


class _Below:
    """The application below a middleware. Its context is noted whenever it sends, and when it ends."""

    def __init__(self, app: ASGIApp, middleware: int) -> None:
        self.app, self._middleware = app, middleware

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        carrier: _Carrier | None = scope.get(CARRIERS, {}).get(self._middleware)
        if carrier is None:
            await self.app(scope, receive, send)
            return
        carrier.begin()

        async def noted(message: Message) -> None:
            carrier.note()
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            carrier.note()


def transparent(middleware: type[M]) -> type[M]:
    """Return a subclass of a ``BaseHTTPMiddleware`` that lets ContextVars through, down and up.

    Any other class is returned unchanged, because other middleware already lets them through.
    """
    if not (isinstance(middleware, type) and issubclass(middleware, BaseHTTPMiddleware)):
        return middleware
    if issubclass(middleware, _Transparent):
        return middleware
    names = {name: getattr(middleware, name) for name in ("__doc__", "__module__", "__qualname__")}
    made: type[M] = new_class(
        middleware.__name__, (_Transparent, middleware), exec_body=lambda body: body.update(names)
    )
    return made


class _Transparent(BaseHTTPMiddleware):
    """Comes before a class of middleware in the order in which methods are looked up."""

    def __init__(self, app: ASGIApp, *arguments: Any, **options: Any) -> None:
        super().__init__(app, *arguments, **options)
        self.app = _Below(self.app, id(self))
        self.dispatch_func = self._carrying(self.dispatch_func)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        mark, token = _request.get(), None
        if mark is None or CARRIERS not in scope:  # the mark may be that of the connection's earlier request
            mark = object()
            token = _request.set(mark)
        carrier = _Carrier(mark)
        scope[CARRIERS] = {**scope.get(CARRIERS, {}), id(self): carrier}
        try:
            await super().__call__(scope, receive, send)
        finally:
            carrier.restore()
            if token is not None:
                _request.reset(token)

    def _carrying(self, dispatch: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
        async def dispatched(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
            async def next_and_up(request_of_next: Request) -> Response:
                try:
                    return await call_next(request_of_next)
                finally:
                    request.scope[CARRIERS][id(self)].restore()

            return await dispatch(request, next_and_up)

        return dispatched


def make_transparent(app: A) -> A:
    """Make transparent all middleware that an application has so far, and return the application.

    Call it after the last ``add_middleware``. Raises RuntimeError if the application has started.
    """
    if app.middleware_stack is not None:
        raise RuntimeError("The application has started: call make_transparent before its first request or lifespan.")
    for place, (middleware, arguments, options) in enumerate(app.user_middleware):
        made: Any = transparent(middleware)
        app.user_middleware[place] = Middleware(made, *arguments, **options)
    return app
