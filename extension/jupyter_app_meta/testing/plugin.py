"""The pytest plugin: the fixture ``dashboard``. pytest loads it by itself where jupyter-app-meta is installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from os import PathLike

    from .page import Page


class Dashboard(Protocol):
    """What the fixture ``dashboard`` is: ``jupyter_app_meta.testing.dashboard``."""

    def __call__(self, path: str | PathLike[str], **options: Any) -> Page:
        """Run a notebook for a made-up visitor."""


@pytest.fixture
def dashboard(request: pytest.FixtureRequest) -> Iterator[Dashboard]:
    """Run notebooks for made-up visitors; the kernels end with the test.

    A relative path is looked for beside the test's file first, then in the current folder.
    """
    from . import dashboard as run

    with ExitStack() as pages:

        def opened(path: str | PathLike[str], **options: Any) -> Page:
            beside = request.path.parent / Path(path)
            return pages.enter_context(run(beside if beside.exists() else path, **options))

        yield opened
