"""Who ran what: one event for each cell and each callback, through jupyter_server's event system.

An event says who, where and when; never code, never a value. It is written as the message is passed
on to the kernel. Deployers get it with the standard handlers of ``EventLogger``.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyter_events import EventLogger

from ..model import User

SCHEMA = Path(__file__).parent / "event_schemas" / "execution" / "v1.yaml"
SCHEMA_ID = "https://events.jupyter.org/jupyter_app_meta/execution/v1"

ACTIONS = {"execute_request": "cell", "comm_open": "callback", "comm_msg": "callback", "comm_close": "callback"}
"""What makes a kernel run code, whatever its sender calls it."""

LONGEST_ID = 128
LONGEST_PATH = 4096


class EventAudit:
    """Writes events to a server's event logger."""

    def __init__(self, events: EventLogger, log: logging.Logger) -> None:
        events.register_event_schema(SCHEMA)
        self._events, self._log = events, log
        self._warned = False

    def note(self, user: User | None, kernel_id: str, path: str | None, header: dict[str, Any]) -> None:
        """Write an event for a message of this header, where it makes the kernel run code. Never raises."""
        msg_type = header.get("msg_type")
        action = ACTIONS.get(msg_type) if isinstance(msg_type, str) else None
        if action is None:
            return
        who = {name: user[name] if user else None for name in ("username", "kind", "assurance")}
        event = {
            "action": action,
            **who,
            "kernel_id": kernel_id,
            "path": path[:LONGEST_PATH] if path else None,
            "msg_id": _text(header.get("msg_id"))[:LONGEST_ID],
            "msg_type": msg_type,
            "time": datetime.now(UTC).isoformat(),
        }
        try:
            self._events.emit(schema_id=SCHEMA_ID, data=event)
        except Exception as error:
            if not self._warned:
                self._warned = True
                self._log.warning("jupyter-app-meta: events are not written (%s).", type(error).__name__)


def _text(msg_id: object) -> str:
    return msg_id if isinstance(msg_id, str) else json.dumps(msg_id)
