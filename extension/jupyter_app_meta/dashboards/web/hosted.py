"""Routes of jupyter_server, JupyterLab and Voila on a dashboard server. They answer an unreadable request with 4xx.

They look for files and parse URLs that visitors write. If that fails with a ValueError, it is the visitor's mistake. So
the answer is 404 for a file and 400 for anything else, instead of 500 with a traceback.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from jupyter_server.utils import url_path_join
from jupyterlab_server.themes_handler import ThemesHandler
from tornado import web

from .around import errors
from .mounted import Mounted

THEMES = "voila/api/themes"
HOSTED = ("jupyter_server", "jupyterlab_server", "voila", "tornado")
MISTAKES = {404: (ValueError, AssertionError, LookupError, IsADirectoryError, NotADirectoryError), 400: (ValueError,)}


class Themes(ThemesHandler):
    """Sends a theme's files. Their styles link to one another below the base of the request."""

    def initialize(self, **options: Any) -> None:  # type: ignore[override]  # it only adds to the options
        """Take the folders of themes, and the address of this mount's themes."""
        super().initialize(**options)
        self.themes_url = url_path_join(self.base_url, THEMES)


def tolerant(routes: Sequence[Any]) -> list[Any]:
    """Return the routes with handlers that answer 4xx to unreadable requests. A deployer's own handlers stay."""
    return [(route[0], _tolerant(route[1]), *route[2:]) for route in routes]


@cache
def _tolerant(handler: type[web.RequestHandler]) -> type[web.RequestHandler]:
    if handler is not Themes and handler.__module__.partition(".")[0] not in HOSTED:
        return handler
    status = 404 if issubclass(handler, web.StaticFileHandler) else 400
    base: Any = handler

    class Tolerant(Mounted, base):  # type: ignore[misc]  # the class is made at run time
        def set_default_headers(self) -> None:
            super().set_default_headers()
            self.set_header("X-Content-Type-Options", "nosniff")

        def _handle_request_exception(self, e: BaseException) -> None:
            try:
                if isinstance(e, MISTAKES[status]):
                    raise web.HTTPError(status) from e
            except web.HTTPError as refused:  # tornado also looks at the exception that is being handled
                super()._handle_request_exception(refused)
            else:
                super()._handle_request_exception(e)

        def write_error(self, status_code: int, **kwargs: Any) -> None:
            """Say nothing but the status. jupyter_server's own page fails if it does not know the user."""
            self.set_header("Content-Type", "text/html; charset=UTF-8")
            self.finish(errors.page(self, status_code))

    Tolerant.__name__ = Tolerant.__qualname__ = handler.__name__
    return Tolerant
