"""What a visitor gets of a page whose beginning was sent, if it cannot go on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stage import served, write

from jupyter_app_meta.dashboards import create_app
from jupyter_app_meta.dashboards.dashboard import Dashboard, Greet
from jupyter_app_meta.dashboards.visits import Visit

pytestmark = pytest.mark.usefixtures("unpatched")

BEGINNING = "<html><head></head><body>the beginning"


@pytest.mark.parametrize("is_ending", [False, True])
async def test_a_page_that_has_begun_ends_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_ending: bool
) -> None:
    """And not with an error page in its midst, also if the server ends meanwhile. That is not reported."""
    closed: list[int] = []

    async def open_page(dashboard: Dashboard, visit: Visit, greet: Greet) -> None:
        async def html(beat: float) -> AsyncIterator[str]:
            yield BEGINNING

        async def close() -> None:
            closed.append(1)

        run: Any = SimpleNamespace(kernel=None, html=html, close=close)
        visit.start = "warm"
        await greet(run)
        dashboard._services.traffic.closed = is_ending
        raise RuntimeError("its kernel has ended")

    monkeypatch.setattr(Dashboard, "open", open_page)
    app = create_app().with_app(path="/page", root=write(tmp_path / "page.ipynb", "1"))
    async with served(app) as client:
        page = (await client.get("page")).text
    assert "the beginning" in page
    assert page.count("<html") == 1
    assert page.count("This page could not be completed.") == 1
    assert ("(E-" in page) is not is_ending
    assert closed == [1]
