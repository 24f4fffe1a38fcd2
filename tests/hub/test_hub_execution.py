"""Cells that a user's server runs over HTTP, on a real Hub: each sees who asked, however the server is run."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from harness import WHO, Json

from hub import Guest, Hub, hub_running

TOGETHER = Path(sys.prefix).with_name(f"{Path(sys.prefix).name}-together") / "bin" / "python"
CONFIG = "c.ServerApp.jpserver_extensions['jupyter_server_nbmodel'] = True\n"
HUB_CONFIG = f"c.Spawner.cmd = [{str(TOGETHER)!r}, '-m', 'jupyterhub.singleuser']\n"


@pytest.fixture(scope="module", params=["extension", "mixin"])
def mode(request: pytest.FixtureRequest) -> str:
    """How users' servers are run: by JupyterHub's server extension, or by its older subclass."""
    return str(request.param)


@pytest.fixture(scope="module")
def hub(mode: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A Hub on which alice's server runs cells for each visitor who asks, and bob has a share."""
    home = tmp_path_factory.mktemp("hub")
    extension = mode == "extension"
    with hub_running(home, config=CONFIG, hub_config=HUB_CONFIG, extension=extension) as hub:
        hub.start_server("alice")
        hub.share("alice", "bob")
        yield hub


def post(guest: Guest, kernel_id: str) -> httpx.Response:
    """Ask for a cell."""
    return guest.call("POST", f"api/kernels/{kernel_id}/execute", {"code": WHO}, follow_redirects=False)


def ask(guest: Guest, kernel_id: str) -> str:
    """Have the server run a cell, and return where its answer will be."""
    response = post(guest, kernel_id)
    assert response.status_code == 202, response.text
    return f"api/kernels/{kernel_id}/requests/{response.json()['request_id']}"


def seen(guest: Guest, location: str) -> Json:
    """Return what a cell saw."""
    deadline = time.monotonic() + 60
    while (response := guest.get(location)).status_code == 202:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found: Json = json.loads("".join(output["text"] for output in json.loads(response.json()["outputs"])))
    return found


def test_cells_see_who_asked(hub: Hub, mode: str) -> None:
    """Owner, guest and services ask for cells of one kernel that are all queued: each sees themself."""
    people = {
        ("alice", "user", True): hub.browser("alice").visit("alice"),
        ("bob", "user", False): hub.browser("bob").visit("alice"),
    }
    services = {(name, "service", False): hub.script(hub.tokens[name], "alice") for name in ("robot", "alice")}
    kernel_id = people["alice", "user", True].start_kernel()
    if mode == "extension":
        people |= services
    else:  # with or without us: JupyterHub's older mode takes no POST of a token's holder
        assert {post(guest, kernel_id).status_code for guest in services.values()} == {403}
    asked = [(who, guest, ask(guest, kernel_id)) for _ in range(3) for who, guest in people.items()]
    for who, guest, location in asked:
        found = seen(guest, location)
        user = found["user"]
        assert (user["username"], user["kind"], user["is_owner"], user["assurance"]) == (*who, "hub")
        assert not {name for name in found["cookies"] if "jupyterhub" in name or "_xsrf" in name}
        assert hub.canary not in json.dumps(found)


def test_nobody_asks_without_the_hub(hub: Hub) -> None:
    """A stranger, a token that the Hub does not know, and carol, who has no share, are refused."""
    kernel_id = hub.browser("alice").visit("alice").start_kernel()
    for guest in (hub.script("made-up", "alice"), hub.browser().visit("alice"), hub.browser("carol").visit("alice")):
        assert post(guest, kernel_id).status_code == 403
