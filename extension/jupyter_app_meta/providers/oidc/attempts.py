"""A login under way: what a browser must bring back to finish it. Each attempt has a cookie of its own.

Several tabs can log in at once. The cookies go only to the login's own addresses. The oldest of too many is dropped.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jupyter_server.base.handlers import JupyterHandler

PREFIX = "app-meta-login-"
MOST = 5
SECONDS = 600
LONGEST = 512
"""How many characters the wanted address may have; a longer one leads to the start page."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One login: the secrets that tie the provider's answer to this browser, and where the visitor wants to go."""

    state: str
    nonce: str
    verifier: str
    wanted: str
    began: float

    @classmethod
    def begin(cls, wanted: str) -> Attempt:
        """Return a new attempt."""
        state, nonce, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48)
        return cls(state, nonce, verifier, wanted if len(wanted) <= LONGEST else "", time.time())

    def keep(self, handler: JupyterHandler, options: Mapping[str, Any]) -> None:
        """Give the browser the attempt's cookie, and drop the oldest of too many."""
        for name in _names(handler)[: -(MOST - 1)]:
            forget(handler, name.removeprefix(PREFIX))
        value = json.dumps([self.nonce, self.verifier, self.wanted, self.began])
        is_secure = {"secure": True} if handler.request.protocol == "https" else {}
        own: dict[str, Any] = {
            "path": _path(handler),
            "httponly": True,
            "samesite": "Lax",
            "max_age": SECONDS,
            "expires_days": None,
        }
        kept = {name: option for name, option in options.items() if name not in ("path", "domain")}
        handler.set_secure_cookie(f"{PREFIX}{self.state}", value, **{**own, **is_secure, **kept})


def found(handler: JupyterHandler, state: str) -> Attempt | None:
    """Return the attempt of this browser that has this state; None if there is none, or it is too old."""
    told = handler.get_secure_cookie(f"{PREFIX}{state}", max_age_days=1) if state.isascii() else None
    try:
        nonce, verifier, wanted, began = json.loads(told or b"null")
    except (ValueError, TypeError):
        return None
    attempt = Attempt(state, nonce, verifier, wanted, began)
    return attempt if 0 <= time.time() - began <= SECONDS else None


def forget(handler: JupyterHandler, state: str) -> None:
    """Drop an attempt's cookie: an attempt is finished once."""
    handler.clear_cookie(f"{PREFIX}{state}", path=_path(handler))


def _names(handler: JupyterHandler) -> list[str]:
    """Return the names of the attempts' cookies, the oldest first, and those that are not ours before them."""
    names = [name for name in handler.cookies if name.startswith(PREFIX)]
    ages = {name: attempt.began if (attempt := found(handler, name.removeprefix(PREFIX))) else 0.0 for name in names}
    return sorted(names, key=ages.__getitem__)


def _path(handler: JupyterHandler) -> str:
    return f"{handler.base_url}login"
