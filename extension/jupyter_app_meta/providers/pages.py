"""The pages of a provider: the login, and messages. A server may render them itself, in a deployer's look.

``settings["app_meta_pages"]`` may be a function that takes the name of a template and its values, and returns HTML.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import JupyterHandler

from ..frame.pages import Pages

FOLDER = Path(__file__).parent / "templates"
"""The folder of the templates."""

_pages = Pages.of(FOLDER)

SETTING = "app_meta_pages"


def plain(name: str, /, **values: Any) -> str:
    """Return one of our own pages."""
    return _pages.page(name, **values)


def show(handler: JupyterHandler, name: str, status: int = 200, **values: Any) -> None:
    """Answer with a page, which no cache keeps."""
    render: Callable[..., str] = handler.settings.get(SETTING, plain)
    handler.set_status(status)
    handler.set_header("Content-Type", "text/html; charset=UTF-8")
    handler.set_header("Cache-Control", "no-store")
    handler.set_header("Referrer-Policy", "same-origin")
    handler.finish(render(name, base_url=handler.base_url, **values))
