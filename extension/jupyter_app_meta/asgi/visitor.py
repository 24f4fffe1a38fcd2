"""Who the visitor of an ASGI host is: what the host says (``users``), or a name in a cookie of ours.

1. The host is asked once for each request, and for a socket while its handshake is judged (``handshake``).
2. A visitor whom the host does not authenticate is a stranger. A random name in a signed cookie tells strangers apart,
   whatever the host calls them. The cookie is HttpOnly and Lax, and has the path below which the pages are.
3. A function of the deployer's that raises, or takes more than five seconds, names no visitor.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from jupyter_server.auth.identity import IdentityProvider
from jupyter_server.auth.identity import User as ServerUser
from tornado import web

from ..model import NOTHING
from ..policy.names import Scopes
from ..server.hooks import FAILED, TIME_LIMIT, call
from .types import Scope, User_
from .users import NAMES, SHOWN, Problem, Said, read

KEPT = "jupyter_app_meta.visitor"
"""Where the scope of a socket keeps what the host said of its handshake."""

REMEDIES: Mapping[Problem, str] = {
    "flag": (
        'scope["user"] (%s) is treated as not authenticated: its is_authenticated must be True, and it is missing or '
        "something else. Set it in the host's middleware, or give create_asgi_app(user=...) a function that does."
    ),
    "name": (
        'scope["user"] (%s) is authenticated and has no username, so the visitor is treated as not authenticated: '
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
        """Warn once about each mistake that the host's author can mend. All that is named of a user is its class."""
        if problem and problem not in self._told:
            self._told.add(problem)
            self._log.warning(REMEDIES[problem], type(user).__name__)


@dataclass
class HostUser(ServerUser):
    """A visitor of an ASGI host, as jupyter_server knows users."""

    said: Said = field(default_factory=Said, repr=False)
    stranger: str = field(default="", repr=False)


class HostIdentityProvider(IdentityProvider):
    """The ASGI host says who a visitor is. There is no token, password or login page beside it."""

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
        """Return the visitor whom the host names, or a stranger whom a cookie tells from others."""
        known = getattr(handler, "_jupyter_current_user", None)
        if isinstance(known, HostUser):
            return known
        said = await self._said(getattr(handler.request.connection, "scope", {}))
        stranger = None if said.key else self._stranger(handler)
        named = dict(said.values) if said.values else vars(stranger)
        names: dict[str, Any] = {name: named.get(name) for name in SHOWN}
        return HostUser(named["username"], **names, said=said, stranger=stranger.username if stranger else "")

    async def _said(self, scope: Scope) -> Said:
        """Return what the host says now; of a socket what it said of the handshake."""
        kept = scope.get(KEPT)
        return kept if isinstance(kept, Said) else await self._visitors.said(scope)

    def _stranger(self, handler: web.RequestHandler) -> ServerUser:
        """Return the random name that the browser's cookie holds, or a new one for it to keep."""
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
        """Return what tells the visitor apart from others; empty if nothing does."""
        if not isinstance(user, HostUser):
            return ""
        return user.said.key or (user.stranger and f"cookie:{user.stranger}")
