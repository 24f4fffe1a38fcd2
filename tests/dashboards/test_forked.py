"""Kernels that are forked for their visitors: sooner, and otherwise as if each had run the whole notebook itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness import Server
from stage import SLIDER, WHO, Opened, eventually, move, staging, visit, write

AHEAD = """import os, time
print("ran at", time.time(), "in", os.getpid())"""

NOTEBOOKS = {
    "early": (AHEAD, "print('before')\n" + WHO + "\nprint('own', os.getpid())", SLIDER, "print('after')"),
}

APP = f"""
app = create_app(identity_provider=People, fork=True)
for name in {list(NOTEBOOKS)}:
    app = app.with_app(path=f"/{{name}}", root=f"{{name}}/page.ipynb")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that forks the kernels of notebooks of many kinds."""
    home = tmp_path_factory.mktemp("forked")
    for name, cells in NOTEBOOKS.items():
        write(home / "root" / name / "page.ipynb", *cells)
    with staging(home, APP) as server:
        server and eventually(lambda: server.visitor().http.get("healthz?ready").status_code == 200, timeout=60)
        yield server


def start_of(server: Server, opened: Opened) -> str:
    """Return how the kernel of the last page began, from the access log."""
    return server.log.split(" page 200 ")[-1].split("\n")[0].rsplit(" ", 1)[-1]


def test_visitors_get_forks(server: Server) -> None:
    """Each sees itself."""
    alice, bob = visit(server, "alice", "/early", region="emea"), visit(server, "bob", "/early")
    assert "<alice|{'region': 'emea'}|{}|run>" in alice.html and "<bob|{}|{}|run>" in bob.html
    one, other = alice.connect(), bob.connect()
    assert move(one, alice, 3).startswith("alice|{'region': 'emea'}")
    assert move(other, bob, 4).startswith("bob|{}")
    for opened, socket in ((alice, one), (bob, other)):
        socket.close()
        opened.close()
