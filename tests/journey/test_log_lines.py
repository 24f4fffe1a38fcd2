"""A message's text makes no line of the server's log, and no long one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from harness import FORMATS, Format, Server

FORGED = "CANARY\x1b[31m\r\nERROR forged\u2028ERROR forged\x9b31m"
BIG = "x" * 9_000_000


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("text", [FORGED, BIG], ids=["forged", "big"])
def test_text_of_a_message_is_a_short_part_of_a_line(people: Server, format: Format, text: str) -> None:
    """On a server with notebooks, odd and long channels and types are escaped and cut, and the connection goes on."""
    visitor = people.visitor(cookies={"person": "alice"})
    socket, before = visitor.connect(visitor.start_kernel(), format=format), len(people.log)
    message = socket.message("comm_msg", {"comm_id": "none", "data": {}})
    odd: dict[str, Any] = {**message, "header": {**message["header"], "msg_type": text}}
    socket.send(message, text)
    socket.send(odd)
    if format == "text":
        socket.send_frame(json.dumps({**message, "content": {"comm_id": text}}))
    assert socket.who()["user"]["username"] == "alice"
    ours = [line for line in people.log[before:].splitlines() if "ServerApp]" in line]
    assert not any("\x1b" in line or "\x9b" in line or "forged" in line.partition("CANARY")[0] for line in ours)
    assert "\nERROR forged" not in people.log[before:]
    assert max(map(len, ours)) < 5_000
