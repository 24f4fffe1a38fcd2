"""Who the visitor of an ASGI host is: the user that the host names (``users``), or a name in our own cookie.

1. The host is asked once for each request. For a socket, it is asked while the handshake is judged (``handshake``).
2. A visitor that the host does not authenticate is a stranger. A random name in a signed cookie tells strangers apart,
   even if the host names them. The cookie is HttpOnly and Lax, and its path is that of the pages.
3. A deployer's function that raises an error, or takes more than five seconds, names no visitor.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from jupyter_server.auth.identity import IdentityProvider
from jupyter_server.auth.identity import User as ServerUser
from tornado import web

from ..policy.names import Scopes
from ..records import NOTHING
from ..server.hooks import FAILED, TIME_LIMIT, call
from .types import Scope, User_
from .users import NAMES, SHOWN, Problem, Said, read

KEPT = "jupyter_app_meta.visitor"
"""The key of a socket's scope for what the host said about its handshake."""

REMEDIES: Mapping[Problem, str] = {
    "flag": (
        'scope["user"] (%s) is treated as not authenticated: its is_authenticated is not True. Set it in the host\'s '
        "middleware, or give create_asgi_app(user=...) a function that returns such a user."
    ),
    "name": (
        'scope["user"] (%s) is authenticated but has no username, so the visitor is treated as not authenticated: '
        f"give it one of {', '.join(NAMES)}, or give create_asgi_app(user=...) a function that does."
    ),
}


class Visitors:
    """Finds out who the visitor of a scope is, by the host's own function if there is one."""

    def __init__(self, user: User_ | None, log: logging.Logger) -> None:
        self._user, self._log = user, log
        self._told: set[Problem] = set()

    async def said(self, scope: Scope) -> Said:
        """Return what the host says of the visitor. A function that raises or takes too long says nothing."""
        user = scope.get("user") if self._user is None else await self._asked(self._user, scope)
        said = read(user, scope.get("auth"))
        self._tell(said.problem, user)
        return said

    async def _asked(self, function: User_, scope: Scope) -> object:
        answer = await call(function, self._log, scope, timeout=TIME_LIMIT)
        return None if answer is FAILED else answer

    def _tell(self, problem: Problem, user: object) -> None:
        """Warn once about each mistake that the host's author can correct. Only the user's class is named."""
        if problem and problem not in self._told:
            self._told.add(problem)
            self._log.warning(REMEDIES[problem], type(user).__name__)


@dataclass
class HostUser(ServerUser):
    """A visitor of an ASGI host, in jupyter_server's form."""

    said: Said = field(default_factory=Said, repr=False)
    stranger: str = field(default="", repr=False)


class HostIdentityProvider(IdentityProvider):
    """The ASGI host says who a visitor is. There is no other token, password or login page."""

    def __init__(self, visitors: Visitors, **options: Any) -> None:
        super().__init__(token="", **options)
        self._visitors = visitors

    @property
    def login_available(self) -> bool:
        """Whether there is a login page: the host has it."""
        return False

    @property
    def logout_available(self) -> bool:
        """Whether there is a way to log out: the host has it."""
        return False

    def get_handlers(self) -> list[tuple[str, object]]:
        """Return no routes: the host logs visitors in and out."""
        return []

    async def get_user(self, handler: web.RequestHandler) -> HostUser:
        """Return the visitor that the host names, or a stranger that a cookie tells apart from others."""
        known = getattr(handler, "_jupyter_current_user", None)
        if isinstance(known, HostUser):
            return known
        said = await self._said(getattr(handler.request.connection, "scope", {}))
        stranger = None if said.key else self._stranger(handler)
        named = dict(said.values) if said.values else vars(stranger)
        names: dict[str, Any] = {name: named.get(name) for name in SHOWN}
        return HostUser(named["username"], **names, said=said, stranger=stranger.username if stranger else "")

    async def _said(self, scope: Scope) -> Said:
        """Return what the host says now, or, for a socket, what it said about the handshake."""
        kept = scope.get(KEPT)
        return kept if isinstance(kept, Said) else await self._visitors.said(scope)

    def _stranger(self, handler: web.RequestHandler) -> ServerUser:
        """Return the random name in the browser's cookie, or a new one, which the browser will keep."""
        known = self.get_user_cookie(handler)
        if isinstance(known, ServerUser):
            return known
        made = self.generate_anonymous_user(handler)
        self.set_login_cookie(handler, made)
        return made

    def values(self, user: object) -> Mapping[str, Any]:
        """Return the fields of a user."""
        if not isinstance(user, HostUser):
            return NOTHING
        names = {name: getattr(user, name) for name in ("username", *SHOWN)}
        return {"scopes": Scopes(), **user.said.values, **names}

    def assurance(self, user: object) -> Literal["provider", "none"]:
        """Return ``provider`` if the host says that the user is authenticated; ``none`` otherwise."""
        return "provider" if isinstance(user, HostUser) and user.said.key else "none"

    def binding_key(self, user: object) -> str:
        """Return the key that tells the visitor apart from others; empty if there is none."""
        if not isinstance(user, HostUser):
            return ""
        return user.said.key or (user.stranger and f"cookie:{user.stranger}")
