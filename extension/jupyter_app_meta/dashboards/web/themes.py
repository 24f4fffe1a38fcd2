"""Themes whose styles link to their own files below the base of each request."""

from __future__ import annotations

from typing import Any

from jupyter_server.utils import url_path_join
from jupyterlab_server.themes_handler import ThemesHandler

PATH = "voila/api/themes"


class Themes(ThemesHandler):
    """Sends a theme's files. ``hosted`` gives it the base of its request."""

    def initialize(self, **options: Any) -> None:  # type: ignore[override]  # it only adds to the options
        """Take the folders of themes, and the address of this mount's themes."""
        super().initialize(**options)
        self.themes_url = url_path_join(self.base_url, PATH)
