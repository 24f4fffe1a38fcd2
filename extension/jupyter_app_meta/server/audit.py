"""The audit: one event for each cell and each callback, through jupyter_server's event system.

1. An event has the user, the place and the time, never code or a value. It is written when the message is passed on
   to the kernel. Deployers receive events with the standard handlers of ``EventLogger``.
2. The event logger is our own, with the server's handlers. The server's own logger accepts events of any of its
   schemas from every logged-in user, and sends all events to every listener.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyter_events import EventLogger
from jupyter_events.schema import EventSchema
from jupyter_events.schema_registry import SchemaRegistry
from traitlets.config import Config

from .. import wire
from ..model import User
from ..state.keys import Identity

_SCHEMAS = Path(__file__).parent / "event_schemas"
SCHEMA, ADMINISTRATION = (_SCHEMAS / name / "v1.yaml" for name in ("execution", "administration"))
SCHEMA_ID, ADMINISTRATION_ID = (
    f"https://events.jupyter.org/jupyter_app_meta/{name}/v1" for name in ("execution", "administration")
)

ACTIONS = {
    "execute_request": "cell",
    "apply_request": "cell",
    "comm_open": "callback",
    "comm_msg": "callback",
    "comm_close": "callback",
    wire.CLAIM_TYPE: "claim",
}
"""The types of messages that make a kernel run cells and callbacks, with the action of each."""

LONGEST_ID = 128
LONGEST_PATH = 4096


class _Schemas(SchemaRegistry):
    """Our own schemas, and also the server's, for handlers that write both kinds of events."""

    def __init__(self, others: SchemaRegistry) -> None:
        super().__init__()
        self._others = others

    def get(self, id_: str) -> EventSchema:
        """Return the schema with this id; raises KeyError if the id is unknown."""
        return super().get(id_) if id_ in self else self._others.get(id_)


def event_logger(config: Config, log: logging.Logger, server: EventLogger | None) -> EventLogger:
    """Return an event logger with the configured handlers; it knows the schemas of the server's own logger as well."""
    events = EventLogger(config=config, log=log)
    if server:
        events.schemas = _Schemas(server.schemas)
    return events


class EventAudit:
    """Writes events to an event logger."""

    def __init__(self, events: EventLogger, log: logging.Logger) -> None:
        events.register_event_schema(SCHEMA)
        events.register_event_schema(ADMINISTRATION)
        self._events, self._log = events, log
        self._warned = False

    def note(self, user: User | None, kernel_id: str, path: str | None, header: dict[str, Any]) -> None:
        """Write an event for a message with this header, if it makes the kernel run code. Never raises."""
        msg_type = header.get("msg_type")
        action = ACTIONS.get(msg_type) if isinstance(msg_type, str) else None
        if action is None:
            return
        event = {
            "action": action,
            **_who(user),
            "kernel_id": kernel_id,
            "path": path[:LONGEST_PATH] if path else None,
            "msg_id": _text(header.get("msg_id"))[:LONGEST_ID],
            "msg_type": msg_type,
        }
        self._emit(SCHEMA_ID, event)

    def administered(self, action: str, user: User, session: str) -> None:
        """Write an event for what an administrator did to a live page: ``end`` or ``send``. Never raises."""
        self._emit(ADMINISTRATION_ID, {"action": f"session_{action}", **_who(user), "session": session})

    def forgot(self, person: Identity) -> None:
        """Write an event for the erasure of what is stored about a person. Never raises."""
        kind = {"owner": "user", "browser": "anonymous"}.get(person.kind, person.kind)
        who = {"username": person.name, "kind": kind, "assurance": person.assurance}
        self._emit(ADMINISTRATION_ID, {"action": "state_forget", **who, "session": None})

    def _emit(self, schema: str, event: dict[str, Any]) -> None:
        try:
            self._events.emit(schema_id=schema, data={**event, "time": datetime.now(UTC).isoformat()})
        except Exception as error:
            if not self._warned:
                self._warned = True
                self._log.warning("jupyter-app-meta: events are not written (%s).", type(error).__name__)


def _who(user: User | None) -> dict[str, Any]:
    return {name: user[name] if user else None for name in ("username", "kind", "assurance")}


def _text(msg_id: object) -> str:
    """Return an id as a string. A list or an object may be deep, so it is not written."""
    return str(msg_id) if isinstance(msg_id, str | int | float) else "(no text)"
