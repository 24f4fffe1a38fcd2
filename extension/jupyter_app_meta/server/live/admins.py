"""Who may see and end the pages of others. In doubt, the visitor may not."""

from __future__ import annotations

from collections.abc import Collection

from ...model import User

_VOUCHED = ("hub", "provider")


def is_admin(user: User | None, admins: Collection[str], *, owner_may: bool) -> bool:
    """Whether a user is an administrator: the Hub or the identity provider says so, or ``admins`` names the user.

    ``owner_may`` is for a Jupyter server, whose owner has its token. Visitors of dashboards may share a token.
    """
    if user is None or user["is_authenticated"] is not True:
        return False
    if owner_may and user["is_owner"] is True:
        return True
    if user["assurance"] not in _VOUCHED or user["kind"] != "user":
        return False
    return user["admin"] is True or user["username"] in admins
