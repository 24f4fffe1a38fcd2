"""The messages on a kernel's control channel with which it asks for stored state.

    kernel → server  REQUEST  to the ZMQ identity of the server's link, which the grant names
    server → kernel  REPLY, EVENT  with a stamp whose payload is LINK

1. A kernel sends nothing until its code asks for state.
2. The server makes LINK stamps only for messages of its own. A browser's stamp is always replaced, so a browser cannot
   answer in the server's place.
3. A link's name ends with how many milliseconds a kernel waits for an answer.
4. Both ends read and send them with less work than jupyter_client has with any message: a page waits for each answer.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

PREFIX = "app_meta_"
"""How the types of this package's own messages begin. Browsers may not send them."""

REQUEST = "app_meta_state_request"
REPLY = "app_meta_state_reply"
EVENT = "app_meta_state_event"
LINK = '{"link":"1.0"}'

PATIENCE = 5.0
"""Seconds that a kernel waits if the link's name does not say."""


class Message(NamedTuple):
    """What one end reads of a message of the other. Each process of a kernel has a ``session`` of its own."""

    id: str
    type: str
    metadata: Any
    content: Any
    session: str = ""


def read(session: Any, parts: Sequence[bytes]) -> Message:
    """Return the message that a kernel's session has signed, of which ``parts`` are the signature and what follows.

    It refuses what ``Session.deserialize`` refuses, and does not read dates, which takes longer than all the rest.
    Raises ValueError for a message that is not signed or came before, and other errors for one that is damaged.
    """
    signature, header, _, metadata, content = parts[:5]
    if session.auth is not None:
        if signature in session.digest_history:
            raise ValueError("the message came before")
        if not hmac.compare_digest(signature, session.sign(parts[1:5])):
            raise ValueError("the message is not signed")
        session._add_digest(signature)
    found = session.unpack(header)
    unpacked = session.unpack(metadata), session.unpack(content)
    return Message(found["msg_id"], found["msg_type"], *unpacked, str(found.get("session", "")))


class AtOnce:
    """A stream to which a session sends at once. The stream alone sends when its event loop comes to it.

    Only the thread of the stream's loop may send.
    """

    __slots__ = ("_stream", "_zmq")

    def __init__(self, stream: Any) -> None:
        import zmq  # late, because code without a kernel imports this module and has no ZeroMQ

        self._stream, self._zmq = stream, zmq

    def send_multipart(self, parts: Sequence[Any], copy: bool = True) -> None:
        """Send a message; if others wait, or the socket takes no more, it waits behind them."""
        stream, zmq = self._stream, self._zmq
        try:
            if stream.sending():
                raise zmq.Again
            stream.socket.send_multipart(parts, zmq.NOBLOCK, copy)
        except zmq.Again:
            stream.send_multipart(parts, copy=copy)
        if stream.socket.get(zmq.EVENTS) & zmq.POLLIN:
            stream.flush(zmq.POLLIN, 1)  # ZMQ tells the loop once that something has come, and sending may take that


def link_name(random: str, patience: float) -> str:
    """Return the name of a link, whose kernel waits for ``patience`` seconds."""
    return f"{random}-{round(patience * 1000)}"


def link_of(grant: str) -> tuple[str, float]:
    """Return the name of the link in a grant, and for how many seconds to wait; raise ValueError for any other text."""
    body = grant.partition(".")[0]
    name = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["l"]
    if not isinstance(name, str):
        raise ValueError("a grant without a link")
    patience = name.rpartition("-")[2]
    return name, int(patience) / 1000 if patience.isdecimal() else PATIENCE
