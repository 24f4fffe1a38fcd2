"""Visitors that an author makes up while writing a notebook: ``serve --dev``. Never a login.

1. Only requests of this machine are answered (``server.local``), whatever the server listens on.
2. A cookie that the page's own bar writes says who the author wants to be. Without it, or if it cannot be read, the
   visitor is not known.
3. The cookie may have a header, such as ``accept-language: de``. It takes the place of the browser's own header, unless
   the server itself needs that one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from jupyter_server.auth.identity import User
from tornado import web
from traitlets import Unicode

from ..server.local import is_local
from .base import VisitorProvider
from .identified import Identified
from .users import people

COOKIE = "app-meta-look-as"
LONGEST, MOST_GROUPS = 256, 100
OWN = ("Connection", "Content-", "Cookie", "Host", "Origin", "Sec-", "Transfer-", "Upgrade", "X-Xsrf")
"""Beginnings of the headers without which a request does not reach its page."""

_header = re.compile(r"([!#$%&'*+.^_`|~\w-]+):[ \t]*([\x20-\x7e]*)", re.ASCII)
ANONYMOUS = "anonymous"


class MadeUpIdentityProvider(VisitorProvider):
    """Believes who a browser of this machine says that it is."""

    file = Unicode(help="A file of users, whose names and groups the bar offers.").tag(config=True)

    def open(self) -> None:
        """Read the file; raises IdentityError."""
        found = people.read(Path(self.file)) if self.file else {}
        self.people = {name: person.groups for name, person in sorted(found.items())}

    @property
    def login_available(self) -> bool:
        """Whether there is a login page: there is a bar instead."""
        return False

    @property
    def logout_available(self) -> bool:
        """Whether there is a logout: there is a bar instead."""
        return False

    def get_user(self, handler: web.RequestHandler) -> User:
        """Return the visitor that the cookie names; raises a 403 for a request from elsewhere."""
        known = getattr(handler, "_jupyter_current_user", None)
        if isinstance(known, Identified):
            return known
        if not is_local(handler.request):
            handler.current_user = handler._jupyter_current_user = None  # type: ignore[attr-defined]  # an error page asks
            raise web.HTTPError(403)
        told = _told(handler)
        if header := _header_in(told):
            handler.request.headers[header[0]] = header[1]
        return _looked_as(told)


def header(handler: web.RequestHandler) -> str:
    """Return the made-up header of a request as the author wrote it; empty if there is none."""
    found = _header_in(_told(handler))
    return ": ".join(found) if found else ""


def _told(handler: web.RequestHandler) -> dict[str, Any]:
    try:
        told: Any = json.loads(unquote(handler.get_cookie(COOKIE) or ""))
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _header_in(told: dict[str, Any]) -> tuple[str, str] | None:
    text = told.get("header")
    found = _header.fullmatch(text.strip()) if isinstance(text, str) and len(text) <= LONGEST else None
    if found is None or found[1].title().startswith(OWN):
        return None
    return found[1], found[2]


def _looked_as(told: dict[str, Any]) -> Identified:
    name, groups = told.get("user"), told.get("groups")
    chosen: list[Any] = groups[:MOST_GROUPS] if isinstance(groups, list) else [None]
    if not name or not all(map(_is_text, [name, *chosen])):
        return Identified(ANONYMOUS, display_name="Nobody", is_anonymous=True, key="made-up:nobody")
    return Identified(str(name), groups=tuple(chosen), key=f"made-up:user:{name}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and len(value) <= LONGEST
