"""The pages of a provider: the login, and messages. A server may have them drawn in its own look.

``settings["app_meta_pages"]`` may be a function that takes the name of a template and its values, and returns HTML.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader
from jupyter_server.base.handlers import JupyterHandler

_templates = Environment(loader=PackageLoader(str(__package__), "templates"), autoescape=True)

SETTING = "app_meta_pages"


def plain(name: str, **values: Any) -> str:
    """Return one of our own pages."""
    return _templates.get_template(name).render(**values)


def show(handler: JupyterHandler, name: str, status: int = 200, **values: Any) -> None:
    """Answer with a page, which no cache keeps."""
    render: Callable[..., str] = handler.settings.get(SETTING, plain)
    handler.set_status(status)
    handler.set_header("Content-Type", "text/html; charset=UTF-8")
    handler.set_header("Cache-Control", "no-store")
    handler.set_header("Referrer-Policy", "same-origin")
    handler.finish(render(name, base_url=handler.base_url, **values))
