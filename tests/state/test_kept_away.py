"""State where the server keeps none, or cannot reach its store: pages and cells work, and state says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import serving

ASK = """
from jupyter_app_meta import app_meta, shared, visitor
for of in (visitor, shared):
    for call in (lambda: of.state.get("x", "default"), lambda: of.state.set("x", 1)):
        try:
            print(call())
        except Exception as error:
            print(type(error).__name__, end=" ")
print(app_meta().mode)
"""


@pytest.mark.parametrize(
    ("url", "told"),
    [("off", ""), ("redis://127.0.0.1:1/0", "Pages work without their state")],
)
def test_state_that_is_not_kept_is_an_error_and_never_a_default(tmp_path: Path, url: str, told: str) -> None:
    """Switched off, or a store that is away when the server starts: the server starts, and only state fails."""
    with serving(tmp_path, config=f"c.AppMetaExtension.state_url = {url!r}\n") as server:
        visitor = server.visitor()
        socket = visitor.connect(visitor.start_kernel())
        assert socket.run(ASK).text == "StateUnavailable " * 4 + "edit\n"
        assert told in server.log
