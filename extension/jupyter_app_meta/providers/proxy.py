"""The provider of ``--proxy-header``: a reverse proxy in front of the server says who a visitor is.

1. A request that does not come from a trusted proxy is refused (401), and so is one without the header.
2. Only the header's exact name counts. A request that has the header twice, or a name that a proxy may take for it
   (``X_Forwarded_User``), is refused, because one of the two was written by the client.
3. The address that counts is that of the socket's other end, which no header can change.
"""

from __future__ import annotations

import re
from typing import NoReturn

from tornado import web
from tornado.httputil import HTTPServerRequest
from traitlets import List, Unicode, default

from ..errors import IdentityError, PolicyError
from ..policy import Policy
from ..policy.headers import is_credential
from ..server import capture
from .base import VisitorProvider
from .handlers import LogoutHandler
from .identified import Identified

LONGEST = 256
"""How many characters a name or a group may have."""

MOST_GROUPS = 500

_header = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


class ProxyIdentityProvider(VisitorProvider):
    """A trusted proxy names each visitor in a header. Every other request is refused."""

    header = Unicode(help="The header in which the proxy names the visitor, such as X-Forwarded-User.").tag(config=True)
    groups_header = Unicode(
        help="The header in which the proxy names the visitor's groups, with commas between them, such as "
        "X-Forwarded-Groups. Without it visitors have no groups."
    ).tag(config=True)
    trusted_proxies = List(
        Unicode(),
        help="Networks (CIDR) of the proxies that are believed, such as 10.0.0.0/8. By default those of "
        "AppMetaExtension.trusted_proxies.",
    ).tag(config=True)
    logout_url = Unicode(
        help="The address where the proxy logs visitors out, such as /oauth2/sign_out. Without it there is no logout."
    ).tag(config=True)

    @default("trusted_proxies")
    def _common_proxies(self) -> list[str]:
        return list(self.config.get("AppMetaExtension", {}).get("trusted_proxies", ()))

    @default("logout_handler_class")
    def _our_logout(self) -> type[web.RequestHandler]:
        return LogoutHandler

    def open(self) -> None:
        """Check the options; raises IdentityError."""
        _check_header("header (--proxy-header)", self.header)
        if self.groups_header:
            _check_header("groups_header", self.groups_header)
        if not self.trusted_proxies:
            raise IdentityError(
                "ProxyIdentityProvider.header (--proxy-header) needs --trusted-proxy: the network of the proxy that "
                "sets it, such as 10.0.0.0/8."
            )
        try:
            self._policy = Policy.of(trusted_proxies=self.trusted_proxies)
        except PolicyError as error:
            raise IdentityError(f"ProxyIdentityProvider.trusted_proxies (--trusted-proxy): {error.problem}") from error

    @property
    def login_available(self) -> bool:
        """Whether there is a login page: the proxy has it."""
        return False

    @property
    def logout_available(self) -> bool:
        """Whether the proxy has a logout."""
        return bool(self.logout_url)

    def get_user(self, handler: web.RequestHandler) -> Identified:
        """Return the visitor that the proxy names; raises a 401 for every other request."""
        known = getattr(handler, "_jupyter_current_user", None)
        if isinstance(known, Identified):
            return known
        request = handler.request
        name = _told(request, self.header, LONGEST) if self._policy.trusts(capture.peer(request)) else None
        if not name:
            _refuse(handler)
        return Identified(name, groups=self._groups(handler), key=f"proxy:user:{name}")

    def _groups(self, handler: web.RequestHandler) -> tuple[str, ...]:
        """Return the visitor's groups. Groups that are in doubt refuse the request, because a rule may exclude some."""
        if not self.groups_header:
            return ()
        told = _told(handler.request, self.groups_header, LONGEST * MOST_GROUPS)
        if told is None:
            _refuse(handler)
        found = tuple(group for part in told.split(",") if (group := part.strip()))
        if len(found) > MOST_GROUPS:
            _refuse(handler)
        return found

    async def leave(self, handler: object, user: object) -> str:
        """Return the proxy's own logout."""
        return self.logout_url


def _told(request: HTTPServerRequest, header: str, longest: int) -> str | None:
    """Return a header's text, which is empty if it is missing; None if it cannot be believed."""
    wanted = header.lower()
    lines = [(name.lower(), value) for name, value in request.headers.get_all()]
    alike = [(name, value) for name, value in lines if name.replace("_", "-") == wanted]
    if not alike:
        return ""
    if len(alike) > 1 or alike[0][0] != wanted:
        return None
    try:
        text = alike[0][1].strip().encode("latin-1").decode()
    except UnicodeError:
        return None
    return text if text.isprintable() and len(text) <= longest else None


def _refuse(handler: web.RequestHandler) -> NoReturn:
    handler.current_user = handler._jupyter_current_user = None  # type: ignore[attr-defined]  # an error page asks for it
    raise web.HTTPError(401)


def _check_header(option: str, name: str) -> None:
    if not _header.fullmatch(name):
        raise IdentityError(
            f"ProxyIdentityProvider.{option} must be a header's name such as X-Forwarded-User, not {name!r}."
        )
    if is_credential(name.lower()):
        raise IdentityError(f"ProxyIdentityProvider.{option}: {name} holds a credential, which every page would see.")
