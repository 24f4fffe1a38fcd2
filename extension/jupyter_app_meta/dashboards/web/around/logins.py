"""Where visitors log in, what a page that needs a login shows, and the warning if no visitor can log in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from jupyter_server.auth.identity import IdentityProvider
from jupyter_server.utils import url_path_join
from tornado.httputil import url_concat

from ....providers.base import SessionProvider
from ...services import Services

if TYPE_CHECKING:
    from ..base import Handler

NO_LOGIN = (
    "Nobody is authenticated here: require_user() refuses everybody. Choose --users, --oidc-issuer or --proxy-header."
)


def announce(provider: IdentityProvider, services: Services) -> None:
    """Warn if no visitor can be authenticated."""
    if not provider.auth_enabled and not services.context.policy.user_header:
        services.log.warning(NO_LOGIN)


def share(provider: IdentityProvider, services: Services) -> None:
    """Let a logout count on all servers behind one address, if this server is one of several."""
    if isinstance(provider, SessionProvider) and services.store is not None and services.peers.tag:
        services.spawn(provider.share(services.store))


def address(handler: Handler) -> str:
    """Return the address at which a page's visitor logs in and comes back; empty if there is no login page."""
    policy = handler.services.context.policy
    if policy.user_header or not handler.identity_provider.login_available:
        return ""
    return url_concat(url_path_join(handler.base_url, "login"), {"next": handler.request.uri or ""})


def page(handler: Handler, login: str, error_id: str, *, is_hosted: bool = False) -> str:
    """Return the HTML that covers a page that needs a login; inside a host, the host logs visitors in."""
    going = json.dumps(login).replace("<", "\\u003c").replace("&", "\\u0026")
    return handler.shown("members.html", login=login, going=going, error_id=error_id, is_hosted=is_hosted)
