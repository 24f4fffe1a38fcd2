"""The routes of the login: to the provider, and back from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler
from tornado import web

from .. import pages, places
from ..handlers import address_of, is_logged_in
from . import attempts
from .attempts import Attempt
from .faults import Away, Fault, Forged, NotAllowed

if TYPE_CHECKING:
    from .provider import OpenIDProvider

TEXTS = {
    Away: ("The login is not available", "The service that logs visitors in does not answer. Please try again soon."),
    Forged: ("Please log in again", "This login is not valid any more, or was not begun in this browser."),
    NotAllowed: ("You may not enter", "You are logged in, but you may not use these pages."),
    Fault: ("The login failed", "The service that logs visitors in refused."),
}


class OpenIDHandler(JupyterHandler):
    """The base of both routes."""

    @property
    def provider(self) -> OpenIDProvider:
        """The identity provider, which made this route."""
        found: OpenIDProvider = self.identity_provider  # type: ignore[assignment]  # as the docstring says
        return found

    def fail(self, fault: Fault) -> None:
        """Say what the visitor can do; the log says why."""
        self.log.warning("A login failed: %s.", fault)
        if isinstance(fault, Away):
            self.set_header("Retry-After", "10")
        title, text = TEXTS[type(fault)]
        link = f"{self.base_url}login"
        pages.show(self, "message.html", fault.status, title=title, text=text, link=link, link_text="Log in")

    def limit(self) -> None:
        """Refuse an address that asks too often, because each question costs the provider one."""
        wait = self.provider.limits.wait(address_of(self))
        if wait:
            self.set_header("Retry-After", str(wait))
            raise web.HTTPError(429)

    def write_error(self, status_code: int, **options: object) -> None:
        """Say nothing but that the login must be tried again."""
        text = "The login could not be read. Please try again."
        link = f"{self.base_url}login"
        pages.show(self, "message.html", status_code, title="Log in", text=text, link=link, link_text="Log in")


class LoginHandler(OpenIDHandler):
    """Sends the visitor to the provider."""

    @allow_unauthenticated
    async def get(self) -> None:
        """Begin an attempt, or go on if the visitor is logged in."""
        wanted = places.local(self.get_query_argument("next", ""), self.base_url)
        if is_logged_in(self.current_user):
            self.redirect(wanted)
            return
        self.limit()
        attempt = Attempt.begin(wanted)
        try:
            url = await self.provider.address_of(self, attempt)
        except Fault as fault:
            self.fail(fault)
            return
        attempt.keep(self, self.provider.cookie_options)
        self.set_header("Cache-Control", "no-store")
        self.redirect(url)


class CallbackHandler(OpenIDHandler):
    """Takes the provider's answer."""

    @allow_unauthenticated
    async def get(self) -> None:
        """Finish the attempt that this browser began."""
        self.limit()
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "no-referrer")
        try:
            attempt = self._attempt()
            user = await self.provider.log_in(self, attempt, self._code())
        except Fault as fault:
            self.fail(fault)
            return
        self.provider.begin(self, user)
        self.redirect(places.local(attempt.wanted, self.base_url))

    def _attempt(self) -> Attempt:
        states = self.request.query_arguments.get("state", [])
        state = states[0].decode("utf-8", "replace") if len(states) == 1 else ""
        attempt = attempts.found(self, state) if state else None
        if attempt is None:
            raise Forged("its state is not one of this browser's")
        attempts.forget(self, state)
        return attempt

    def _code(self) -> str:
        told = {name: values[0].decode("utf-8", "replace") for name, values in self.request.query_arguments.items()}
        known = self.provider.remote.known
        if "iss" in told and known and told["iss"] != known.issuer:
            raise Forged("the answer comes from another issuer (iss)")
        if "error" in told:
            raise Fault("the provider answers with an error")
        if len(self.request.query_arguments.get("code", [])) != 1 or not told["code"]:
            raise Forged("the answer has no code")
        return told["code"]
