"""The connection of a page whose visitor may not execute code. It judges what the page sends and what it is shown.

1. A page may send messages of a few types, each with a stamp. Any other message closes its socket.
2. A page is shown what ``Outgoing`` lets through. A message that cannot be read is not shown. Before the connection is
   prepared, no message is shown.
3. A gate, which the server makes for the page (``bounded_by``), counts the messages that are under way.
"""

from __future__ import annotations

from typing import TypeVar

from .connections import StampedChannels
from .context import StampingContext
from .messages.flights import Flight
from .messages.gate import Gate, stamp_size
from .messages.incoming import ACCEPTED
from .messages.objects import Json
from .messages.outgoing import Outgoing
from .messages.sockets import receive_few
from .protocols import Stream
from .reports.incidents import Incidents
from .wrapping import subclass

C = TypeVar("C", bound=type)


def page_connection(base: C, context: StampingContext, incidents: Incidents) -> C:
    """Return a connection class for pages of visitors who may not execute; errors are reported to ``incidents``."""
    return subclass(base, PageConnection, app_meta_context=context, app_meta_incidents=incidents)


class PageConnection(StampedChannels):
    """A connection over ZeroMQ between a page and its kernel."""

    app_meta_allowed = ACCEPTED["shell"]
    app_meta_gate: Gate | None = None
    _app_meta_outgoing: Outgoing | None = None

    @property
    def app_meta_incidents(self) -> Incidents:
        """The record of errors, which the visitor is not shown."""
        raise NotImplementedError

    async def prepare(self) -> None:
        """Prepare the connection, and the object that decides about the kernel's messages."""
        await super().prepare()
        self._app_meta_outgoing = Outgoing(self.kernel_id, self.app_meta_incidents, self.session)

    def create_stream(self) -> None:
        """Connect to the kernel's channels; a page that is counted has few messages on their way."""
        super().create_stream()
        if self.app_meta_gate:
            receive_few(self.channels["iopub"], self.kernel_manager)

    def bounded_by(self, flight: Flight) -> Gate:
        """Return the gate that counts this connection's messages among its page's messages under way."""
        self.app_meta_gate = gate = Gate(self.websocket_handler, self, flight, stamp_size(self.app_meta_stamps))
        return gate

    def handle_outgoing_message(self, stream: Stream | str, outgoing_msg: list[bytes]) -> None:
        """Pass on what the kernel publishes, and note which messages it answers."""
        if self.app_meta_gate:
            channel: str | None = stream if isinstance(stream, str) else getattr(stream, "channel", None)
            self.app_meta_gate.heard(channel, outgoing_msg)
        super().handle_outgoing_message(stream, outgoing_msg)

    def _on_zmq_reply(self, stream: Stream, msg_list: Json | list[bytes]) -> None:
        """Send the page what visitors may see of a message, which is given unpacked or in parts."""
        outgoing = self._app_meta_outgoing
        if outgoing is None:
            return
        try:
            shown = outgoing.message(msg_list) if isinstance(msg_list, dict) else outgoing.parts(msg_list)
        except Exception as error:
            self.log.warning("A kernel's message was not shown: it cannot be read (%s).", type(error).__name__)
            return
        if shown is not None:
            super()._on_zmq_reply(stream, shown)

    def write_stderr(self, error_message: str, parent_header: object) -> None:
        """Log the warning that jupyter_server would write into the page."""
        self.log.warning("A page does not get all of its kernel's output: %s", error_message.partition("\n")[0])

    def _on_error(self, *message: object) -> None:
        """Leave an error unchanged. jupyter_server would remove the traceback, which the author needs."""

    def disconnect(self) -> object:
        """Disconnect. The page's messages under way are still counted."""
        if self.app_meta_gate:
            self.app_meta_gate.leave()
        return super().disconnect()
