"""How visitors log in at JupyterHub. This module needs JupyterHub, so ``service`` imports it only on demand.

It is the identity provider of the Hub's single-user servers with two differences, because strangers use this server: no
request blocks the server while the Hub answers, and no credential is logged.
"""

from __future__ import annotations

from typing import Any

from jupyterhub.services.auth import HubOAuth
from jupyterhub.singleuser.extension import JupyterHubIdentityProvider, JupyterHubOAuthCallbackHandler
from traitlets import default

REMEMBERED = 60
"""For how many seconds the Hub's answer about a cookie is believed."""


class CallbackHandler(JupyterHubOAuthCallbackHandler):  # type: ignore[misc]  # JupyterHub is not typed
    """The address to which the Hub sends visitors back."""

    async def prepare(self) -> None:
        """Ask the Hub who the visitor is, once and without blocking. The base would ask later, and block the server."""
        await self.hub_auth.get_user(self, sync=False)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log only the type of a failure: the request's URL has a code, and its text may be a stranger's."""
        self.hub_auth.log.warning("A login failed (%s).", getattr(value, "status_code", typ.__name__))


class HubIdentityProvider(JupyterHubIdentityProvider):  # type: ignore[misc]  # as above
    """The Hub says who a visitor is, and which visitors may use this service."""

    @default("hub_auth")
    def _hub_auth(self) -> HubOAuth:
        """Ask the Hub again after one minute instead of five: until then, a cookie is believed even after a logout."""
        made = super()._default_hub_auth()
        if not any("cache_max_age" in self.config.get(section, {}) for section in ("HubAuth", "HubOAuth")):
            made.cache_max_age = REMEMBERED
        return made

    def get_handlers(self) -> list[Any]:
        """Return the routes of logging in and out."""
        routes = super().get_handlers()
        return [(path, _own(handler), *rest) for path, handler, *rest in routes]


def _own(handler: type) -> type:
    return CallbackHandler if handler is JupyterHubOAuthCallbackHandler else handler
