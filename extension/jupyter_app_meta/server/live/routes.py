"""``api/app-meta/sessions``: the live pages of all servers of a store, for administrators.

1. A request needs an administrator, and the server's authorizer must allow it (resource ``sessions``, actions ``read``,
   ``write`` and ``delete``). Every other request gets the same 403, whether the page exists or not.
2. Requests that change something need the XSRF token and the server's own origin.
3. Who ends a page or sends to it is written to the audit.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any, TypeVar

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import ensure_async
from tornado import web

from ...errors import StateUnavailable, TooLarge, Unstorable
from ...model import User
from ...state.values import encode
from .. import identity
from ..context import StampingContext
from .admins import is_admin
from .board import Board
from .mine import PATH, Mine

T = TypeVar("T")

ROOT = "api/app-meta/sessions"
ID = r"(?P<id>[0-9a-f]{32})"
LONGEST = 65_536
"""How many bytes a message's body may have."""


class Administered(JupyterHandler):
    """What the routes have in common: which clients they let in, and how they answer."""

    owner_may = False

    @property
    def live_context(self) -> StampingContext:
        """The context of the server."""
        found: StampingContext = self.settings["app_meta_context"]
        return found

    @property
    def board(self) -> Board:
        """The board of the server; raises HTTPError where no state is kept."""
        found: Board | None = self.settings.get("app_meta_sessions")
        if found is None:
            raise web.HTTPError(404, "state_url is off, so pages are not listed")
        return found

    def user(self) -> User | None:
        """Return the visitor's user, as the server knows it."""
        return identity.visitor(self, self.live_context.policy).user

    async def admit(self, action: str) -> User:
        """Return the administrator who asks; raises HTTPError for any other visitor."""
        user = self.user()
        admins = self.live_context.admins
        if user is None or not is_admin(user, admins, owner_may=self.owner_may):
            raise web.HTTPError(403)
        if not await ensure_async(self.authorizer.is_authorized(self, self.current_user, action, "sessions")):
            raise web.HTTPError(403)
        if action != "read" and not self.check_origin():
            raise web.HTTPError(403)
        return user

    async def asked(self, answer: Awaitable[T]) -> T:
        """Return what the board answers; raises HTTPError where it cannot answer."""
        try:
            return await answer
        except StateUnavailable:
            self.set_header("Retry-After", "5")
            raise web.HTTPError(503, "the store of live pages does not answer") from None
        except TooLarge as error:
            raise web.HTTPError(413, str(error)) from None

    def changed(self, is_there: bool, action: str, user: User, id: str) -> None:
        """Answer a request that changed something."""
        if not is_there:
            raise web.HTTPError(404)
        if self.live_context.audit:
            self.live_context.audit.administered(action, user, id)
        self.set_status(204)

    def get_login_url(self) -> str:
        """Refuse, because no program follows a redirect to a login."""
        raise web.HTTPError(403)

    def send_json(self, value: object) -> None:
        """Answer with JSON, which no cache keeps."""
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(value))

    def write_error(self, status_code: int, **options: Any) -> None:
        """Say what is wrong, and nothing of what exists."""
        error = options.get("exc_info", (None, None, None))[1]
        told = error.log_message if isinstance(error, web.HTTPError) and status_code in (400, 404, 413, 503) else None
        self.send_json({"message": told or self._reason})


class Sessions(Administered):
    """All live pages."""

    @web.authenticated
    async def get(self) -> None:
        """List them, or those of one ``dashboard`` or one ``user``."""
        await self.admit("read")
        assert self.xsrf_token  # gives the browser its cookie: who sees pages may want to end one
        which = {name: self.get_query_argument(name, None) for name in ("dashboard", "user")}
        self.send_json(await self.asked(self.board.list(**which)))


class Session(Administered):
    """One live page."""

    @web.authenticated
    async def delete(self, id: str) -> None:
        """End it."""
        user = await self.admit("delete")
        self.changed(await self.asked(self.board.end(id)), "end", user, id)


class Messages(Administered):
    """The messages to the code of one live page."""

    @web.authenticated
    async def post(self, id: str) -> None:
        """Send one: a JSON object with a ``name`` and ``data``."""
        user = await self.admit("write")
        name, data = self._message()
        self.changed(await self.asked(self.board.send(id, name, data)), "send", user, id)

    def _message(self) -> tuple[str, Any]:
        if len(self.request.body) > LONGEST:
            raise web.HTTPError(413, f"a message has at most {LONGEST} bytes")
        try:
            body = json.loads(self.request.body, parse_constant=_refuse)
            name, data = body["name"], body.get("data")
            encode(data)  # functions receive values only: 1e999 is infinite, and half a character is not text
        except Unstorable as error:
            raise web.HTTPError(400, f"the data of a message is not a value: {error}") from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise web.HTTPError(400, 'a message is a JSON object such as {"name": "hello", "data": 1}') from None
        if not isinstance(name, str) or not name or not name.isprintable():
            raise web.HTTPError(400, "the name of a message is a printable text")
        return name, data


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


ROUTES: tuple[tuple[str, type[Administered]], ...] = (
    (ROOT, Sessions),
    (f"{ROOT}/{ID}", Session),
    (f"{ROOT}/{ID}/messages", Messages),
)


def routes(base: type[JupyterHandler], *, owner_may: bool) -> list[tuple[str, type[JupyterHandler]]]:
    """Return the paths below the base URL and their handlers, for a server whose handlers are of a class."""
    own = {"owner_may": owner_may}
    mine = type(Mine.__name__, (Mine, base), {"way": "edit" if owner_may else "run"})
    return [(f"/{PATH}", mine), *((f"/{path}", type(route.__name__, (route, base), own)) for path, route in ROUTES)]
