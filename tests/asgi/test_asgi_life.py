"""Dashboards in each form of a lifespan, in a real uvicorn: what is begun before them is left after their kernels."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from surroundings import FORMS, lived


@pytest.mark.parametrize("form", FORMS)
def test_what_is_begun_before_the_dashboards_is_left_after_their_kernels(tmp_path: Path, form: str) -> None:
    """SIGTERM: sockets are closed with 1012, the kernels end, the warm one too, and then the context is left."""
    events, code, status = lived(tmp_path, form, lambda server: server.process.send_signal(signal.SIGTERM))
    assert (events, code, status) == (["enter outside", "leave 0"], 1012, -signal.SIGTERM)


@pytest.mark.parametrize(("form", "status"), [("within", -signal.SIGTERM), ("run", 1)])
def test_a_failing_group_ends_the_kernels_and_the_server(tmp_path: Path, form: str, status: int) -> None:
    """In the same order. The error is seen."""
    found = lived(tmp_path, form, lambda server: server.visitor().get("fail"))
    assert found == (["enter outside", "leave 0"], 1012, status)
    assert "ValueError: the group fails" in (tmp_path / "server.log").read_text()
