"""State of notebooks whose kernels run behind a real kernel gateway, as JupyterLab's do with ``GatewayClient.url``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import NO_TLS, Server, Socket, Visitor, eventually, serving

from jupyter_app_meta.state import messages

PEOPLE = "c.ServerApp.identity_provider_class = 'providers.People'\n"
TOKEN = "the-gateway-token"
CANARY = "canary-5b20c7"
NAMES = "from jupyter_app_meta import app_meta, session, shared, visitor\n"
GRANT = "from jupyter_app_meta.kernel import context; print(context.seen().grant)"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A kernel gateway, which logs all that it can."""
    config, home = f"c.KernelGatewayApp.auth_token = {TOKEN!r}\n", tmp_path_factory.mktemp("behind")
    command = ("-m", "kernel_gateway")
    with serving(home, config=config, command=command, token="", enabled=False, debug=True) as behind:
        yield behind


@pytest.fixture(scope="module")
def server(gateway: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of notebooks in front of it, for several people."""
    front = (
        f"c.GatewayClient.url = {gateway.url.rstrip('/')!r}\nc.GatewayClient.auth_token = {TOKEN!r}\n"
        "c.GatewayClient.auth_scheme = 'token'\n"
    )
    with serving(tmp_path_factory.mktemp("front"), config=PEOPLE + front, token="", debug=True) as server:
        yield server


@pytest.fixture(scope="module")
def alice(server: Server) -> Visitor:
    """Alice's browser."""
    return server.visitor(cookies={"person": "alice"})


@pytest.fixture(scope="module")
def kernel(alice: Visitor) -> str:
    """A kernel that everybody may use."""
    return alice.start_kernel()


@pytest.fixture
def hers(alice: Visitor, kernel: str) -> Iterator[Socket]:
    """Alice's socket to the kernel."""
    yield from _ready(alice, kernel)


@pytest.fixture
def his(server: Server, kernel: str) -> Iterator[Socket]:
    """Bob's socket to the same kernel."""
    yield from _ready(server.visitor(cookies={"person": "bob"}), kernel)


def _ready(visitor: Visitor, kernel: str, **options: Any) -> Iterator[Socket]:
    """Wait until output arrives: a gateway's socket is open before its subscriptions are."""
    socket = visitor.connect(kernel, format="text", **options)
    eventually(lambda: socket.run(f"{NAMES}print('ready')").text == "ready\n")
    yield socket
    socket.close()


def connections(gateway: Server, kernel: str) -> int:
    """Return how many clients the gateway sees at a kernel."""
    headers = {"Authorization": f"token {TOKEN}"}
    model = httpx.get(f"{gateway.url}api/kernels/{kernel}", headers=headers, verify=NO_TLS).json()
    return int(model["connections"])


def test_people_have_their_state_there(alice: Visitor, kernel: str, hers: Socket, his: Socket) -> None:
    """In one kernel each has their own, and what one stores the other's function hears of; a restart costs nothing."""
    assert hers.run("print(visitor.state.kept, visitor.state.add('n'), shared.state.add('n'))").text == "server 1 1\n"
    assert his.run("print(visitor.state.add('n'), shared.state.add('n'))").text == "1 2\n"
    watch = "heard = []\n@shared.state.on_change\ndef note(change): heard.append((app_meta().user.username, change.by))"
    assert not hers.run(watch).text
    his.run("shared.state['told'] = 1")
    eventually(lambda: hers.run("print(heard)").text == "[('alice', 'bob')]\n")
    alice.call("POST", f"/api/kernels/{kernel}/restart").raise_for_status()
    (again,) = [*_first(_ready(alice, kernel))]
    assert again.run("print(*(visitor.state.add('n') for _ in range(3)), shared.state['n'])").text == "2 3 4 2\n"


def _first(sockets: Iterator[Socket]) -> Iterator[Socket]:
    yield next(sockets)


def test_nothing_of_it_is_in_a_log(gateway: Server, server: Server, hers: Socket, his: Socket) -> None:
    """Neither the gateway's nor the server's, although both log all that they can: no value, stamp or grant."""
    quiet = his.run(f"shared.state['secret'] = '-'.join(({CANARY[:6]!r}, {CANARY[7:]!r}))")
    assert hers.run("print(len(shared.state['secret']))").text == f"{len(CANARY)}\n"
    grant = hers.run(GRANT).text.strip()
    assert len(grant) > 100
    for text in (gateway.log, server.log, json.dumps([*quiet.messages, *hers.seen[:-3], *his.seen], default=str)):
        assert CANARY not in text and messages.REQUEST not in text and TOKEN not in text
    assert grant[:60] not in gateway.log + server.log


@pytest.mark.parametrize("kind", ["request", "reply", "event"])
def test_a_browser_cannot_speak_for_the_server(server: Server, hers: Socket, his: Socket, kind: str) -> None:
    """Its messages of ours are dropped, as in front of a kernel here."""
    before = server.log.count("of a type that only the server sends")
    content: dict[str, object] = {"id": "1" * 32, "ok": {}, "scope": "", "keys": None, "by": None}
    for channel in ("control", "shell"):
        his.send(his.message(f"app_meta_state_{kind}", content, {"app_meta": {"v": "1.0"}}), channel)
    assert his.run("print(1)").text == "1\n"
    assert server.log.count("of a type that only the server sends") == before + 2


ASKS = """import threading
asking = threading.Event()
def ask_on():
    while not asking.wait(0.01): visitor.state.add("asked")
thread = threading.Thread(target=ask_on)
thread.start()"""
"""A cell whose thread asks for its visitor's state until it is told to end."""


def test_a_browser_cannot_take_the_place_of_the_server(server: Server, kernel: str, hers: Socket) -> None:
    """Bob connects under the name of the server's link: none of Alice's many questions comes to him."""
    name = messages.link_of(hers.run(GRANT).text.strip())[0]
    assert not hers.run(ASKS).text
    (forger,) = [*_first(_ready(server.visitor(cookies={"person": "bob"}), kernel, session_id=name))]
    for number in range(3):
        assert hers.run(f"visitor.state['x'] = {number}; print(visitor.state['x'])").text == f"{number}\n"
        assert forger.run("print('his')").text == "his\n"
    assert hers.run("asking.set(); thread.join(); print('ended')").text == "ended\n"
    assert "app_meta_state" not in str([message["header"] for message in forger.seen])
    forger.close()


def test_a_browser_cannot_take_over_anothers_connection(server: Server, kernel: str, hers: Socket) -> None:
    """Bob presents Alice's session_id: her connection stays, and what the kernel answers her does not come to him."""
    bob = server.visitor(cookies={"person": "bob"})
    (forger,) = [*_first(_ready(bob, kernel, session_id=hers.session_id))]
    sent = hers.message("execute_request", {"code": "print('her' + 's')", "silent": False})
    assert hers.collect(hers.send(sent)).text == "hers\n"
    assert forger.run("print('his')").text == "his\n"
    replies = [message for message in forger.seen if message["header"]["msg_type"] == "execute_reply"]
    assert sent["header"]["msg_id"] not in [message["parent_header"]["msg_id"] for message in replies]
    forger.close()


def test_a_kernel_without_an_editor_is_not_held_at_the_gateway(gateway: Server, alice: Visitor) -> None:
    """The gateway sees no client, so that it may cull the kernel; the next editor finds its state."""
    kernel = alice.start_kernel()
    for number in (1, 2):
        (socket,) = [*_first(_ready(alice, kernel))]
        assert socket.run("print(session.state.add('n'))").text == f"{number}\n"
        assert connections(gateway, kernel) == 2
        socket.close()
        eventually(lambda: connections(gateway, kernel) == 0)


LATE = """import pathlib, time
place = pathlib.Path({place!r})
(place / "begun").touch()
while not (place / "go").exists(): time.sleep(0.05)
try:
    session.state["late"] = 1
    found = "stored"
except Exception as error:
    found = repr(error)
(place / "found.part").write_text(found)
(place / "found.part").rename(place / "found")"""
"""A cell that uses state when the test says so."""


def test_a_cell_that_runs_on_keeps_its_state(gateway: Server, alice: Visitor, tmp_path: Path) -> None:
    """The last editor leaves while the cell runs. When the cell has ended, the gateway sees no client."""
    kernel = alice.start_kernel()
    (socket,) = [*_first(_ready(alice, kernel))]
    content = {"code": LATE.format(place=str(tmp_path)), "silent": False}
    socket.send(socket.message("execute_request", content))
    eventually((tmp_path / "begun").exists)
    socket.close()
    eventually(lambda: connections(gateway, kernel) < 2)
    (tmp_path / "go").touch()
    eventually((tmp_path / "found").exists)
    assert (tmp_path / "found").read_text() == "stored"
    eventually(lambda: connections(gateway, kernel) == 0)
