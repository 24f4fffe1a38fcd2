"""The settings with which an application finds its pages, and providers the pages of their server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader
from jupyter_server import DEFAULT_TEMPLATE_PATH_LIST

from .... import frame
from ....frame.pages import Pages
from ....providers import pages as of_providers
from ....server.live import page as of_live
from . import errors

FOLDER = Path(__file__).parent.parent / "templates"
"""The folder of our templates."""


def pages(own: Sequence[str | Path] = ()) -> Pages:
    """Return our pages, with a deployer's ``own`` folders before ours."""
    return Pages.of(FOLDER, of_live.FOLDER, of_providers.FOLDER, own=own)


def settings(own: Sequence[str | Path]) -> dict[str, Any]:
    """Return the settings; ``own`` are the deployer's folders of templates."""
    made = pages(own)
    return {errors.PAGES: made, of_providers.SETTING: made.page}


def server_templates(own: Sequence[str | Path]) -> Environment:
    """Return the templates of jupyter_server's own routes: the login in our look, the others as they are.

    ``own`` are the deployer's folders of templates. jupyter_server's pages extend its own ``page.html``, so that comes
    before ours.
    """
    ours = FileSystemLoader([FOLDER / "jupyter", frame.FOLDER])
    login = FileSystemLoader(FOLDER / "jupyter")
    prefixed = PrefixLoader({frame.NAME: ours})
    loader = ChoiceLoader(
        [FileSystemLoader([*own]), login, FileSystemLoader(DEFAULT_TEMPLATE_PATH_LIST), prefixed, ours]
    )
    environment = Environment(loader=loader, extensions=["jinja2.ext.i18n"], autoescape=True)
    environment.install_null_translations(newstyle=False)  # type: ignore[attr-defined]  # added by the extension
    return environment
