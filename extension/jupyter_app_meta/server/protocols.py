"""Types for the parts of jupyter_client's and jupyter_server's objects that the server half uses.

Many of their attributes are not typed, or are typed as traits. Our code relies on each name here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from jupyter_server.services.kernels.websocket import KernelWebsocketHandler

from .. import wire

KEY = "app_meta_key"
"""The attribute of a kernel's manager that holds the key given to the kernel at its start."""

PROCESS = "app_meta_process"
"""The attribute of the manager of a kernel behind a gateway that holds the name of the process which asked last."""

LINK = "app_meta_link"
"""The attribute of a kernel's manager that holds the name of the kernel's link, if the server cannot choose one."""


class Send(Protocol):
    """``Session.send`` or ``Session.send_raw``: sends a message, or its packed parts, to a stream."""

    def __call__(self, stream: object, message: Any, /, *args: Any, **options: Any) -> object:
        """Send a message."""


class Session(Protocol):
    """jupyter_client's Session: it packs, signs and sends messages."""

    key: bytes
    session: str
    bsession: bytes
    send: Send
    send_raw: Send

    def clone(self) -> Session:
        """Return a Session of the same key and name."""

    def msg(self, msg_type: str) -> dict[str, Any]:
        """Return a new message of this type."""

    def feed_identities(self, msg_list: list[bytes]) -> tuple[list[bytes], list[bytes]]:
        """Return a message's identities and its other parts, the first of which is its signature."""

    def unpack(self, packed: bytes) -> dict[str, Any]:
        """Return a part of a message."""


class Stream(Protocol):
    """The stream of one channel, which has the channel's name."""

    channel: str


class Client(Protocol):
    """One of the server's own kernel clients."""

    session: Session
    log: logging.Logger


class Kernel(Protocol):
    """The manager of one kernel."""

    kernel_id: str
    session: Session


class Connection:
    """jupyter_server's connection of one WebSocket to its kernel.

    Mixins are checked against this class, so that ``super()`` is typed. At run time this class is not their base: they
    come before the connection class that the server is configured with.
    """

    log: logging.Logger | logging.LoggerAdapter[Any]
    session: Session
    channels: Mapping[str, object]
    subprotocol: str | None
    kernel_id: str
    kernel_manager: Kernel
    websocket_handler: KernelWebsocketHandler

    def connect(self) -> object:
        """Connect the WebSocket to the kernel."""
        raise NotImplementedError

    def disconnect(self) -> object:
        """Disconnect the WebSocket from the kernel."""
        raise NotImplementedError

    def create_stream(self) -> None:
        """Make the streams of the kernel's channels."""
        raise NotImplementedError

    def handle_incoming_message(self, incoming_msg: str | bytes) -> None:
        """Pass a frame of the browser on to the kernel."""
        raise NotImplementedError

    def handle_outgoing_message(self, stream: Stream | str, outgoing_msg: list[bytes]) -> None:
        """Pass a message of the kernel on to the browser; the stream, or the name of its channel."""
        raise NotImplementedError

    def _on_zmq_reply(self, stream: Stream, msg_list: dict[str, Any] | list[bytes]) -> None:
        """Send a message to the browser: unpacked, or its parts without the signature."""
        raise NotImplementedError

    async def _register_session(self) -> None:
        """Replace an older connection that has the same session_id."""
        raise NotImplementedError


def key_of(kernel: Kernel, session: Session | None) -> bytes | None:
    """Return the key with which a kernel verifies stamps: the one given at its start, or else its Session's."""
    given: bytes | None = getattr(kernel, KEY, None)
    if given is None and session is not None:
        given = session.key
    return wire.derive_key(given)
