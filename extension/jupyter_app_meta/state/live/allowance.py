"""How much may be sent: so much at once, and so much a second from then on. More is refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock


class Allowance:
    """Lets through ``burst`` units at once, and ``rate`` units a second from then on. It is safe in threads."""

    __slots__ = ("_burst", "_clock", "_left", "_lock", "_rate", "_read")

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock, self._lock = rate, burst, clock, Lock()
        self._left, self._read = burst, clock()

    @property
    def is_full(self) -> bool:
        """Whether a whole burst is left, so that a new allowance would be the same."""
        with self._lock:
            return self._left + (self._clock() - self._read) * self._rate >= self._burst

    def spend(self, units: float = 1) -> bool:
        """Return whether so many units are left, and count them. More than a burst counts as a burst."""
        with self._lock:
            now = self._clock()
            self._left = min(self._burst, self._left + (now - self._read) * self._rate)
            self._read = now
            units = min(units, self._burst)
            if self._left < units:
                return False
            self._left -= units
            return True
