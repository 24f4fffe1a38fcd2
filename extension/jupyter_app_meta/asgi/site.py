"""What serves the requests of an ASGI host between start and end, on one event loop.

1. A socket is judged first, by the host's own stack (``handshake``), and by the middleware of its mount.
2. A request for a mount that has middleware passes that: its pages, files, kernels and their sockets. The mount is
   found before. Where the page, kernel or file is known, the request must show that it has passed (``admission``).
3. Below all middleware, the GET of a handshake is noted. Everything else goes to the tornado application.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

from starlette.exceptions import HTTPException
from tornado.iostream import StreamClosedError

from ..dashboards.settings import GATE
from ..dashboards.setup import checks
from ..dashboards.site import Plan
from ..dashboards.web.application import Application
from . import bridge
from .bridge import requests
from .bridge.connection import Connection
from .bridge.outbox import Outbox
from .bridge.paths import split
from .bridge.refusals import Refused, plain
from .handshake import Judge
from .hints import Hints
from .middleware import Wrapping
from .places import Place, place
from .types import ASGIApp, Message, Receive, Scope, Send, User_
from .visitor import KEPT, HostIdentityProvider, Visitors

FILE = "app_meta_file"
"""The key of a scope for the path of the notebook that a request is about."""

REFUSED = "This socket is refused."


class HostedSite:
    """The dashboards of one ASGI application, on one event loop. It is an ASGI application itself."""

    def __init__(
        self,
        plan: Plan,
        user: User_ | None,
        host: ASGIApp | None,
        state: Mapping[str, Any],
        *,
        raises: bool,
    ) -> None:
        gates = [gate for mount in plan.mounts if isinstance(gate := mount.settings.gate, Wrapping)]
        self._wrapped = {gate: gate.around(self._below) for gate in gates}
        visitors = Visitors(user, plan.log)
        config = deepcopy(plan.config)
        provider = HostIdentityProvider(visitors, config=config, log=plan.log)
        token = f"/app-meta-base-{secrets.token_hex(16)}/"
        self._application = Application(replace(plan, config=config, identity_provider=provider, page_base=token))
        self._judge = Judge(self._own, visitors, plan.log, host)
        self._hints = Hints(self._application.services.visits, plan.log)
        self._state, self._raises = dict(state), raises

    async def start(self) -> None:
        """Start the warm kernels, in the context of the current task, and warn about what cannot be served."""
        services = self._application.services
        services.ambient.enter()
        places = [(mount.route, mount.place) for mount in self._application.site.plan.mounts]
        await asyncio.to_thread(checks.announce, places, services)
        self._application.start()

    async def close(self) -> None:
        """End all kernels."""
        await self._application.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or a socket that the host lets pass."""
        scope.pop(GATE, None)
        if self._state:
            scope["state"] = {**self._state, **scope.get("state", {})}
        self._hints.watch(scope)
        if scope["type"] == "websocket":
            judged = await self._judge.judge(scope)
            if isinstance(judged, int):
                await _refuse(scope, receive, send, judged)
                return
            scope = judged
        await self._own(scope, receive, send)

    async def _own(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request through the middleware of its mount, if the mount has any.

        A socket is refused if its handshake has passed other middleware, because the page has begun in the meantime.
        """
        found = self._place(scope) if self._wrapped else None
        gate = found.settings.gate if found else None
        if scope["type"] == "websocket" and scope.pop(GATE, None) is not gate:
            await _refuse(scope, receive, send, 403)
        elif found is None or not isinstance(gate, Wrapping):
            await self._below(scope, receive, send)
        else:
            if found.notebook is not None:
                scope[FILE] = str(found.notebook)
            await self._wrapped[gate](scope, receive, send)

    def _place(self, scope: Scope) -> Place | None:
        """Return the mount that a request is for. One that cannot be read is for none: the bridge refuses it."""
        where = split(scope)
        connection = Connection(scope, Outbox(StreamClosedError))
        try:
            _, request = requests.read(scope, where, connection)
        except Refused:
            return None
        return place(self._application, request)

    async def _below(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that has passed all middleware."""
        if scope["type"] == "websocket":
            await self._below_as_socket(scope, receive, send)
        elif not await self._judge.answers(scope, send):
            if self._raises and scope.get("app") is not None:
                await bridge.http(self._application, scope, receive, _raising(send), refuse=_raise)
            else:
                await bridge.http(self._application, scope, receive, send)

    async def _below_as_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if KEPT in scope:
            await bridge.websocket(self._application, scope, receive, send)
        else:  # middleware has made another scope, which was not judged
            await _refuse(scope, receive, send, 403)


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int) -> None:
    if (await receive())["type"] == "websocket.connect":
        await plain(scope, receive, send, status, REFUSED)


async def _raise(scope: Scope, receive: Receive, send: Send, status: int, sentence: str) -> None:
    raise HTTPException(status)


def _raising(send: Send) -> Send:
    """Return a ``send`` that raises an error instead of beginning a response that is one."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            raise HTTPException(message["status"], headers=_told(message))
        await send(message)

    return sent


def _told(message: Message) -> dict[str, str] | None:
    """Return the headers of an error that its page keeps: when to come back, and which methods there are."""
    kept = {bytes(name).lower(): value for name, value in message.get("headers", ())}
    found = {name: kept[name.encode()].decode("latin-1") for name in ("retry-after", "allow") if name.encode() in kept}
    return found or None
