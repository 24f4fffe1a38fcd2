"""How visitors log in to JupyterHub. Needs JupyterHub; ``hub`` imports this where it is wanted.

It is the identity provider of the Hub's single-user servers with two differences, because strangers come here: no
request blocks the server while the Hub answers, and no credential is logged.
"""

from __future__ import annotations

from typing import Any

from jupyterhub.services.auth import HubOAuth
from jupyterhub.singleuser.extension import JupyterHubIdentityProvider, JupyterHubOAuthCallbackHandler
from traitlets import default

REMEMBERED = 60
"""Seconds for which what the Hub said of a cookie is believed."""


class CallbackHandler(JupyterHubOAuthCallbackHandler):  # type: ignore[misc]  # JupyterHub is not typed
    """Where the Hub sends people back to."""

    async def prepare(self) -> None:
        """Ask the Hub who the visitor is, once and without blocking: the base asks later, and blocks every visitor."""
        await self.hub_auth.get_user(self, sync=False)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log what failed by its kind: the request has a code, and its text was written by a stranger."""
        self.hub_auth.log.warning("A login failed (%s).", getattr(value, "status_code", typ.__name__))


class HubIdentityProvider(JupyterHubIdentityProvider):  # type: ignore[misc]  # as above
    """The Hub says who a visitor is, and whom it lets use this service."""

    @default("hub_auth")
    def _hub_auth(self) -> HubOAuth:
        """Ask the Hub again after a minute, not five: until then a cookie is believed that has logged out."""
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
