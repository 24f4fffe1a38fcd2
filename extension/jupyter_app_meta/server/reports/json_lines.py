"""Log records as lines of JSON, for programs that collect logs: one object a line, with a fixed set of fields."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

FIELDS = "app_meta_fields"
"""The attribute of a record for fields of its own."""


class JsonFormatter(logging.Formatter):
    """Writes ``time``, ``level``, ``logger``, ``message``, ``exception`` and the fields of an access line.

    Other attributes of a record are left out, because a library may put anything there.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        found = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info and record.exc_info[0]:
            found["exception"] = record.exc_text or self.formatException(record.exc_info)
        return json.dumps(found, default=str)


def use(log: logging.Logger) -> None:
    """Make the handlers of a logger, and those that it passes records on to, write JSON."""
    found: logging.Logger | None = log
    while found is not None:
        for handler in found.handlers:
            handler.setFormatter(JsonFormatter())
        found = found.parent if found.propagate else None
