"""``UserBadge()``: a widget that shows who the visitor is, for pages without the frame and for notebooks.

It needs anywidget, which is imported when the first badge is made.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ...errors import RequirementMissing
from ...model import AppMeta
from ..context import app_meta

MISSING = "UserBadge() needs anywidget in the kernel's environment: pip install 'jupyter-app-meta[badge]'"


def UserBadge() -> Any:  # noqa: N802  # authors use it like the widgets that are classes
    """Return a widget with the name and initials of the running code's visitor, and a link to log in or out.

    It shows the visitor of the code that makes it, as long as it exists. Raises RequirementMissing without anywidget.
    """
    return _kind()(**shown(app_meta()))


def shown(meta: AppMeta) -> dict[str, Any]:
    """Return what a badge says of a visitor; of a visitor who is not logged in, only where to log in."""
    user = meta.user
    if user is None or user["is_authenticated"] is not True:
        return {"name": "", "initials": "", "color": "", "groups": [], "url": meta.login_url or ""}
    name = str(user["display_name"] or user["name"] or user["username"] or "")
    return {
        "name": name,
        "initials": str(user["initials"] or initials(name)),
        "color": str(user["color"] or ""),
        "groups": [str(group) for group in user["groups"] or ()],
        "url": meta.logout_url or "",
    }


def initials(name: str) -> str:
    """Return at most two letters that stand for a name."""
    words = name.split()
    return "".join(word[0] for word in words[:1] + words[1:][-1:]).upper()


@cache
def _kind() -> Any:
    """Return the class of badges."""
    try:
        from anywidget import AnyWidget
    except ImportError as error:
        raise RequirementMissing(MISSING) from error
    from importlib.resources import files

    from traitlets import List, Unicode

    here = files(__package__)

    class Badge(AnyWidget):  # type: ignore[misc]  # mypy does not look at anywidget, which may be missing
        """The widget. Its traits are texts, which its script never reads as HTML."""

        _esm = (here / "badge.js").read_text("utf-8")
        _css = (here / "badge.css").read_text("utf-8")
        name, initials, color, url = (Unicode().tag(sync=True) for _ in range(4))
        groups = List(Unicode()).tag(sync=True)

    return Badge
