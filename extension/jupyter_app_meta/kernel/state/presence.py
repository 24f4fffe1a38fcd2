"""Who is looking, as authors see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ...errors import StateError
from ...state.operations import Pages, Viewers
from .asked import Asked

ODD = "The server's answer cannot be read: install the same release of jupyter-app-meta for both halves."


@dataclass(frozen=True, slots=True)
class PageInfo:
    """One open page of the running code's visitor on this dashboard."""

    page: str  #: the path that the visitor looks at
    since: datetime  #: when it was opened, in UTC
    kernel_id: str  #: that of the running code's own page equals ``session.kernel_id``


@dataclass(frozen=True, slots=True)
class Viewer:
    """A person who has this dashboard open."""

    display_name: str  #: as in ``User``; visitors without a login have the name that the server gave them
    since: datetime  #: when the first page that is still open was opened, in UTC
    pages: int  #: how many pages are open


def own_pages() -> tuple[PageInfo, ...]:
    """Return the visitor's open pages of this dashboard, those that were opened first in front."""
    return tuple(PageInfo(str(page), _moment(since), str(kernel)) for page, since, kernel in _rows(Pages(), "visitor"))


def viewers() -> tuple[Viewer, ...]:
    """Return the people who look at this dashboard, those that came first in front."""
    return tuple(Viewer(str(name), _moment(since), int(pages)) for name, since, pages in _rows(Viewers(), "shared"))


def _rows(operation: Pages | Viewers, audience: str) -> list[list[Any]]:
    rows = Asked(audience)(operation)
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == 3 for row in rows):
        raise StateError(ODD)
    return rows


def _moment(since: float) -> datetime:
    return datetime.fromtimestamp(since, UTC)
