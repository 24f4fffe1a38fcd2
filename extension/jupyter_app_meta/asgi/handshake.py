"""A socket's handshake, judged by the host: it is a GET, and passes the host's stack as one before it is accepted.

Starlette does not call its HTTP middleware for sockets, so a login that guards pages would not guard their kernels.

1. The host is called in this process, in its own task, with a GET of the same path and headers. The scope carries a
   ``Handshake``, an object that no client can send.
2. Below the host's middleware, the server notes the scope, finds out who the visitor is, and answers 204 with a random
   header. The socket is accepted only if it was noted once, at the same path and mount, and exactly that answer came
   out.
3. Then the socket's user, auth, session, state and path parameters are those that were noted. Keys that the host has
   removed are removed. The mount whose middleware was passed is noted too, and the socket must be for the same mount.
4. In any other case the socket is refused: with the host's status if it is from 400 to 599, otherwise with 403. That
   includes an exception, a redirect, a cached answer, and a host that has not answered in time.
5. If applications are mounted in one another, Starlette names the innermost. It is called at the place where the socket
   entered it, and the keys that the outer one's pure ASGI middleware put into the socket's scope count. ``host`` names
   the outer one.
6. A host that cannot be found is not called. Only the mount's own middleware (``own``) is, with the socket's own scope.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette

from ..dashboards.settings import GATE
from . import nesting
from .answer import PASSED, Answer
from .types import ASGIApp, Scope, Send
from .users import Said
from .visitor import KEPT, Visitors

KEY = "jupyter_app_meta.handshake"
"""The key of a GET's scope for the handshake that it stands for."""

LIMIT = 10.0
"""Within this many seconds the host must answer."""

NESTED = (
    "These dashboards are in an application that is mounted in another one. HTTP middleware of the outer one does not "
    "judge their sockets: give create_asgi_app(host=...) the outer application."
)
UNHEARD = (
    "A socket was refused: the host answered the GET of its handshake without passing it on to the dashboards, or "
    "changed its path or the answer. Middleware must pass the scope on with all of its keys, and the answer with its "
    "status and headers."
)

TAKEN = ("user", "auth", "session", "state", "path_params", GATE)
"""The keys that a socket gets from the noted scope. The last one tells whose middleware has judged it."""

_SENT = ("path", "raw_path", "query_string", "client", "server", "http_version")


class Handshake:
    """A handshake that a host judges: where it must be noted, and what was noted."""

    def __init__(self, judge: Judge, scope: Scope) -> None:
        self.password = secrets.token_hex(16).encode()
        self._judge, self._place = judge, _place(scope)
        self._times = 0
        self._found: dict[str, Any] | None = None

    def arrive(self, judge: Judge, scope: Scope) -> bool:
        """Count a scope that carries this handshake; return whether it is the handshake's own."""
        self._times += 1
        return judge is self._judge and scope.get("method") == "GET" and _place(scope) == self._place

    def note(self, scope: Scope, said: Said) -> None:
        """Note what the host says about the visitor."""
        self._found = {**{name: scope[name] for name in TAKEN if name in scope}, KEPT: said}

    def found(self) -> dict[str, Any] | None:
        """Return what was noted; nothing if the handshake arrived twice, because then the host has two answers."""
        return self._found if self._times == 1 else None


@dataclass(frozen=True, slots=True)
class Way:
    """Which application judges a handshake, where it is entered, and whether it continues the socket's own scope."""

    app: ASGIApp
    root_path: str
    continues: bool = False


class Judge:
    """Judges handshakes for one of our applications. ``own`` is the part that its mounts' middleware wraps."""

    def __init__(
        self, own: ASGIApp, visitors: Visitors, log: logging.Logger, host: ASGIApp | None = None, limit: float = LIMIT
    ) -> None:
        self._own, self._host, self._visitors, self._log, self._limit = own, host, visitors, log, limit
        self._tasks: set[asyncio.Task[None]] = set()
        self._told: set[str] = set()

    async def judge(self, scope: Scope) -> Scope | int:
        """Return the scope with which a socket may be served, or the HTTP status with which it is refused."""
        handshake, way = Handshake(self, scope), self._way(scope)
        answer = Answer(handshake.password)
        has_raised = await self._put(way.app, _get(scope, way, handshake), answer)
        found = handshake.found()
        if found is not None and answer.has_passed and not has_raised:
            return {**{name: value for name, value in scope.items() if name not in TAKEN}, **found}
        if answer.status < 300 and not has_raised:
            self._warn(UNHEARD)
        return answer.status if answer.is_error and not has_raised else 403

    async def answers(self, scope: Scope, send: Send) -> bool:
        """Whether this request stands for a handshake; if so, it is noted and has its answer."""
        handshake = scope.get(KEY)
        if not isinstance(handshake, Handshake):
            return False
        if handshake.arrive(self, scope):
            handshake.note(scope, await self._visitors.said(scope))
            await _respond(send, 204, (PASSED, handshake.password))
        else:
            await _respond(send, 403)
        return True

    async def _put(self, app: ASGIApp, scope: Scope, answer: Answer) -> bool:
        """Call the host until it has answered or the time is over; return whether it raised an error."""
        task = asyncio.create_task(_call(app, scope, answer))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        try:
            await answer.wait(task, self._limit)
            return task.done() and (task.cancelled() or task.exception() is not None)
        finally:
            answer.leave()
            if answer.has_passed:
                asyncio.get_running_loop().call_later(self._limit, task.cancel)  # work that the host does afterwards
            else:
                task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._log.warning("The host raised %s while it judged a socket's handshake.", type(error).__name__)
            self._log.debug("The error was raised here:", exc_info=error)

    def _way(self, scope: Scope) -> Way:
        root = scope.get("root_path", "")
        first = scope.get("app_root_path", root)
        if self._host is not None:
            return Way(self._host, first)
        app = scope.get("app")
        if not isinstance(app, Starlette):
            return Way(self._own, root, continues=True)
        entered = nesting.entered(app, scope, first)
        if entered is None or entered == first:
            return Way(app, first)
        self._warn(NESTED)
        return Way(app, entered, continues=True)

    def _warn(self, text: str) -> None:
        """Warn once about each mistake that the host's author can correct."""
        if text not in self._told:
            self._told.add(text)
            self._log.warning("%s", text)


async def _call(app: ASGIApp, scope: Scope, answer: Answer) -> None:
    await app(scope, answer.receive, answer.send)


def _place(scope: Scope) -> tuple[object, object]:
    return scope.get("path"), scope.get("root_path", "")


def _get(scope: Scope, way: Way, handshake: Handshake) -> Scope:
    """Return the scope of a handshake as a GET."""
    kept = dict(scope) if way.continues else {name: scope[name] for name in _SENT if name in scope}
    kept.pop("subprotocols", None)
    state = {"state": dict(scope["state"])} if isinstance(scope.get("state"), Mapping) else {}
    own = {"type": "http", "method": "GET", "root_path": way.root_path, "extensions": {}, KEY: handshake}
    secure = scope.get("scheme") in ("wss", "https")
    asgi = scope.get("asgi") or {"version": "3.0"}
    headers = [(name, value) for name, value in scope.get("headers", ()) if not _is_of_sockets(bytes(name).lower())]
    return {**kept, **state, **own, "scheme": "https" if secure else "http", "asgi": asgi, "headers": headers}


def _is_of_sockets(name: bytes) -> bool:
    """Whether a header belongs to a socket's handshake, or to a body, which a GET does not have."""
    return name.startswith(b"sec-websocket-") or name in _OF_SOCKETS


_OF_SOCKETS = (b"upgrade", b"connection", b"content-length", b"transfer-encoding", b"keep-alive", PASSED)


async def _respond(send: Send, status: int, *headers: tuple[bytes, bytes]) -> None:
    told = [(b"cache-control", b"no-store"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": b""})
