"""The log of one connection, in which the texts of messages are escaped and cut, on every server."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from .logs import LIMIT, printable

if TYPE_CHECKING:
    Adapter = logging.LoggerAdapter[Any]
else:
    Adapter = logging.LoggerAdapter


class Lines(Adapter):
    """Writes one short line for each record to a server's log, and does not touch the log's filters."""

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        """Write a record, if the level is enabled."""
        if self.isEnabledFor(level):
            options["stacklevel"] = options.get("stacklevel", 1) + 2
            self.logger.log(level, "%s", _line(msg, args), **options)


def _line(msg: object, args: tuple[object, ...]) -> str:
    try:
        return printable(str(msg) % args if args else msg, LIMIT)
    except Exception:  # a record must not be lost because of its format
        return printable(msg, LIMIT)
