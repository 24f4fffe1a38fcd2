"""The log of one connection: what it is told of messages is escaped and cut, whichever server it belongs to."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from .logs import LIMIT, printable

if TYPE_CHECKING:
    Adapter = logging.LoggerAdapter[Any]
else:
    Adapter = logging.LoggerAdapter


class Lines(Adapter):
    """Writes to a server's log, whose filters are the server's own business, one short line for each record."""

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        """Write a record, if the level is enabled."""
        if self.isEnabledFor(level):
            options["stacklevel"] = options.get("stacklevel", 1) + 2
            self.logger.log(level, "%s", _line(msg, args), **options)


def _line(msg: object, args: tuple[object, ...]) -> str:
    try:
        return printable(str(msg) % args if args else msg, LIMIT)
    except Exception:  # a record must not be lost because its writer erred
        return printable(msg, LIMIT)
