"""Error pages: what happened, and what the visitor can do. They say nothing of the request.

A deployer's own ``403.html`` comes before the ``error.html`` of all statuses.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from ....frame.pages import Pages
from ..mounted import Mounted

PAGES = "dashboard_pages"
"""The setting of an application that has its pages."""

ADVICE = {
    401: ("Please log in", "You need to be logged in to see this page."),
    403: ("You may not see this page", "Ask the people who run it for access, or log in with another account."),
    404: ("There is no such page", "The address may be misspelt, or the page has been moved."),
    429: ("Too many pages are open", "Close some of your pages, then try again."),
    500: ("Something went wrong", "Please try again later."),
    503: ("There is no room right now", "Many people are looking. Please try again in a moment."),
}
"""What an error page says to a visitor: a heading and a sentence. Other statuses have their own phrase."""

FOREIGN: dict[str, str | bool] = {
    "has_no_start": True,  # under this name, the start page is refused as well
    "home": "",
    "heading": "This server is not known by that name",
    "advice": "Open it at localhost instead. The people who run it can list the name in the option local_hostnames.",
}
"""What an error page says if the Host of a request is not one of the server's."""

PASSING = frozenset({429, 500, 502, 503, 504})
"""The statuses after which the same request may succeed."""


def page(handler: Mounted, status: int, error_id: str = "", **who: Any) -> str:
    """Return the error page of a status; ``who`` is what the header says of the visitor."""
    pages: Pages = handler.settings[PAGES]
    return drawn(pages, status, handler.base_url, error_id=error_id, **who)


def drawn(pages: Pages, status: int, base_url: str, **values: Any) -> str:
    """Return the error page of a status, with these values."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Error"
    heading, advice = ADVICE.get(status, (phrase, ""))
    told = {"status": status, "phrase": phrase, "heading": heading, "advice": advice, "base_url": base_url, **values}
    return pages.page(f"{status}.html", "error.html", may_pass=status in PASSING, **told)
