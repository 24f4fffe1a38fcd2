"""A session_id is a claim: it names one of the visitor's own connections and no other visitor's."""

from __future__ import annotations

from pathlib import Path

import pytest
import websocket
from harness import TOKEN, Server, Visitor, eventually


def leave_running(visitor: Visitor, kernel: str, session: str, text: str, gate: Path) -> None:
    """Start a cell that prints after its browser has gone, go, and wait until it has printed."""

    def state() -> tuple[int, str]:
        model = visitor.get(f"/api/kernels/{kernel}").json()
        return model["connections"], model["execution_state"]

    socket = visitor.connect(kernel, session)
    code = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.02)\nprint({text!r})"
    socket.send(socket.message("execute_request", {"code": code, "silent": False}))
    socket.until(lambda message: message["header"]["msg_type"] == "execute_input")
    socket.close()
    eventually(lambda: state() == (0, "busy"))
    gate.touch()
    eventually(lambda: state() == (0, "idle"))


def heard(visitor: Visitor, kernel: str, session: str) -> str:
    """Return what a new connection hears up to the end of its first cell, printed text only."""
    socket = visitor.connect(kernel, session)
    socket.run("1")
    printed = [message["content"] for message in socket.seen if message["header"]["msg_type"] == "stream"]
    return "".join(content["text"] for content in printed)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file for which the cell waits that is left running."""
    return tmp_path / "gate"


def test_newcomer_does_not_close_the_connection(alice: Visitor, bob: Visitor) -> None:
    """Bob presents the session_id of Alice's open connection: both work, each as themself."""
    kernel, session = alice.start_kernel(), "the-session-of-alice"
    hers = alice.connect(kernel, session)
    his = bob.connect(kernel, session)
    assert [hers.who()["user"]["username"], his.who()["user"]["username"]] == ["alice", "bob"]
    assert hers.who()["session"]["client_id"] != his.who()["session"]["client_id"]
    his.close()
    assert hers.who()["user"]["username"] == "alice"


def test_newcomer_does_not_receive_the_buffer(alice: Visitor, bob: Visitor, gate: Path) -> None:
    """Bob presents the session_id of Alice's broken connection: her buffered output stays hers."""
    kernel, session = alice.start_kernel(), "the-lost-session"
    leave_running(alice, kernel, session, "for alice only", gate)
    assert "for alice only" not in heard(bob, kernel, session)


def test_reconnect_gets_its_replay(alice: Visitor, gate: Path) -> None:
    """Alice comes back with her session_id: she receives what was buffered, and keeps her client_id."""
    kernel, session = alice.start_kernel(), "a-reconnecting-session"
    before = alice.connect(kernel, session)
    client_id = before.who()["session"]["client_id"]
    before.close()
    leave_running(alice, kernel, session, "welcome back", gate)
    assert "welcome back" in heard(alice, kernel, session)
    assert alice.connect(kernel, session).who()["session"]["client_id"] == client_id


def test_same_person_replaces_their_stale_connection(alice: Visitor) -> None:
    """The same person with the same session_id replaces their own stale connection, as jupyter_server does."""
    kernel = alice.start_kernel()
    stale = alice.connect(kernel, "twice")
    fresh = alice.connect(kernel, "twice")
    assert fresh.who()["user"]["username"] == "alice"
    with pytest.raises((ConnectionError, websocket.WebSocketConnectionClosedException)):
        stale.who()


def test_identity_is_taken_anew_at_a_reconnect(people: Server, alice: Visitor) -> None:
    """Trap: a reconnect by session id kept the first person's identity. Here the next person is seen."""
    kernel = alice.start_kernel()
    first = alice.connect(kernel, "one-browser")
    assert first.who()["user"]["username"] == "alice"
    first.close()
    alice.http.cookies.set("person", "dora")
    assert alice.connect(kernel, "one-browser").who()["user"]["username"] == "dora"


def test_scripts_with_the_token_are_one_person(server: Server, gate: Path) -> None:
    """Trap: under token auth each cookie-less request has a new random name. Their replay still works."""
    kernel = server.visitor().start_kernel()
    scripts = [server.visitor(token=False, headers={"Authorization": f"token {TOKEN}"}) for _ in range(2)]
    leave_running(scripts[0], kernel, "scripted", "for the script", gate)
    assert "for the script" in heard(scripts[1], kernel, "scripted")


def test_browser_does_not_take_a_scripts_buffer(server: Server, gate: Path) -> None:
    """A browser that holds the token too, but has a cookie of its own, is another identity."""
    visitor = server.visitor()
    kernel = visitor.start_kernel()
    script = server.visitor(token=False, headers={"Authorization": f"token {TOKEN}"})
    leave_running(script, kernel, "scripted", "for the script", gate)
    assert "for the script" not in heard(visitor, kernel, "scripted")


def test_clients_see_their_own_session_in_headers(alice: Visitor) -> None:
    """What a client sees of its session_id in server-made messages is what it presented."""
    kernel = alice.start_kernel()
    socket = alice.connect(kernel, "as-presented")
    socket.send(socket.message("execute_request", {"code": "import os; os._exit(1)", "silent": False}))
    restarting = socket.until(lambda message: message["content"].get("execution_state") == "restarting")[-1]
    assert restarting["header"]["session"] == "as-presented"
