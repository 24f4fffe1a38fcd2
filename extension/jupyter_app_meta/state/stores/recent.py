"""Which scopes were lately marked as used, so that reading them does not write each time."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

# Seconds between two marks of one scope, and the most scopes to remember.
HOUR, MOST = 3600.0, 10_000


class Recent:
    """The scopes that were marked within the hour."""

    def __init__(self) -> None:
        self._marked: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def has(self, scope: str) -> bool:
        """Return whether the scope needs no mark now."""
        return time.monotonic() - self._marked.get(scope, -HOUR) < HOUR

    def due(self, scope: str) -> bool:
        """Return whether to mark the scope now. The answer is yes once an hour."""
        now = time.monotonic()
        with self._lock:
            if now - self._marked.get(scope, -HOUR) < HOUR:
                return False
            self._marked[scope] = now
            self._marked.move_to_end(scope)
            if len(self._marked) > MOST:
                self._marked.popitem(last=False)
            return True
