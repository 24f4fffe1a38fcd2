"""The settings with which an application finds its pages, and a provider the pages of its server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ....frame.pages import Pages
from ....providers import pages as of_providers
from . import errors

FOLDER = Path(__file__).parent.parent / "templates"
"""The folder of our templates."""


def pages(own: Sequence[str | Path] = ()) -> Pages:
    """Return our pages, with a deployer's ``own`` folders before ours."""
    return Pages.of(FOLDER, of_providers.FOLDER, own=own)


def settings(own: Sequence[str | Path]) -> dict[str, Any]:
    """Return the settings; ``own`` are the deployer's folders of templates."""
    made = pages(own)
    return {errors.PAGES: made, of_providers.SETTING: made.page}
