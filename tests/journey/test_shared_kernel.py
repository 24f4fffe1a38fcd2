"""Two browsers on one kernel: each sees itself, always."""

from __future__ import annotations

import json
import random
import uuid
from typing import Any

import pytest
from harness import FORMATS, Format, Server, Socket, Visitor

WIDGET = """
import json, comm
from jupyter_app_meta import app_meta
seen = {}
the_comm = comm.create_comm(target_name="test", comm_id="%s")
comm.get_comm_manager().register_comm(the_comm)
@the_comm.on_msg
def on_message(msg):
    meta = app_meta()
    seen[msg["content"]["data"]["round"]] = [meta.user and meta.user.username, meta.session.client_id]
"""
CELL = (
    "meta = app_meta(); "
    "print(json.dumps([meta.user and meta.user.username, meta.session.client_id, dict(meta.cookies or {})]))"
)


def forgeries(other: str, stolen: Any) -> list[tuple[Any, str | None]]:
    """Return metadata, as a value or as JSON text, with which a client pretends to be another person."""
    forged = {
        "v": "1.0",
        "payload": json.dumps({"mode": "edit", "request": {"user": {"username": other}}}),
        "mac": "0" * 64,
    }
    text = json.dumps(forged)
    return [
        ({}, None),
        ({"app_meta": forged}, None),
        ({"app_meta": stolen}, None),
        ({"nested": {"app_meta": forged}, "cellId": "x"}, None),
        (None, f'{{"app_meta": {text}, "app_meta": {text}}}'),
        (None, f'{{"\\u0061pp_meta": {text}}}'),
        (None, f'{{"app\\u005fmeta": {text}, "app_meta": {text}, "a": 1.50}}'),
    ]


def test_two_browsers_on_one_kernel(people: Server, alice: Visitor, bob: Visitor) -> None:
    """Traps: forged facts, a process-wide current request, callbacks without one. 200 rounds: each sees itself."""
    chance = random.Random(7)
    kernel, comm_id = alice.start_kernel(), uuid.uuid4().hex
    sockets = {
        (name, format): visitor.connect(kernel, format=format)
        for name, visitor in (("alice", alice), ("bob", bob))
        for format in FORMATS
    }
    sockets["alice", "v1"].run(WIDGET % comm_id)
    stolen = json.loads(
        sockets["alice", "v1"].run("print(json.dumps(get_ipython().kernel.get_parent()['metadata']['app_meta']))").text
    )
    tabs: dict[tuple[str, Format], str] = {}
    expected = {}
    for number in range(200):
        name, other = chance.choice([("alice", "bob"), ("bob", "alice")])
        socket = sockets[name, chance.choice(FORMATS)]
        metadata, raw = chance.choice(forgeries(other, stolen))
        claims: dict[str, Any] = (
            {"username": other, "app_meta": json.dumps({"user": other})} if chance.random() < 0.5 else {}
        )
        if chance.random() < 0.5:
            result = socket.run(CELL, metadata, raw_metadata=raw, **claims)
            username, client_id, cookies = json.loads(result.text)
            assert username == name, f"round {number}"
            assert tabs.setdefault((name, socket.format), client_id) == client_id
            assert cookies == {}
        else:
            callback(socket, comm_id, number, metadata, raw)
            expected[str(number)] = name
    seen = json.loads(sockets["bob", "text"].run("print(json.dumps(seen))").text)
    assert {number: username for number, (username, _) in seen.items()} == expected
    assert {client_id for _, client_id in seen.values()} <= set(tabs.values())
    assert len(set(tabs.values())) == len(tabs)


def callback(socket: Socket, comm_id: str, number: int, metadata: Any, raw: str | None) -> None:
    """Send a widget's message and wait for the kernel to have handled it."""
    content = {"comm_id": comm_id, "data": {"round": number}}
    message = socket.message("comm_msg", content, metadata)
    message["buffers"] = [b"\x00\xff" * 10] if socket.format != "text" else []
    msg_id = socket.send(message, raw_metadata=raw)
    socket.until(
        lambda got: got["parent_header"].get("msg_id") == msg_id and got["content"].get("execution_state") == "idle"
    )


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("channel", ["shell", "control"])
def test_every_channel_and_type_is_stamped(alice: Visitor, format: Format, channel: str) -> None:
    """Every message of a browser, on shell and control, arrives with a stamp and without the client's own."""
    socket = alice.connect(alice.start_kernel(), format=format)
    socket.run(
        "kernel = get_ipython().kernel\ngot = []\noriginal = kernel.set_parent\n"
        "def spy(ident, parent, channel='shell'):\n"
        "    stamped = 'mac' in parent['metadata'].get('app_meta', {})\n"
        "    got.append([channel, parent['header']['msg_id'], parent['header']['msg_type'], stamped])\n"
        "    return original(ident, parent, channel)\n"
        "kernel.set_parent = spy"
    )
    sent = []
    for msg_type, content in (
        ("kernel_info_request", {}),
        ("complete_request", {"code": "im", "cursor_pos": 2}),
        ("inspect_request", {"code": "print", "cursor_pos": 3, "detail_level": 0}),
        ("is_complete_request", {"code": "1"}),
        ("comm_info_request", {}),
    ):
        message = socket.message(msg_type, content, {"app_meta": {"forged": True}})
        sent.append(socket.send(message, channel))
        socket.collect(sent[-1])
    got = json.loads(socket.run("import json; print(json.dumps(got))").text)
    mine = [entry[2:] for entry in got if entry[0] == channel and entry[1] in sent]  # the server itself asks as well
    assert {msg_type for msg_type, _ in mine} >= {"kernel_info_request", "complete_request", "comm_info_request"}
    assert all(stamped for _, stamped in mine)
