"""Visitors that an author makes up while writing a notebook: ``serve --dev``. Never a login.

1. Only requests of this machine are answered (``server.local``), whatever the server listens on.
2. A cookie that the page's own bar writes says who the author wants to be. Without it, or if it cannot be read, the
   visitor is not known.
"""

from __future__ import annotations

import json
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
NOBODY = "anonymous"


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
        return _looked_as(handler.get_cookie(COOKIE) or "")


def _looked_as(cookie: str) -> Identified:
    try:
        told: Any = json.loads(unquote(cookie))
        name, groups = told["user"], told["groups"]
    except (ValueError, TypeError, LookupError):
        name, groups = "", []
    if not _is_text(name) or not isinstance(groups, list) or not all(map(_is_text, groups[:MOST_GROUPS])):
        name = ""
    if not name:
        return Identified(NOBODY, display_name="Nobody", is_anonymous=True, key="made-up:nobody")
    return Identified(name, groups=tuple(groups[:MOST_GROUPS]), key=f"made-up:user:{name}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and len(value) <= LONGEST
