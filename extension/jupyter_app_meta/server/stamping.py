"""Stamps every message that a browser sends to a kernel: the only file that touches kernel traffic.

1. Connection classes are wrapped, not replaced; a class that is wrapped already stays as it is.
2. Work is done at ``Session.send`` and ``send_raw``: content and buffers pass untouched. Other
   classes (gateways) have no Session of the kernel: there the frame is taken apart.
3. Of a connection only the browser's channels are stamped, not what the server itself asks the kernel; a
   client of the server's own is stamped where it is known for whom it works.
4. An error of ours is logged, and the connection works as if we were not there.
5. A connection's ZMQ identity and buffer belong to its visitor: the session_id that a client
   presents names one of *that visitor's* connections, and nobody else's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection

from .. import wire
from ..model import SessionInfo
from . import capture, identity
from .messages.frames import RUN_CHANNELS, is_absurd, stamp_frame
from .messages.objects import Json
from .messages.sockets import look_again, make_patient
from .messages.stamps import Desk, Stamps, Unreadable
from .reports.lines import Lines

KEY = "app_meta_key"
"""The attribute of a kernel manager that has the key which the kernel was given at its start."""


def stamped(base: Any, desk: Desk, *, required: bool = False) -> Any:
    """Return a connection class that stamps what its browser sends; a stamped class is returned as it is.

    Where a stamp is ``required``, a message that cannot be stamped closes its socket.
    """
    if getattr(base, "app_meta_desk", None) is not None:
        return base
    traffic = _zmq_methods(base) if issubclass(base, ZMQChannelsWebsocketConnection) else _frame_methods(base)
    names = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    own = {"app_meta_desk": desk, "app_meta_required": required}
    return type(base)(base.__name__, (base,), {**names, **_lifecycle(base, required), **traffic, **own})


class Stamper(Protocol):
    """What gives a message its stamp."""

    def message(self, msg: Json) -> Json:
        """Return the message with its stamp, if it is to have one."""


def stamp_client(client: Any, stamper: Stamper) -> Any:
    """Make one kernel client of the server, and no other, stamp what it sends; it misses no answer either."""
    session = client.session.clone()
    send, send_raw = session.send, session.send_raw

    def stamped_send(stream: Any, msg_or_type: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(msg_or_type, Mapping):
            with harmless(client.log):
                msg_or_type = stamper.message(dict(msg_or_type))
        try:
            return send(stream, msg_or_type, *args, **kwargs)
        finally:
            look_again(stream)

    def looking_send_raw(stream: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return send_raw(stream, *args, **kwargs)
        finally:
            look_again(stream)

    session.send, session.send_raw = stamped_send, looking_send_raw
    client.session = session
    with harmless(client.log):
        make_patient(client)
    return client


def _lifecycle(base: Any, required: bool) -> Json:
    """The methods of every connection class: who it is, when it is prepared, opened and closed."""

    async def prepare(self: Any) -> None:
        self._app_meta_stamps = None
        self.log = Lines(self.log)
        self._app_meta_who = identity.nobody()
        with harmless(self.log):
            self._app_meta_who = identity.visitor(self.websocket_handler, self.app_meta_desk.policy)
        if hasattr(base, "prepare"):
            await base.prepare(self)
        with nullcontext() if required else harmless(self.log):
            await _arm(self)

    def connect(self: Any) -> Any:
        with harmless(self.log):
            _opened(self)
        return base.connect(self)

    def disconnect(self: Any) -> Any:
        with harmless(self.log):
            _closed(self)
        return base.disconnect(self)

    return {"prepare": prepare, "connect": connect, "disconnect": disconnect}


def _zmq_methods(base: Any) -> Json:
    async def _register_session(self: Any) -> None:
        claimed, scoped = self.session.session, _tab(self)
        self.session.session = scoped
        try:
            await base._register_session(self)
        finally:
            self.session.session = claimed  # what clients see in headers stays their own
            self.session.bsession = scoped.encode()

    def handle_incoming_message(self: Any, incoming_msg: Any) -> None:
        if is_absurd(incoming_msg, self.subprotocol):
            self.log.warning("Ignoring a message that claims more parts than it has bytes.")
            return
        base.handle_incoming_message(self, incoming_msg)

    return {"_register_session": _register_session, "handle_incoming_message": handle_incoming_message}


def _frame_methods(base: Any) -> Json:
    def handle_incoming_message(self: Any, incoming_msg: Any) -> Any:
        protocol = getattr(self.websocket_handler, "selected_subprotocol", None)
        stamps = self._app_meta_stamps
        if stamps is None:
            return base.handle_incoming_message(self, incoming_msg)
        try:
            frame, header = stamp_frame(incoming_msg, protocol, stamps)
        except Unreadable as error:
            return _refuse(self, error)
        is_sent = getattr(self, "ws", self) is not None  # a gateway that does not answer yet will be sent it later
        passed = base.handle_incoming_message(self, frame)
        if is_sent:
            stamps.note(header)
        return passed

    return {"handle_incoming_message": handle_incoming_message}


def _refuse(connection: Any, error: Unreadable) -> None:
    """Drop a message, whose text stays out of the log. Where stamps are required, its socket is closed."""
    connection.log.warning("Ignoring %s.", error)
    if connection.app_meta_required:
        connection.websocket_handler.close(1007, "a message cannot be understood")


def _tab(connection: Any) -> str:
    """Return the name of a browser tab: a visitor's own, stable while it presents the same session_id."""
    who, desk = connection._app_meta_who, connection.app_meta_desk
    name: str = desk.client_id(connection.kernel_id, who.claim, connection.session.session)
    return name


async def _arm(connection: Any) -> None:
    """Make a prepared connection stamp its messages."""
    who, desk, kernel_id = connection._app_meta_who, connection.app_meta_desk, connection.kernel_id
    raw = capture.raw_request(connection.websocket_handler, who.user)
    raw = await desk.with_facts(raw, kernel_id, who.key)
    session = SessionInfo(client_id=_tab(connection), kernel_id=kernel_id)
    stamps = Stamps(desk, _key(connection), raw, who.key, session, required=connection.app_meta_required)
    connection._app_meta_stamps = stamps
    if isinstance(connection, ZMQChannelsWebsocketConnection):
        _wrap_session(connection, stamps)


def _key(connection: Any) -> bytes | None:
    """Return the key that the kernel verifies with: one given at its start, else its Session's."""
    given = getattr(connection.kernel_manager, KEY, None)
    if given is None and isinstance(connection, ZMQChannelsWebsocketConnection):
        given = connection.session.key
    return wire.derive_key(given)


def _wrap_session(connection: Any, stamps: Stamps) -> None:
    session = connection.session
    send, send_raw = session.send, session.send_raw

    def from_browser(stream: Any) -> bool:
        return any(stream is channel for channel in connection.channels.values())

    def note(stream: Any, header: Any) -> None:
        if any(stream is connection.channels.get(name) for name in RUN_CHANNELS):
            stamps.note(header)

    def stamped_send(stream: Any, msg_or_type: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(msg_or_type, dict) or not from_browser(stream):
            return send(stream, msg_or_type, *args, **kwargs)
        try:
            stamped = stamps.message(msg_or_type)
        except Unreadable as error:
            return _refuse(connection, error)
        sent = send(stream, stamped, *args, **kwargs)
        note(stream, msg_or_type.get("header"))
        return sent

    def stamped_send_raw(stream: Any, msg_list: list[Any], *args: Any, **kwargs: Any) -> Any:
        if not from_browser(stream):
            return send_raw(stream, msg_list, *args, **kwargs)
        try:
            header, stamped = stamps.passed(msg_list)
        except Unreadable as error:
            return _refuse(connection, error)
        sent = send_raw(stream, stamped, *args, **kwargs)
        note(stream, header)
        return sent

    session.send, session.send_raw = stamped_send, stamped_send_raw


def _opened(connection: Any) -> None:
    desk: Desk = connection.app_meta_desk
    if not getattr(connection, "_app_meta_open", False):
        connection._app_meta_open = True
        connection._app_meta_tab = _tab(connection)
        desk.origins.connect(connection.kernel_id, connection._app_meta_who.key, connection._app_meta_tab)
        if desk.nodelay:
            connection.websocket_handler.set_nodelay(True)


def _closed(connection: Any) -> None:
    if getattr(connection, "_app_meta_open", False):
        connection._app_meta_open = False
        who, tab = connection._app_meta_who, connection._app_meta_tab
        connection.app_meta_desk.origins.disconnect(connection.kernel_id, who.key, tab)


@contextmanager
def harmless(log: logging.Logger) -> Iterator[None]:
    """Log an error of ours by its kind alone (its text may hold a visitor's data) and go on."""
    try:
        yield
    except Exception as error:
        log.warning("jupyter-app-meta: a connection goes unstamped (%s).", type(error).__name__)
