"""What a row says of an open page: who looks at it, since when, and where it runs."""

from __future__ import annotations

import time

from ...policy import RawRequest
from ...state.keys import Space
from ...state.sessions import Session
from ..identity import Visitor
from ..links.granting import Grants


def row_of(
    grants: Grants,
    raw: RawRequest,
    visitor: Visitor,
    space: Space,
    kernel_id: str,
    *,
    page: str,
    tab: str | None = None,
) -> Session:
    """Return the row of a page that a visitor has just opened. The board gives it an id and a server."""
    user, identity = visitor.user, grants.whose(raw, visitor.key, space.way)
    return Session(
        id="",
        server="",
        identity=identity.text if identity else None,
        username=str(user.username or "") if user else "",
        kind=str(user.kind or "anonymous") if user else "anonymous",
        space=space.text,
        page=page,
        kernel_id=kernel_id,
        tab=None,
        since=time.time(),
        display_name=str(user.display_name or "") if user else "",
    )
