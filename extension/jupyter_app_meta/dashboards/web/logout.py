"""How visitors log out: with a button, because a picture on another site could have a link's address."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.auth.identity import IdentityProvider
from jupyter_server.auth.logout import LogoutHandler

from ...providers.base import VisitorProvider
from ...providers.handlers import LogoutHandler as OurLogout
from ...server import identity
from .around import headers
from .base import Handler


class LogoutForm(Handler):
    """Asks the visitor, then forgets who the visitor is and ends the visitor's pages."""

    @allow_unauthenticated
    async def get(self) -> None:
        """Show the button."""
        self._show(is_done=False)

    @allow_unauthenticated
    async def post(self) -> None:
        """Log out."""
        services = self.services
        who = identity.visitor(self, services.context.policy)
        for kernel_id, visit in services.visits.items():
            if visit.belongs_to(who):
                services.spawn(services.visits.end(kernel_id))
        provider = self.identity_provider
        elsewhere = await provider.leave(self, self.current_user) if isinstance(provider, VisitorProvider) else ""
        options = {name: value for name, value in provider.cookie_options.items() if name in ATTRIBUTES}
        self.clear_cookie(provider.get_cookie_name(self), **{"path": self.base_url, **options})
        if elsewhere:
            self.set_header("Cache-Control", "no-store")
            self.redirect(elsewhere, status=303)
        else:
            self._show(is_done=True)

    def _show(self, *, is_done: bool) -> None:
        self.set_header("Cache-Control", "no-store")
        login_url = self.settings["login_url"] if self.login_available else ""
        xsrf = self.xsrf_token.decode()
        told = {"is_done": is_done, "login_url": login_url, "home": headers.home(self)}
        self.finish(self.shown("logout.html", xsrf=xsrf, **told))


ATTRIBUTES = ("path", "domain", "secure", "samesite", "partitioned")
"""The attributes that a cookie must have in common with the cookie that it clears."""


def with_form(provider: IdentityProvider, routes: list[Any]) -> list[Any]:
    """Return a provider's routes, with our form instead of jupyter_server's logout by a link."""
    stock = provider.logout_handler_class if provider.logout_handler_class in (LogoutHandler, OurLogout) else None
    return [(path, LogoutForm if handler is stock else handler, *rest) for path, handler, *rest in routes]
