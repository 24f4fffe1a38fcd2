"""What our identity providers have in common: sessions in a signed cookie, and what they vouch for.

1. A visitor is known by our own cookie or, behind a proxy, by its header. A token of jupyter_server names no visitor,
   so a provider of ours accepts none.
2. A session ends at its time, when its visitor logs out, and when the account that it belongs to is gone or changed.
3. In doubt a visitor is not known.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NoReturn

from jupyter_server.auth.identity import IdentityProvider, User
from jupyter_server.base.handlers import JupyterHandler
from tornado import web
from traitlets import Bool, Float, TraitError, default, validate

from ..errors import IdentityError
from ..state.stores.base import Store
from . import elsewhere
from .attempts import Attempts
from .ended import Ended
from .handlers import LogoutHandler
from .identified import SHOWN, Identified, Session
from .sockets import OpenSockets

HOURS = 3600.0


class VisitorProvider(IdentityProvider):
    """The base of our providers. It says of each of its users how far to trust the user, and what the key is."""

    need_token = Bool(False)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        try:
            self.open()
        except IdentityError as error:
            raise TraitError(str(error)) from error

    def open(self) -> None:
        """Check the options; raises IdentityError."""

    @default("token")
    def _no_token(self) -> str:
        return ""

    @validate("token")
    def _refuse_token(self, proposal: Mapping[str, Any]) -> str:
        if proposal["value"]:
            raise TraitError(
                f"IdentityProvider.token cannot be combined with {type(self).__name__}: a token names no visitor. "
                "Leave out the token."
            )
        return ""

    @default("updatable_fields")
    def _nothing_to_update(self) -> list[str]:
        return []

    def identity_model(self, user: User) -> dict[str, Any]:
        """Return what the user's own browser may know of the user."""
        return {name: getattr(user, name) for name in SHOWN}

    def values(self, user: object) -> Mapping[str, Any]:
        """Return the fields of a user that this provider made; empty for any other."""
        return user.values() if isinstance(user, Identified) else {}

    def assurance(self, user: object) -> str:
        """Return ``provider`` for a user who is logged in; ``none`` for any other."""
        return "provider" if isinstance(user, Identified) and not user.is_anonymous else "none"

    def binding_key(self, user: object) -> str:
        """Return what tells a user apart from others; empty for a user that this provider did not make."""
        return user.key if isinstance(user, Identified) else ""

    def is_current(self, user: object) -> bool:
        """Whether a user would still be known now. It is asked about users of open pages."""
        return isinstance(user, Identified)

    async def leave(self, handler: JupyterHandler, user: object) -> str:
        """Log a user out, and return the URL where the visitor logs out elsewhere as well; empty if there is none."""
        return ""


class SessionProvider(VisitorProvider):
    """A provider whose visitors log in, and have a session in a signed cookie from then on."""

    session_length = Float(
        8 * HOURS, min=60, help="Seconds after which a visitor must log in again. The default is eight hours."
    ).tag(config=True)
    login_required = Bool(
        True,
        help="Whether every page needs a login. If not, visitors who are not logged in see pages as well, and a page "
        "that calls require_user() leads them to the login. A Jupyter server refuses False, because visitors run code.",
    ).tag(config=True)

    @default("logout_handler_class")
    def _our_logout(self) -> type[web.RequestHandler]:
        return LogoutHandler

    def open(self) -> None:
        """Prepare to remember the sessions that ended."""
        self._ended = Ended()
        self._sockets = OpenSockets(self.is_current)
        self._logins = Attempts(burst=100, pause=300)
        kwargs = {"max_age_days": self.session_length / (24 * HOURS) + 1}
        self.set_trait("get_secure_cookie_kwargs", {**kwargs, **self.get_secure_cookie_kwargs})

    async def share(self, store: Store) -> None:
        """End sessions together with the other servers of a store, until it is cancelled."""
        await elsewhere.share(self._ended, store, self._sockets.look, self.log)

    async def get_user(self, handler: web.RequestHandler) -> Identified | None:
        """Return the visitor of the login cookie; None if a login is required and there is no valid session."""
        known = getattr(handler, "_jupyter_current_user", None)
        if isinstance(known, Identified):
            return known
        session = self._session(handler)
        user = await self._known(session) if session else None
        if user is None and not self.login_required:
            user = self._stranger(handler)
        if user:
            self._sockets.note(handler, user)
        return user

    def _session(self, handler: web.RequestHandler) -> Session | None:
        found = handler.get_secure_cookie(self.get_cookie_name(handler), **self.get_secure_cookie_kwargs)
        session = Session.decode(found.decode("utf-8", "replace")) if found else None
        return session if session and self._lasts(session) else None

    def _lasts(self, session: Session) -> bool:
        return time.time() < session.until and session not in self._ended

    async def _known(self, session: Session) -> Identified | None:
        if not session.username:
            return None if self.login_required else anonymous(session)
        return self.user_of(session)

    def user_of(self, session: Session) -> Identified | None:
        """Return the user of a session that has not ended; None if there is no such account."""
        raise NotImplementedError

    def _stranger(self, handler: web.RequestHandler) -> Identified:
        """Return a new visitor without a login. The cookie tells this visitor apart from others."""
        user = anonymous(Session.begin("", self.session_length))
        self.set_login_cookie(handler, user)
        return user

    def is_current(self, user: object) -> bool:
        """Whether the user's session still lasts, and the account is as it was."""
        if not isinstance(user, Identified) or user.session is None or not self._lasts(user.session):
            return False
        return user.is_anonymous or self.user_of(user.session) == user

    def user_to_cookie(self, user: User) -> str:
        """Return the content of the login cookie."""
        assert isinstance(user, Identified) and user.session
        return user.session.encode()

    def user_from_cookie(self, cookie_value: str) -> NoReturn:
        """Refuse, because a cookie alone names no user."""
        raise NotImplementedError("a session is read by get_user")

    def set_login_cookie(self, handler: web.RequestHandler, user: User) -> None:
        """Give the browser its session."""
        is_secure = handler.request.protocol == "https" if self.secure_cookie is None else self.secure_cookie
        options = {"path": handler.base_url, "httponly": True, "samesite": "Lax"}  # type: ignore[attr-defined]  # jupyter_server's handlers
        options |= {"secure": True} if is_secure else {}
        days = self.session_length / (24 * HOURS)
        content = {"expires_days": days, **options, **self.cookie_options}
        handler.set_secure_cookie(self.get_cookie_name(handler), self.user_to_cookie(user), **content)

    def begin(self, handler: JupyterHandler, user: Identified) -> None:
        """Give the browser the session of a user who has just logged in. That of the user before ends.

        Raises HTTPError for a user who logs in too often: each session that ends is remembered.
        """
        if wait := self._logins.wait(user.key):
            handler.set_header("Retry-After", str(wait))
            raise web.HTTPError(429)
        before = handler.current_user
        if isinstance(before, Identified) and before.key != user.key:
            self.end(before)
        self.set_login_cookie(handler, user)

    async def leave(self, handler: JupyterHandler, user: object) -> str:
        """End the visitor's session, so that a copy of the cookie is worth nothing."""
        self.end(user)
        return ""

    def end(self, user: object) -> None:
        """End a visitor's session, and close its sockets."""
        if isinstance(user, Identified) and user.session and not user.is_anonymous:
            self._ended.add(user.session)
            self._sockets.look()

    def validate_security(self, app: Any, ssl_options: dict[str, Any] | None = None) -> None:
        """Refuse a Jupyter server that would let strangers run code."""
        if not self.login_required:
            app.log.critical(
                "%s.login_required is False: a Jupyter server needs True, because its visitors run code.",
                type(self).__name__,
            )
            app.exit(1)
        super().validate_security(app, ssl_options)


def anonymous(session: Session) -> Identified:
    """Return the visitor of a session without a login."""
    name = f"visitor-{session.id[:8]}"
    return Identified(name, "Anonymous", "Anonymous", is_anonymous=True, key=f"anonymous:{session.id}", session=session)
