"""What the log says about an ASGI server on which dashboards cannot work, as soon as a request shows it.

1. A server without a WebSocket library serves a socket's handshake as an ordinary request. Pages stay blank.
2. Of several workers, each has its own kernels. A page asks a worker for a kernel that another one has.
"""

from __future__ import annotations

import logging
import re
import time

from ..dashboards.visits import Visits
from .types import Scope

_kernel = re.compile(r"/api/kernels/(?P<id>\w+(?:-\w+){4})(?:/channels)?", re.ASCII)

EVERY = 3600.0
"""After so many seconds a sentence is logged again, because the first one may have been a stranger's invention."""

NO_SOCKETS = (
    "The ASGI server does not speak WebSocket, so dashboards stay blank: install a library for it, such as "
    "pip install 'uvicorn[standard]', and start the server again."
)
NOT_HERE = (
    "A page asked for a kernel that this process has never had. If the server has several workers, pages reach the "
    "wrong one: run one worker, or let the proxy send each visitor to the same one. After a restart this is expected."
)


class Hints:
    """Watches the requests for kernels of one site. No visitor fills the log: each sentence is logged once an hour."""

    def __init__(self, visits: Visits, log: logging.Logger) -> None:
        self._visits, self._log, self._logged = visits, log, dict[str, float]()

    def watch(self, scope: Scope) -> None:
        """Log what a request shows about its server."""
        match = _kernel.search(scope["path"])
        if match is None:
            return
        if _is_handshake(scope):
            self._log_now_and_then(NO_SOCKETS)
        elif not self._visits.was_here(match["id"]):
            self._log_now_and_then(NOT_HERE)

    def _log_now_and_then(self, sentence: str) -> None:
        now = time.monotonic()
        if now - self._logged.get(sentence, -EVERY) >= EVERY:
            self._logged[sentence] = now
            self._log.warning(sentence)


def _is_handshake(scope: Scope) -> bool:
    """Whether an ordinary request is a socket's handshake that the server did not understand."""
    upgrade = (value for name, value in scope["headers"] if bytes(name).lower() == b"upgrade")
    return scope["type"] == "http" and any(b"websocket" in bytes(value).lower() for value in upgrade)
