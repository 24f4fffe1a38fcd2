"""Browsers in which a user has logged in before. Their attempts are counted apart from those of strangers.

The browser has a signed cookie with the user's name and an id. It proves no login. Only the login gets it.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from jupyter_server.base.handlers import JupyterHandler

NAME = "app-meta-browser"
DAYS = 90


def known(handler: JupyterHandler, username: str) -> str:
    """Return the id of this browser if the user has logged in here before; empty if not."""
    told = handler.get_secure_cookie(NAME, max_age_days=DAYS)
    try:
        name, id = json.loads(told or b"null")
    except (ValueError, TypeError):
        return ""
    return str(id) if name == username else ""


def remember(handler: JupyterHandler, username: str) -> None:
    """Let this browser tell the next time that the user has logged in here."""
    value = json.dumps([username, known(handler, username) or secrets.token_urlsafe(16)])
    options: dict[str, Any] = {"path": f"{handler.base_url}login", "httponly": True, "samesite": "Strict"}
    if handler.request.protocol == "https":
        options["secure"] = True
    handler.set_secure_cookie(NAME, value, expires_days=DAYS, **options)
