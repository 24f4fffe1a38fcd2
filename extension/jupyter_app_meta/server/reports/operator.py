"""The log that an operator reads: each record has a time and a level, whichever library writes it."""

from __future__ import annotations

import logging
from importlib.util import find_spec

from .json_lines import JsonFormatter

FORM = "[%(levelname)1.1s %(asctime)s.%(msecs)03d %(name)s] %(message)s"
DATES = "%Y-%m-%d %H:%M:%S"

LIBRARIES = ("jupyter_client", "jupyter_server", "nbclient", "voila")
"""They write a line for each kernel that starts, connects and ends, into the log of the program that uses them."""


class Quieter(logging.Filter):
    """Makes what libraries say of their own work one level lower: their "info" is "debug"."""

    def __init__(self, log: logging.Logger) -> None:
        super().__init__()
        found = (find_spec(name) for name in LIBRARIES)
        self._places = tuple(f"{place}/" for spec in found if spec for place in spec.submodule_search_locations or ())
        self._log = log

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is still wanted."""
        if record.levelno != logging.INFO or not record.pathname.startswith(self._places):
            return True
        record.levelno, record.levelname = logging.DEBUG, logging.getLevelName(logging.DEBUG)
        return self._log.isEnabledFor(logging.DEBUG)


def use(log: logging.Logger, *, json: bool) -> None:
    """Let a program's log, and the warnings of libraries with logs of their own, have this form, or that of JSON."""
    formatter = JsonFormatter() if json else logging.Formatter(FORM, DATES)
    log.addFilter(Quieter(log))
    log.propagate = False
    for handler in log.handlers:
        handler.setFormatter(formatter)
        logging.getLogger().addHandler(handler)
