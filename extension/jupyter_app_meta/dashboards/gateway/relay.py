"""Passes the messages of one kernel between the sockets that a local kernel would have and the gateway's WebSocket.

1. A message is passed on as it is, in parts. Only headers are read, to know to which client a reply goes.
2. Locally each message is signed with the kernel manager's own key. A message with another signature is not passed on.
3. ``shutdown_request`` is not passed on, because the gateway would start the kernel anew. It ends kernels by DELETE.
4. A connection that is lost is tried again; if one after the other does not last, after pauses, and not for ever. If
   the gateway has lost or restarted the kernel, the kernel has died: what the new process would publish does not belong
   to the page.
5. The kernel knows all local clients by one name, ``name``. What answers no request goes to the local client of that
   name: the server's link, which the kernel asks for stored state.
6. If a gateway takes nothing while ``MOST`` bytes wait for it, the kernel is given up, as one that has died.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import zmq
from jupyter_client.session import DELIM
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1, serialize_msg_to_ws_v1
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError
from zmq.eventloop.zmqstream import ZMQStream

from ...server.gateway.client import Gateway, GatewayFailed
from ...state.messages import AtOnce

ANSWERED = ("shell", "control")
"""The channels on which kernels answer, each to the client that asked."""

PENDING = 10_000
"""How many requests are remembered until they are answered."""

MOST = 64 * 1024 * 1024
"""Bytes that may wait for the gateway when another message comes."""

LASTS = 5.0
"""Seconds after which a connection that is closed has lasted."""

NOT_PASSED = ("shutdown_request",)
GONE = ("restarting", "dead")
"""What a gateway publishes in the name of a kernel whose process has ended."""


class Session(Protocol):
    """jupyter_client's Session: it signs messages."""

    def sign(self, msg_list: list[bytes]) -> bytes:
        """Return the signature of a message's parts."""

    def feed_identities(self, msg_list: list[bytes]) -> tuple[list[bytes], list[bytes]]:
        """Return a message's identities and its other parts, the first of which is its signature."""


class Relay:
    """The relay of one kernel. ``died`` is called once when the kernel has ended by itself."""

    def __init__(self, gateway: Gateway, kernel_id: str, name: str, session: Session, died: Callable[[], None]) -> None:
        self._name = name
        self._gateway, self._kernel_id, self._session, self._died = gateway, kernel_id, session, died
        self._streams: dict[str, ZMQStream] = {}
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._asked: dict[tuple[str, str, str], list[bytes]] = {}
        self._waiting: deque[bytes] = deque()
        self._waits, self._is_over = 0, False  # bytes that the gateway has not taken
        self._web: WebSocketClientConnection | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def _log(self) -> logging.Logger:
        return self._gateway.log

    def start(self, context: zmq.Context[Any], addresses: Mapping[str, str]) -> None:
        """Offer the sockets at these addresses, by channel, and connect to the gateway."""
        for channel, address in addresses.items():
            kind = zmq.PUB if channel == "iopub" else zmq.ROUTER
            socket = context.socket(kind, socket_class=zmq.Socket)
            socket.linger = 0
            socket.sndhwm = 0  # beyond a limit, ZeroMQ would silently drop what kernels publish
            socket.bind(address)
            self._sockets[channel] = socket
        for channel in ANSWERED:
            self._streams[channel] = stream = ZMQStream(self._sockets[channel])
            stream.on_recv(partial(self._inward, channel))
        self._running = asyncio.get_running_loop().create_task(self._run())

    def close(self) -> None:
        """Close everything. Idempotent."""
        if self._running:
            self._running.cancel()
        if self._web:
            self._web.close()
        for stream in self._streams.values():
            stream.close()
        for socket in self._sockets.values():
            socket.close()
        self._streams, self._sockets, self._web = {}, {}, None
        self._asked.clear()
        self._waiting.clear()

    async def _run(self) -> None:
        """Receive what the kernel sends until it has ended."""
        short = 0  # connections in a row that have not lasted
        try:
            while web := await self._connected(max(0, short - 1)):
                self._web, began = web, time.monotonic()
                for _ in range(len(self._waiting)):  # a connection that is closed again gives them back
                    self._send(self._waiting.popleft())
                while isinstance(frame := await web.read_message(), bytes):
                    self._safely_outward(frame)
                self._web = None
                web.close()
                self._log.warning("The gateway %s closed the connection to a kernel.", self._gateway.url)
                short = short + 1 if time.monotonic() - began < LASTS else 0
        except GatewayFailed as error:
            self._log.warning("A kernel is lost: %s", error)
        self._died()

    async def _connected(self, failures: int = 0) -> WebSocketClientConnection | None:
        """Return a new connection; None if the gateway does not have the kernel. Raises GatewayFailed in the end.

        ``failures`` is how many tries count as failed before this one.
        """
        options = self._gateway.options
        if failures and failures > options.gateway_retry_max:
            raise GatewayFailed(f"The gateway {self._gateway.url} closes each connection to it at once.")
        while True:
            if failures:
                pause = options.gateway_retry_interval * 2 ** min(failures - 1, 100)  # a larger power may be no number
                await asyncio.sleep(min(pause, options.gateway_retry_interval_max))
            try:
                if not await self._gateway.has(self._kernel_id):
                    self._log.warning("The gateway %s does not have a page's kernel any more.", self._gateway.url)
                    return None
                return await self._gateway.connect(self._kernel_id, self._name)
            except GatewayFailed as error:
                if failures >= options.gateway_retry_max:
                    raise
                self._log.debug("A page's kernel is not reached: %s", error)  # also a refusal may pass
            failures += 1

    def _inward(self, channel: str, frames: list[bytes]) -> None:
        """Pass a message on to the kernel."""
        try:
            identities, (signature, *parts) = self._session.feed_identities(frames)
            if not hmac.compare_digest(signature, self._session.sign(parts[:4])):
                raise ValueError("another signature")
            header = json.loads(parts[0])
            msg_type, msg_id = str(header["msg_type"]), str(header["msg_id"])
        except Exception as error:
            self._log.warning("A message to a kernel cannot be read (%s).", type(error).__name__)
            return
        if msg_type in NOT_PASSED:
            return
        if msg_type.endswith("_request"):
            self._remember((channel, msg_id, f"{msg_type.removesuffix('_request')}_reply"), identities)
        frame: bytes = serialize_msg_to_ws_v1(parts, channel)
        self._write(frame)

    def _remember(self, request: tuple[str, str, str], identities: list[bytes]) -> None:
        """Remember who asked. Another request of the same id does not take an answer away."""
        while len(self._asked) >= PENDING:
            del self._asked[next(iter(self._asked))]
        self._asked.setdefault(request, identities)

    def _write(self, frame: bytes) -> None:
        """Send a frame to the gateway, or keep it until there is a connection."""
        if self._waits > MOST:
            self._give_up()
            return
        self._waits += len(frame)
        self._send(frame)

    def _send(self, frame: bytes) -> None:
        if self._web is not None:
            with suppress(WebSocketClosedError):
                written = asyncio.ensure_future(self._web.write_message(frame, binary=True))
                written.add_done_callback(partial(self._written, len(frame)))
                return
        self._waiting.append(frame)

    def _written(self, size: int, written: asyncio.Future[Any]) -> None:
        """Count a frame that the gateway has taken, or that is lost with the connection, which the reader notices."""
        self._waits -= size
        if not written.cancelled():
            written.exception()

    def _give_up(self) -> None:
        """End the relay, because more waits for the gateway than a server should hold."""
        if not self._is_over:
            self._is_over = True
            self._log.warning("The gateway %s does not take a page's messages.", self._gateway.url)
            self._died()

    def _safely_outward(self, frame: bytes) -> None:
        try:
            self._outward(frame)
        except Exception as error:
            self._log.warning("A message of a kernel cannot be read (%s).", type(error).__name__)

    def _outward(self, frame: bytes) -> None:
        """Pass a message of the kernel on to those who listen, or to the client that asked."""
        channel, parts = deserialize_msg_from_ws_v1(frame)
        signed = [DELIM, self._session.sign(parts[:4]), *parts]
        if channel == "iopub":
            self._sockets[channel].send_multipart(signed)
            if b'"status"' in parts[0] and json.loads(parts[3]).get("execution_state") in GONE:
                self._gone()
        elif channel in ANSWERED:
            header, parent = json.loads(parts[0]), json.loads(parts[1])
            asked = (channel, str(parent.get("msg_id")), str(header.get("msg_type")))
            identities = self._asked.pop(asked, [self._name.encode()])
            AtOnce(self._streams[channel]).send_multipart([*identities, *signed])

    def _gone(self) -> None:
        """End the relay, because the kernel's process has ended."""
        self._log.warning("A page's kernel ended at the gateway %s.", self._gateway.url)
        self._died()
