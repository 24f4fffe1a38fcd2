"""Log records as lines of JSON, for programs that collect logs: one object a line, with a fixed set of fields."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.json import JsonFormatter as Formatter

FIELDS = "app_meta_fields"
"""The attribute of a record for fields of its own."""


class JsonFormatter(Formatter):
    """Writes ``time``, ``level``, ``logger``, ``message``, ``exception`` and the fields of an access line.

    Other attributes of a record are left out, because a library may put anything there.
    """

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Fill in the fields of a record."""
        log_data.update(
            time=datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            level=record.levelname.lower(),
            logger=record.name,
            message=record.getMessage(),
            **getattr(record, FIELDS, {}),
        )
        if record.exc_info and record.exc_info[0]:
            log_data["exception"] = record.exc_text or self.formatException(record.exc_info)
