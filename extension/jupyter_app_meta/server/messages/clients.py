"""The server's own kernel clients, which stamp the messages that they send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from ..hooks import Stamper
from ..protocols import Client, Session
from ..wrapping import harmless
from .sockets import look_again, make_patient

C = TypeVar("C", bound=Client)


def wrap_client(client: C, stamper: Stamper, *, shares_session: bool = True) -> C:
    """Make one kernel client, and no other, stamp its messages. The client also no longer misses replies."""
    sender = _ClientSession(client, stamper, client.session.clone() if shares_session else client.session)
    session = sender.session
    session.send, session.send_raw = sender.send, sender.send_raw
    client.session = session
    with harmless(client.log):
        make_patient(client)
    return client


class _ClientSession:
    """The two methods with which a client sends. ``session`` is its own for them."""

    __slots__ = ("_log", "_send", "_send_raw", "_stamper", "session")

    def __init__(self, client: Client, stamper: Stamper, session: Session) -> None:
        self.session = session
        self._log, self._stamper = client.log, stamper
        self._send, self._send_raw = self.session.send, self.session.send_raw

    def send(self, stream: object, msg_or_type: object, *args: Any, **options: Any) -> object:
        """Send a message with its stamp."""
        if isinstance(msg_or_type, Mapping):
            with harmless(self._log):
                msg_or_type = self._stamper.message(dict(msg_or_type))
        try:
            return self._send(stream, msg_or_type, *args, **options)
        finally:
            look_again(stream)

    def send_raw(self, stream: object, msg_list: object, *args: Any, **options: Any) -> object:
        """Send a packed message."""
        try:
            return self._send_raw(stream, msg_list, *args, **options)
        finally:
            look_again(stream)
