"""What code asks about the visitor's page, and who answers it.

    request = {…, "op": "browser"}

The kernel that asks names the page: each dashboard's page has a kernel of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from ..browser import Browser
from ..errors import NoPage

NO_PAGE = (
    "There is no dashboard's page here. Pages are what `jupyter app-meta serve`, create_app() and create_asgi_app() "
    "show. In an editor, guard the call with `if app_meta().mode == 'run':`; in tests use fake_request()."
)


ERRORS = (NoPage,)
"""The errors that an answer may name."""


@dataclass(frozen=True, slots=True)
class AskBrowser:
    """What the page's script says of the visitor's browser. Answer: the fields of ``Browser``."""


PageOperation: TypeAlias = AskBrowser
Reader: TypeAlias = tuple[tuple[str, ...], Callable[[dict[str, Any]], PageOperation]]

READERS: Mapping[str, Reader] = {"browser": ((), lambda fields: AskBrowser())}


def written(operation: PageOperation) -> dict[str, Any]:
    """Return the fields of a request that are the operation's own."""
    return {"op": "browser"}


class Desk(Protocol):
    """Answers what kernels ask about their pages, from any thread."""

    def browser(self, kernel_id: str) -> Browser:
        """Return what is known of the browser that shows a kernel's page; raises NoPage."""


class NoDesk:
    """The desk of a server that shows no pages."""

    def browser(self, kernel_id: str) -> Browser:
        """Raise NoPage."""
        raise NoPage(NO_PAGE)


def answered(desk: Desk, kernel_id: str, operation: PageOperation) -> Any:
    """Do what a kernel asks, and return the answer as JSON; raises PageError."""
    return desk.browser(kernel_id).plain
