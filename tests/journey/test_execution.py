"""Cells that the server runs for who asks over HTTP: jupyter_server_nbmodel beside jupyter-collaboration."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PEOPLE
from harness import WHO, Json, Server, Visitor, serving

TOGETHER = Path(sys.prefix).with_name(f"{Path(sys.prefix).name}-together") / "bin" / "python"
EXTENSIONS = (
    "c.ServerApp.jpserver_extensions = "
    "{name: True for name in ('jupyter_app_meta', 'jupyter_server_ydoc', 'jupyter_server_fileid', 'jupyter_server_nbmodel')}\n"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("together")
    with serving(home, config=PEOPLE + EXTENSIONS, token="", python=str(TOGETHER), debug=True) as server:
        yield server


def ask(visitor: Visitor, kernel_id: str, code: str) -> str:
    response = visitor.call("POST", f"/api/kernels/{kernel_id}/execute", {"code": code})
    assert response.status_code == 202, response.text
    return str(response.headers["Location"])


def answer(visitor: Visitor, location: str) -> str:
    deadline = time.monotonic() + 60
    while (response := visitor.get(location)).status_code == 202:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    outputs = json.loads(response.json()["outputs"])
    return "".join(output.get("text", output.get("evalue", "")) for output in outputs)


def who(visitor: Visitor, kernel_id: str) -> Json:
    found: Json = json.loads(answer(visitor, ask(visitor, kernel_id, WHO)))
    return found


def test_each_sees_themself(server: Server) -> None:
    alice, bob = (server.visitor(cookies={"person": name}) for name in ("alice", "bob"))
    kernel = alice.start_kernel()
    print(who(alice, kernel), who(bob, kernel))
    for visitor, name in [(alice, "alice"), (bob, "bob"), (bob, "bob"), (alice, "alice")]:
        assert who(visitor, kernel)["user"]["username"] == name
        assert visitor.connect(kernel).who()["user"]["username"] == name
