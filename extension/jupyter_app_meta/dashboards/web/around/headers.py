"""The header of a page: the way back, the title, and who the visitor is. It is filled in when the page is sent.

A page is rendered before its visitor is known, so what is rendered is the same for every visitor.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_server.utils import url_path_join

from .... import frame
from ...files.titles import title
from . import logins

if TYPE_CHECKING:
    from ..base import Handler

BEGUN = 'id="rendered_cells"'
"""Where the cells of a page begin. What looks like the mark after it is the author's."""


def header(handler: Handler, notebook: Path) -> str:
    """Return the header of a notebook's page for the visitor of this request."""
    return handler.shown("header.html", title=title(notebook), home=home(handler), **who(handler))


def home(handler: Handler) -> str:
    """Return the address of the index; empty if there is none."""
    index = handler.settings["dashboard_index"]
    return url_path_join(handler.base_url, index) if index else ""


def who(handler: Handler) -> dict[str, Any]:
    """Return what the header says of a visitor: nothing where no visitor can log in."""
    user = handler.services.context.policy.of_deployer().user(handler.raw_request())
    if user is None or user["is_authenticated"] is not True:
        return {"login": logins.address(handler)}
    name = str(user.get("display_name") or user.get("username") or "")
    can_leave = handler.identity_provider.logout_available and not handler.services.context.policy.user_header
    return {
        "name": name,
        "initials": str(user.get("initials") or initials(name)),
        "groups": list(user.get("groups") or ()),
        "logout": url_path_join(handler.base_url, "logout") if can_leave else "",
    }


def initials(name: str) -> str:
    """Return at most two letters that stand for a name."""
    words = name.split()
    return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper()


async def filled(pieces: AsyncIterator[str], text: str) -> AsyncIterator[str]:
    """Yield the pieces of a page, with this text in the place that our template leaves for it."""
    sought = True
    async for piece in pieces:
        top, mark, rest = piece.partition(BEGUN)
        yield (top.replace(frame.MARK, text, 1) if sought else top) + mark + rest
        sought = sought and not mark and frame.MARK not in top
