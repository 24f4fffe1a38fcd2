"""Dashboards in each form of a lifespan, in a real uvicorn: what is begun before them is left after their kernels."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from harness import Server
from stage import browse, move
from surroundings import FORMS, SEEN, lived

HOOKS = ("user", "user of a socket", "authorize", "validate_callback", "on_error")
"""The functions of a deployer's, but for ``meta``."""


def variables(server: Server) -> dict[str, str]:
    """Return which value of the lifespan's variable the start of a kernel sees, and each function of a deployer's."""
    page = browse(server.visitor(), "nb/page")
    of_page = re.search(r"meta {'stage': '(\w+)'} environment (\w+)", page.html)
    of_socket = re.search(r"{'stage': '(\w+)'}", move(page.connect(), page, 5))
    assert of_page and of_socket, page.html
    hooks = json.loads(page.visitor.get("absent").text)
    found = {hook: value for hook, (value,) in hooks.items()}  # it is the same each time
    return {"start": of_page[2], "meta": of_page[1], "meta of a socket": of_socket[1], **found}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_begun_before_the_dashboards_is_left_after_their_kernels(tmp_path: Path, form: str) -> None:
    """SIGTERM: sockets are closed with 1012, the kernels end, the warm one too, and then the context is left.

    Until then, the server's own work and each function of a deployer's see the lifespan's ContextVars, if they can.
    """
    found: dict[str, str] = {}

    def end(server: Server) -> None:
        found.update(variables(server))
        server.process.send_signal(signal.SIGTERM)

    events, code, status = lived(tmp_path, form, end)
    assert (events, code, status) == (["enter outside", "leave 0"], 1012, -signal.SIGTERM)
    assert found == {"start": "inside", **dict.fromkeys(("meta", "meta of a socket", *HOOKS), SEEN[form])}


@pytest.mark.parametrize(("form", "status"), [("within", -signal.SIGTERM), ("run", 1)])
def test_a_failing_group_ends_the_kernels_and_the_server(tmp_path: Path, form: str, status: int) -> None:
    """In the same order. The error is seen."""
    found = lived(tmp_path, form, lambda server: server.visitor().get("fail"))
    assert found == (["enter outside", "leave 0"], 1012, status)
    assert "ValueError: the group fails" in (tmp_path / "server.log").read_text()
