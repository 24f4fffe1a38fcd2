"""The user that a provider of ours returns: jupyter_server's user, with groups, rights and a session."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jupyter_server.auth.identity import User

SHOWN = ("username", "name", "display_name", "initials", "avatar_url", "color")
"""The fields that jupyter_server shows to the user's own browser."""


@dataclass(frozen=True, slots=True)
class Session:
    """What the login cookie says: which session this is, whose, of which version of the account, and until when.

    ``until`` is in seconds since 1970. A session without a username belongs to a visitor who is not logged in.
    """

    id: str
    username: str
    until: float
    mark: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def begin(cls, username: str, seconds: float, mark: str = "", more: Mapping[str, Any] | None = None) -> Session:
        """Return a new session that lasts this many seconds."""
        return cls(secrets.token_urlsafe(16), username, time.time() + seconds, mark, more or {})

    def encode(self) -> str:
        """Return the session as the cookie has it."""
        return json.dumps([self.id, self.username, self.until, self.mark, dict(self.more)], separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> Session | None:
        """Return the session of a cookie; None if the text is not one, such as another provider's."""
        try:
            id, username, until, mark, more = json.loads(text)
        except (ValueError, TypeError):
            return None
        is_ours = isinstance(until, float | int) and isinstance(more, dict)
        is_ours = is_ours and all(isinstance(part, str) for part in (id, username, mark))
        return cls(id, username, float(until), mark, more) if is_ours else None


@dataclass
class Identified(User):
    """A visitor. The key tells visitors apart who have the same username; it is empty for no other visitor."""

    groups: tuple[str, ...] = ()
    admin: bool = False
    is_anonymous: bool = False
    key: str = field(default="", repr=False)
    session: Session | None = field(default=None, repr=False)

    def values(self) -> dict[str, Any]:
        """Return the fields that pages may know."""
        named = {name: getattr(self, name) for name in SHOWN}
        return {**named, "groups": self.groups, "admin": self.admin}
