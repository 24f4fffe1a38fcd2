"""Connections of browsers to kernels, which stamp every message that a browser sends.

1. A connection class is wrapped, not replaced. A class that is already wrapped stays as it is.
2. Messages are stamped at ``Session.send`` and ``send_raw``, so content and buffers pass untouched. Other connection
   classes (gateways) do not have the kernel's Session, so their WebSocket frames are stamped.
3. Only messages on the browser's channels are stamped. The server's own requests to the kernel are not.
4. If our code raises an error, the error is logged, and the connection works as if the extension were not there, unless
   a stamp is required.
5. A connection's ZMQ identity and buffer belong to its visitor: the session_id that a client presents names one of
   that visitor's own connections, and no other visitor's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection

from ..model import SessionInfo
from ..policy import RawRequest
from . import capture, identity
from .context import StampingContext
from .messages.frames import RUN_CHANNELS, is_absurd, stamp_frame
from .messages.stamps import Stamps, Unreadable
from .protocols import Session, key_of
from .reports.lines import Lines
from .wrapping import harmless, subclass

if TYPE_CHECKING:
    from .protocols import Connection
else:
    Connection = object

C = TypeVar("C", bound=type)


def wrap_connection(base: C, context: StampingContext) -> C:
    """Return a connection class that stamps its browser's messages; a wrapped class is returned unchanged."""
    if getattr(base, "app_meta_context", None) is not None:
        return base
    mixin = StampedChannels if issubclass(base, ZMQChannelsWebsocketConnection) else StampedFrames
    return subclass(base, mixin, app_meta_context=context)


class Stamped(Connection):
    """A connection that has stamps. It knows its visitor, and notes when it is prepared, opened and closed.

    If ``app_meta_allowed`` names message types, a browser may send only those, and each message needs a stamp. Any
    other message closes the socket.
    """

    app_meta_allowed: frozenset[str] | None = None
    app_meta_stamps: Stamps | None = None
    app_meta_visitor: identity.Visitor
    app_meta_raw: RawRequest | None = None
    _app_meta_tab: str | None = None
    _app_meta_is_over = False

    @property
    def app_meta_context(self) -> StampingContext:
        """The context that its stamps are made from."""
        raise NotImplementedError

    async def prepare(self) -> None:
        """Prepare the connection and its stamps."""
        self.app_meta_stamps = None
        self.log = Lines(self.log)
        self.app_meta_visitor = identity.unknown()
        with harmless(self.log):
            self.app_meta_visitor = identity.visitor(self.websocket_handler, self.app_meta_context.policy)
        prepare: Callable[[], Awaitable[None]] | None = getattr(super(), "prepare", None)  # a gateway's class has none
        if prepare:
            await prepare()
        with harmless(self.log) if self.app_meta_allowed is None else nullcontext():
            self.app_meta_stamps = await self._make_stamps()

    def connect(self) -> object:
        """Connect, and note that the visitor's tab is there.

        jupyter_server connects again to a gateway that was lost, also if the tab has left meanwhile. No other code
        would end that connection, and the gateway would not cull the kernel.
        """
        if self._app_meta_is_over:
            return None
        with harmless(self.log):
            self._note_opened()
        return super().connect()

    def disconnect(self) -> object:
        """Disconnect, and note that the visitor's tab has left."""
        self._app_meta_is_over = True
        with harmless(self.log):
            self._note_closed()
        return super().disconnect()

    async def _make_stamps(self) -> Stamps:
        visitor, context, kernel_id = self.app_meta_visitor, self.app_meta_context, self.kernel_id
        raw = capture.raw_request(self.websocket_handler, visitor.user)
        raw = self.app_meta_raw = await context.with_meta(raw, kernel_id, visitor.key)
        info = SessionInfo(client_id=self._tab(), kernel_id=kernel_id)
        key = key_of(self.kernel_manager, self._kernel_session())
        return Stamps(context, key, raw, visitor.key, info, allowed=self.app_meta_allowed)

    def _kernel_session(self) -> Session | None:
        """Return the Session that the kernel shares, if this server has it."""
        return None

    def _tab(self) -> str:
        """Return the browser tab's name, which is unique to its visitor and stable while its session_id is the same."""
        visitor, context = self.app_meta_visitor, self.app_meta_context
        return context.client_id(self.kernel_id, visitor.reconnect_key, self.session.session)

    def _note_opened(self) -> None:
        if self._app_meta_tab is not None:
            return
        self._app_meta_tab = self._tab()
        context = self.app_meta_context
        context.origins.connect(self.kernel_id, self.app_meta_visitor.key, self._app_meta_tab)
        if context.live:
            context.live.opened(self)
        if context.nodelay:
            self.websocket_handler.set_nodelay(True)

    def _note_closed(self) -> None:
        tab, self._app_meta_tab = self._app_meta_tab, None
        if tab is None:
            return
        context = self.app_meta_context
        if context.live:
            context.live.closed(self)
        context.origins.disconnect(self.kernel_id, self.app_meta_visitor.key, tab)

    def _refuse(self, error: Unreadable) -> None:
        """Drop a message, and keep its text out of the log. If stamps are required, close its socket."""
        self.log.warning("Ignoring %s.", error)
        if self.app_meta_allowed is not None:
            self.websocket_handler.close(1007, "a message cannot be understood")


class StampedChannels(Stamped):
    """A connection over ZeroMQ. Messages that its Session sends on the browser's channels are stamped."""

    def handle_incoming_message(self, incoming_msg: str | bytes) -> None:
        """Pass a frame on, unless reading it would take too long."""
        if is_absurd(incoming_msg, self.subprotocol):
            self.log.warning("Ignoring a message that claims more parts than it has bytes.")
            return
        super().handle_incoming_message(incoming_msg)

    async def _make_stamps(self) -> Stamps:
        stamps = await super()._make_stamps()
        wrap_session(self, stamps, self._refuse)
        return stamps

    async def _register_session(self) -> None:
        """Register under the name of the visitor's own tab, so that no other visitor can replace the connection."""
        presented, own = self.session.session, self._tab()
        self.session.session = own
        try:
            await super()._register_session()
        finally:
            self.session.session = presented  # clients see their own session_id in headers
            self.session.bsession = own.encode()

    def _kernel_session(self) -> Session:
        return self.session


class StampedFrames(Stamped):
    """A connection that passes on WebSocket frames, such as a gateway's. The frames are stamped."""

    def _note_opened(self) -> None:
        """Note it, and let the gateway know the connection by the name of the visitor's own tab.

        A gateway closes the older one of two connections of one name, and a kernel sends its answers to the newer one.
        """
        super()._note_opened()
        if self._app_meta_tab is not None:
            self.session.session = self._app_meta_tab

    def handle_incoming_message(self, incoming_msg: str | bytes) -> None:
        """Pass a frame on with a stamp in its message."""
        stamps = self.app_meta_stamps
        if stamps is None:
            return super().handle_incoming_message(incoming_msg)
        protocol: str | None = getattr(self.websocket_handler, "selected_subprotocol", None)
        try:
            frame, header = stamp_frame(incoming_msg, protocol, stamps)
        except Unreadable as error:
            return self._refuse(error)
        is_sent = getattr(self, "ws", self) is not None  # a gateway that has not answered yet gets the frame later
        passed_on = super().handle_incoming_message(frame)
        if is_sent:
            stamps.note(header)
        return passed_on


def wrap_session(connection: Any, stamps: Stamps, refuse: Callable[[Unreadable], None]) -> None:
    """Make a connection's Session stamp what it sends on the connection's channels."""
    session = _StampedSession(connection, stamps, refuse)
    connection.session.send, connection.session.send_raw = session.send, session.send_raw


class _StampedSession:
    """The two methods with which a connection sends its browser's messages."""

    __slots__ = ("_connection", "_refuse", "_send", "_send_raw", "_stamps")

    def __init__(self, connection: Connection, stamps: Stamps, refuse: Callable[[Unreadable], None]) -> None:
        self._connection, self._stamps, self._refuse = connection, stamps, refuse
        self._send, self._send_raw = connection.session.send, connection.session.send_raw

    def send(self, stream: object, msg_or_type: object, *args: Any, **options: Any) -> object:
        """Send an unpacked message."""
        channel = self._channel(stream) if isinstance(msg_or_type, dict) else None
        if channel is None or not isinstance(msg_or_type, dict):
            return self._send(stream, msg_or_type, *args, **options)
        try:
            stamped = self._stamps.message(msg_or_type)
        except Unreadable as error:
            return self._refuse(error)
        sent = self._send(stream, stamped, *args, **options)
        if channel in RUN_CHANNELS:
            self._stamps.note(msg_or_type.get("header"))
        return sent

    def send_raw(self, stream: object, msg_list: list[Any], *args: Any, **options: Any) -> object:
        """Send a packed message."""
        channel = self._channel(stream)
        if channel is None:
            return self._send_raw(stream, msg_list, *args, **options)
        try:
            header, stamped = self._stamps.forward(msg_list)
        except Unreadable as error:
            return self._refuse(error)
        sent = self._send_raw(stream, stamped, *args, **options)
        if channel in RUN_CHANNELS:
            self._stamps.note(header)
        return sent

    def _channel(self, stream: object) -> str | None:
        """Return which of the browser's channels a stream is; None for one of the server's own streams."""
        for name, channel in self._connection.channels.items():
            if channel is stream:
                return name
        return None
