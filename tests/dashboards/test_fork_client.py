"""The server's end of a forked kernel's private socket."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from jupyter_client.session import Session

from jupyter_app_meta.dashboards.forks.client import PipeClient
from jupyter_app_meta.kernel.forks.sockets import frames

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only"),
    pytest.mark.usefixtures("unpatched"),
]

KEY = b"a key"


class Kernel:
    """The other end."""

    def __init__(self, end: socket.socket) -> None:
        self.end, self._session = end, Session(key=KEY)

    def send(self, letter: bytes, kind: str, content: dict[str, Any], cause: str) -> None:
        """Send a message that a request has caused."""
        message = self._session.msg(kind, content, parent={"msg_id": cause})
        ident = frames.PRIVATE if letter == frames.SHELL else b"topic"
        self.end.sendall(frames.encode(letter, self._session.serialize(message, ident)))


@pytest.fixture
async def ends() -> AsyncIterator[tuple[PipeClient, Kernel]]:
    """A client, and the kernel at the other end of its socket."""
    own, theirs = socket.socketpair()
    client = PipeClient(own, KEY, logging.getLogger(), lambda parts: None)
    yield client, Kernel(theirs)
    client.stop_channels()
    theirs.close()


async def test_a_cell_ends_with_its_reply(ends: tuple[PipeClient, Kernel]) -> None:
    """What it published was sent before. The page does not wait until the kernel says that it is idle."""
    client, kernel = ends
    cell = client.execute("print(1)")
    kernel.send(frames.IOPUB, "stream", {"name": "stdout", "text": "1"}, cell)
    kernel.send(frames.SHELL, "execute_reply", {"status": "ok"}, cell)
    async with asyncio.timeout(60):
        published = [await client.iopub_channel.get_msg() for _ in range(2)]
        reply = await client.shell_channel.get_msg()
    assert [message["msg_type"] for message in published] == ["stream", "status"]
    assert published[1]["content"] == {"execution_state": "idle"}
    assert published[1]["parent_header"] == reply["parent_header"]
    assert not client.is_idle


async def test_a_kernel_that_a_browser_may_reach_says_itself_that_it_is_idle(ends: tuple[PipeClient, Kernel]) -> None:
    """From then on a thread publishes, and its messages may come after the reply."""
    client, kernel = ends
    client.attached.set_result("")
    cell = client.execute("print(1)")
    kernel.send(frames.SHELL, "execute_reply", {"status": "ok"}, cell)
    kernel.send(frames.IOPUB, "stream", {"name": "stdout", "text": "1"}, cell)
    async with asyncio.timeout(60):
        published = await client.iopub_channel.get_msg()
    assert published["msg_type"] == "stream"
