"""What a link sends to and hears from: the control channel of a kernel here, or of one behind a gateway.

A server of notebooks reaches a kernel behind a gateway by a WebSocket only. `Remote` offers it as a ZeroMQ stream:

1. The gateway calls the WebSocket by the link's name, and so does the kernel: no other client hears its questions.
2. A message is passed on in parts. Its signature is made and checked here only, because the gateway has its own.
3. A gateway sends to each WebSocket what the kernel publishes, too. It is dropped unread.
4. A connection that is lost is tried again, after longer and longer pauses. A refusal may pass, too: a token is
   renewed, and a proxy answers 404 while the gateway behind it starts. Only one that lasts ``PATIENCE`` is believed.
5. What is sent while there is no connection is dropped: the kernel asks again, and events are told later.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from jupyter_client.session import DELIM
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.gateway.managers import GatewayKernelManager
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1, serialize_msg_to_ws_v1
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError

from ...state import messages
from ..gateway.client import Gateway, GatewayFailed
from ..messages.frames import V1, is_absurd
from ..protocols import KEY

FIRST, LONGEST = 0.5, 30.0
"""Seconds until a lost connection is tried again, at first and at most."""

PATIENCE = 600.0
"""Seconds for which a gateway is asked again that refuses the token, or says that it has no such kernel."""

MOST = 1024 * 1024
"""Bytes that may wait for the gateway. While there are more, the kernel counts as one that takes nothing."""

_CONTROL = b"control"


def is_remote(kernel: object) -> bool:
    """Whether the kernel of a manager is behind a gateway."""
    return isinstance(kernel, GatewayKernelManager)


def has_control(kernel: Any) -> bool:
    """Whether a kernel has a control channel now, on which it believes this server."""
    if is_remote(kernel):
        return bool(kernel.kernel_id) and getattr(kernel, KEY, None) is not None
    return hasattr(kernel, "connect_control") and bool(getattr(kernel, "control_port", 0))


def control_of(kernel: Any, name: str, session: Any, log: logging.Logger) -> Any:
    """Return a stream to the kernel's control channel, at the other end of which this client has the name."""
    if is_remote(kernel):
        return Remote(Gateway(GatewayClient.instance(), log), kernel.kernel_id, name, session)
    return kernel.connect_control(identity=name.encode())


def at_once(stream: Any) -> Any:
    """Return what sends to this stream without a turn of the event loop. A WebSocket needs none."""
    return stream if isinstance(stream, Remote) else messages.AtOnce(stream)


class Remote:
    """The control channel of a kernel behind a gateway, with those methods of a ZMQStream that a link uses."""

    def __init__(self, gateway: Gateway, kernel_id: str, name: str, session: Any) -> None:
        self._gateway, self._kernel_id, self._name, self._session = gateway, kernel_id, name, session
        self._heard: Callable[[list[bytes]], object] = lambda frames: None
        self._web: WebSocketClientConnection | None = None
        self._waits, self._is_closed, self._is_connecting = 0, False, False
        self._running = asyncio.get_running_loop().create_task(self._run())

    def setsockopt(self, option: int, value: int) -> None:
        """Set nothing: the gateway has the socket."""

    def on_recv(self, heard: Callable[[list[bytes]], object]) -> None:
        """Call this function with the frames of each message on the control channel."""
        self._heard = heard

    def send_multipart(self, frames: list[bytes], **options: object) -> None:
        """Send a message."""
        if self._web is None:
            return
        parts = frames[frames.index(DELIM) + 2 :]
        frame: bytes = serialize_msg_to_ws_v1([bytes(part) for part in parts], "control")
        try:
            written = asyncio.ensure_future(self._web.write_message(frame, binary=True))
        except WebSocketClosedError:
            return
        self._waits += len(frame)
        written.add_done_callback(partial(self._written, len(frame)))

    def _written(self, size: int, written: asyncio.Future[Any]) -> None:
        """Count a frame that the gateway has taken, or that is lost with the connection, which the reader notices."""
        self._waits -= size
        if not written.cancelled():
            written.exception()

    def flush(self, flag: int) -> None:
        """Do nothing: what can be sent has been sent."""

    def sending(self) -> bool:
        """Whether what is sent now would be lost, or wait for long."""
        return self._web is None or self._waits > MOST

    def closed(self) -> bool:
        """Whether it is closed."""
        return self._is_closed

    @property
    def is_over(self) -> bool:
        """Whether the gateway is not asked again, because it has refused for too long."""
        return self._running.done()

    def close(self, linger: int = 0) -> None:
        """Close the connection. Idempotent."""
        self._is_closed = True
        if not self._is_connecting:  # one that is being made is closed as soon as it is there
            self._running.cancel()
        if self._web is not None:
            self._web.close()
        self._web = None

    async def _run(self) -> None:
        """Be connected until the gateway has refused for too long."""
        failures, refusals = 0, _Refusals(self._gateway.log)
        while not self._is_closed:
            try:
                self._is_connecting = True
                web = await self._gateway.connect(self._kernel_id, self._name)
            except GatewayFailed as error:
                if refusals.are_final(error):
                    return
                failures = min(failures + 1, 100)  # a gateway may be away for days: the pause stays a number
            else:
                failures, refusals.since = 0, None
                await self._listen(web)
            finally:
                self._is_connecting = False
            await asyncio.sleep(min(FIRST * 2**failures, LONGEST))

    async def _listen(self, web: WebSocketClientConnection) -> None:
        """Hear what comes by a connection until it ends."""
        self._is_connecting, self._web = False, web
        try:
            while not self._is_closed and (frame := await web.read_message()) is not None:
                if isinstance(frame, bytes) and _is_of_control(frame):
                    self._hear(frame)
        finally:
            web.close()
            self._web = None

    def _hear(self, frame: bytes) -> None:
        """Pass a message on. One that is damaged is logged: an error would end the connection for good."""
        try:
            if is_absurd(frame, V1):
                raise ValueError("more parts than bytes")
            _, parts = deserialize_msg_from_ws_v1(frame)
            self._heard([DELIM, self._session.sign(parts[:4]), *parts])
        except Exception as error:
            self._gateway.log.warning("jupyter-app-meta: a gateway's message was dropped (%s).", type(error).__name__)


class _Refusals:
    """How long a gateway has refused a connection. The first refusal is logged, and that they last."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self.since: float | None = None

    def are_final(self, error: GatewayFailed) -> bool:
        """Note that a connection failed; return whether there is no use in trying again."""
        if error.status not in (401, 403, 404):
            self.since = None
            return False
        now = time.monotonic()
        if self.since is None:
            self.since = now
            self._log.warning("jupyter-app-meta: a kernel gets no stored state now. %s", error)
        if now - self.since < PATIENCE:
            return False
        self._log.warning("jupyter-app-meta: a kernel gets no stored state until an editor uses it again. %s", error)
        return True


def _is_of_control(frame: bytes) -> bool:
    """Whether a frame has a message of the control channel. All of the kernel's output is looked at here."""
    begin, end = (int.from_bytes(frame[at : at + 8], "little") for at in (8, 16))
    return frame[begin:end] == _CONTROL
