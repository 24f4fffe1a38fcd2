"""Whose request a cell sees on a real server, from the very first message, and when there is no visitor."""

from __future__ import annotations

import json
from pathlib import Path

from harness import Server, Visitor, serving

from conftest import PEOPLE


def test_first_message_already_has_its_request(alice: Visitor) -> None:
    """Trap: the request was set after the start hook ran. The first message of a new kernel has it."""
    assert alice.connect(alice.start_kernel()).who()["user"]["username"] == "alice"


def test_socket_has_the_user_that_the_page_has(server: Server) -> None:
    """Trap: users were None on WebSockets once deployed. The socket's user is the one that HTTP calls have."""
    visitor = server.visitor()
    me = visitor.get("/api/me").json()["identity"]["username"]
    assert visitor.connect(visitor.start_kernel()).who()["user"]["username"] == me


def test_logged_out_visitor_does_not_keep_the_last_user(tmp_path: Path) -> None:
    """Trap: ``if user: state.set(user)``. When the next message has no user, the cell sees None at once."""
    config = "c.AppMetaExtension.user_header = 'X-Forwarded-User'\nc.AppMetaExtension.trusted_proxies = ['127.0.0.1']\n"
    with serving(tmp_path, config=PEOPLE + config, token="") as server:
        known = server.visitor(cookies={"person": "x"}, headers={"X-Forwarded-User": "alice"})
        nobody = server.visitor(cookies={"person": "x"})
        kernel = known.start_kernel()
        sockets = [known.connect(kernel), nobody.connect(kernel), known.connect(kernel)]
        users = [socket.who()["user"] for socket in sockets]
        assert [user and user["username"] for user in users] == ["alice", None, "alice"]


def test_environment_says_nothing_of_the_visitor(tmp_path: Path) -> None:
    """Trap: JUPYTERHUB_USER read as the visitor, and facts carried by the environment. Here it carries nothing."""
    with serving(tmp_path, config=PEOPLE, token="", env={"JUPYTERHUB_USER": "owner"}) as server:
        visitor = server.visitor(cookies={"person": "alice-in-particular"})
        socket = visitor.connect(visitor.start_kernel())
        user = socket.who()["user"]
        assert (user["username"], user["is_owner"]) == ("alice-in-particular", None)
        environment = json.loads(socket.run("import json, os; print(json.dumps(dict(os.environ)))").text)
        assert not any("alice-in-particular" in value for value in environment.values())
        assert "KERNEL_APP_META_KEY" not in environment


def test_nothing_that_a_browser_receives_has_a_stamp(alice: Visitor, bob: Visitor) -> None:
    """Trap: request facts travelled through the browser, where they were forged. Ours never reach one."""
    kernel = alice.start_kernel()
    hers, his = alice.connect(kernel, format="text"), bob.connect(kernel, format="v1")
    hers.who()
    his.run("x = 1")
    hers.run("1/0")
    for socket in (hers, his):
        texts = [json.dumps({**message, "buffers": []}) for message in socket.seen]
        assert not any('"mac"' in text or '\\"payload\\"' in text for text in texts)
