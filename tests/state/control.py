"""A kernel's manager, as the server's links see it, and the kernel's end of its control channel."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import zmq
from jupyter_client.session import Session
from zmq.eventloop.zmqstream import ZMQStream

from jupyter_app_meta.state import messages


class Kernel:
    """A kernel's manager, and the control socket of its kernel."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._context, self.router = context, context.socket(zmq.ROUTER)
        self.transport, self.ip = "tcp", "127.0.0.1"
        self.control_port = self.router.bind_to_random_port("tcp://127.0.0.1")
        self.session, self.provisioner = Session(key=b"0" * 32), SimpleNamespace(pid=1)
        self.fails = False

    def connect_control(self, identity: bytes) -> ZMQStream:
        """Return the server's end of a new link."""
        if self.fails:
            raise OSError(24, "Too many open files")
        dealer = self._context.socket(zmq.DEALER)
        dealer.identity = identity
        dealer.connect(f"tcp://127.0.0.1:{self.control_port}")
        return ZMQStream(dealer)

    def ask(self, link: str, number: int, op: str = "read") -> None:
        """Send a question to the server's end."""
        self.send(link, {"id": f"q-{number}", "op": op})

    def send(self, link: str, content: dict[str, Any]) -> None:
        """Send a question of this content to the server's end."""
        self.session.send(self.router, messages.REQUEST, content, ident=link.encode())

    def answers(self) -> list[dict[str, Any]]:
        """Return the answers that have come since the last call."""
        found = []
        while self.router.poll(0):
            _, parts = self.session.feed_identities(self.router.recv_multipart())
            message = self.session.deserialize(parts)
            if message["header"]["msg_type"] == messages.REPLY:
                found.append(message["content"])
        return found
