"""The routes of logging in with a form, and of logging out of a Jupyter server."""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import urlsplit

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.auth.logout import LogoutHandler as ServerLogout
from jupyter_server.base.handlers import JupyterHandler

from . import browsers, pages, places
from .identified import Identified

LONGEST = 1024
"""How many characters a name or a password may have."""


class Refusal(Exception):
    """A login was refused. The message is for the visitor."""

    def __init__(self, message: str, status: int = 401, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


class Form(Protocol):
    """A provider whose login is a form."""

    async def log_in(self, username: str, password: str, address: str, browser: str) -> Identified:
        """Return the user; raises Refusal."""

    def begin(self, handler: Any, user: Identified) -> None:
        """Give the browser its session."""


def is_logged_in(user: object) -> bool:
    """Whether a user of ours is logged in."""
    return isinstance(user, Identified) and not user.is_anonymous


def address_of(handler: JupyterHandler) -> str:
    """Return the visitor's address, as limits count it."""
    front: Any = handler.settings.get("dashboard_front")
    return str((front.address(handler.request) if front else handler.request.remote_ip) or "")


class LoginHandler(JupyterHandler):
    """The form. It says the same of an unknown name and of a wrong password."""

    @allow_unauthenticated
    async def get(self) -> None:
        """Show the form, or go on if the visitor is logged in."""
        if is_logged_in(self.current_user):
            self.redirect(self._next(self.get_query_argument("next", "")))
        else:
            self._show(wanted=self.get_query_argument("next", ""))

    @allow_unauthenticated
    async def post(self) -> None:
        """Log in."""
        username, password, wanted = (self._text(name) for name in ("username", "password", "next"))
        provider: Form = self.identity_provider  # type: ignore[assignment]  # it made this route
        try:
            user = await provider.log_in(username, password, address_of(self), browsers.known(self, username))
        except Refusal as refusal:
            if refusal.retry_after:
                self.set_header("Retry-After", str(refusal.retry_after))
            self._show(refusal.status, str(refusal), username, wanted)
            return
        provider.begin(self, user)
        browsers.remember(self, username)
        self.set_header("Cache-Control", "no-store")
        self.redirect(self._next(wanted), status=303)

    def _text(self, name: str) -> str:
        return self.get_body_argument(name, "", strip=name != "password")[: LONGEST + 1]

    def _next(self, wanted: str) -> str:
        return places.local(wanted, self.base_url)

    def _show(self, status: int = 200, problem: str = "", username: str = "", wanted: str = "") -> None:
        told = {"problem": problem, "username": username[:LONGEST], "next": self._next(wanted)}
        pages.show(self, "login.html", status, xsrf=self.xsrf_token.decode(), **told)

    def write_error(self, status_code: int, **options: Any) -> None:
        """Say nothing but that the login must be loaded again, such as after its cookies were cleared."""
        text = "The login could not be read. Please load it again."
        link = f"{self.base_url}login"
        pages.show(self, "message.html", status_code, title="Log in", text=text, link=link, link_text="Log in")


class LogoutHandler(ServerLogout):
    """Logs out of a Jupyter server. A dashboard server has a page of its own in its place."""

    @allow_unauthenticated
    async def get(self) -> None:
        """End the session, and go where the visitor logs out elsewhere as well. A link of another site must ask."""
        provider: Any = self.identity_provider
        if not self._is_own():
            link = f"{self.base_url}logout"
            pages.show(self, "message.html", title="Log out?", text="", link=link, link_text="Log out")
            return
        url = await provider.leave(self, self.current_user)
        provider.clear_login_cookie(self)
        if url:
            self.set_header("Cache-Control", "no-store")
            self.redirect(url)
            return
        link = f"{self.base_url}login"
        pages.show(self, "message.html", title="You are logged out", text="", link=link, link_text="Log in again")

    def _is_own(self) -> bool:
        """Whether the visitor followed a link of this server. Browsers say so, or where the link was, or nothing."""
        headers = self.request.headers
        if "Sec-Fetch-Site" in headers:
            return headers["Sec-Fetch-Site"] in ("none", "same-origin")
        return urlsplit(headers.get("Referer", "")).netloc == self.request.host
