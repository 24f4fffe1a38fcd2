"""What all routes of a dashboard server have in common: the visitor, the visitor's request, and error pages.

An error page says nothing but its status. No route returns a request's data.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web

from ...frame.pages import Pages
from ...policy import RawRequest
from ...server import capture, identity
from .. import admission, hooks
from ..admission import Refused
from ..hooks import OnError
from ..paths import is_devious
from ..services import Services
from . import cuts
from .around import errors, headers
from .mounted import Mounted, moved, send


class Handler(Mounted, JupyterHandler):
    """The base of all routes: the visitor, the request as the policy lets it through, and error pages."""

    @property
    def services(self) -> Services:
        """The objects that all dashboards of this server share."""
        found: Services = self.settings["dashboard_services"]
        return found

    def raw_request(self) -> RawRequest:
        """Return the request, unfiltered."""
        return capture.raw_request(self, identity.visitor(self, self.services.context.policy).user)

    def shown(self, name: str, /, **values: Any) -> str:
        """Return one of our own pages, or the deployer's in its place."""
        pages: Pages = self.settings[errors.PAGES]
        return pages.page(name, base_url=self.base_url, **values)

    def url_of(self, path: str) -> str:
        """Return the URL of a path below the base URL, as this visitor sees it."""
        return f"{self.request.protocol}://{self.request.host}{url_path_join(self.base_url, path)}"

    def has_moved(self, path: str) -> bool:
        """Whether a mounted server was asked for another path than this one; if so, it has redirected to it."""
        url = None if is_devious(self.request.path) else moved(self.request, path)
        if url is not None:
            send(self, url)
        return url is not None

    def _request_summary(self) -> str:
        """Return how the log names a failed request, without the credentials of its query."""
        policy = self.services.context.policy
        url = cuts.without_secrets(self.request.uri or "", policy.secret_query)
        return f"{self.request.method} {url} ({self.request.remote_ip})"

    async def prepare(self, *, _redirect_to_login: bool = True) -> None:
        """Refuse paths that hide a slash, redirect those with another spelling, then authenticate."""
        if is_devious(self.request.path):
            await self.fail(404)
            return
        if self.has_moved(self.request.path):
            return
        try:
            await super().prepare(_redirect_to_login=_redirect_to_login)
        except web.HTTPError as error:
            if error.status_code != 401:
                raise
            await self.fail(self.unnamed_status)  # the identity provider has no login, and does not know the visitor
        if not self._finished and self.is_unnamed():
            await self.fail(self.unnamed_status)

    unnamed_status = 401
    is_seen = False
    """Whether a visitor sees the answers, rather than a script. Only then do error pages name the visitor."""

    def is_unnamed(self) -> bool:
        """Whether a proxy must name each visitor (``user_header``), and neither it nor a login named this visitor."""
        policy = self.services.context.policy
        if not policy.user_header:
            return False
        user = identity.visitor(self, policy).user
        return user is None or user["is_authenticated"] is not True

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Show an error page that says nothing but the status; the log says more."""
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.finish(errors.page(self, status_code))

    async def refuse(self, refused: Refused) -> None:
        """Answer a request that admission refused."""
        if refused.retry_after:
            self.set_header("Retry-After", str(refused.retry_after))
        await self.fail(refused.status)

    async def fail(
        self, status: int, error_id: str = "", words: Mapping[str, str | bool] = MappingProxyType({})
    ) -> None:
        """Answer with the deployer's own error page, or with ours, and the id under which the log says more.

        ``words`` take the place of the usual heading and advice.
        """
        on_error: OnError | None = self.settings["dashboard_on_error"]
        is_known = (
            getattr(self, "_jupyter_current_user", None) is not None
        )  # jupyter_server raises if current_user is read before prepare()
        known = admission.view(self.services, self.raw_request()) if is_known else None
        own = await hooks.page(on_error, status, known, self.services.log)
        self.set_status(status)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        who = headers.who(self) if is_known and self.is_seen else {}
        told = {"home": headers.home(self), **who, **words}
        await self.finish(own if own is not None else errors.page(self, status, error_id, **told))


class RefusalHandler(Handler):
    """Answers requests that no route may see, without authentication."""

    def initialize(self, status: int) -> None:
        """Take the status."""
        self._status = status

    async def prepare(self, *, _redirect_to_login: bool = True) -> None:
        """Answer at once."""
        if self._status == 503:
            self.set_header("Retry-After", "5")
        await self.fail(self._status, words=errors.FOREIGN if self._status == 403 else {})


class NotFoundHandler(Handler):
    """Answers every other URL, even to visitors who are not logged in."""

    is_seen = True

    async def prepare(self, *, _redirect_to_login: bool = True) -> None:
        """Answer 404. If the visitor is known, the deployer's error page gets the user."""
        with suppress(web.HTTPError):
            await super().prepare(_redirect_to_login=False)
        if not self._finished:
            await self.fail(404)
