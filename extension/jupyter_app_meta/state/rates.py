"""How fast a kernel may ask: a bucket that says how long an answer waits. It refuses nothing."""

from __future__ import annotations

from threading import Lock


class Bucket:
    """Lets through ``burst`` requests at once, and ``rate`` requests a second from then on. It is safe in threads."""

    __slots__ = ("_burst", "_lock", "_rate", "_spent_until")

    def __init__(self, rate: float, burst: int) -> None:
        if not rate > 0 or burst < 1:
            raise ValueError("rate must be above 0 and burst at least 1")
        self._rate, self._burst, self._lock = rate, burst, Lock()
        self._spent_until = float("-inf")  # the moment at which all that was let through is paid for

    def delay(self, now: float) -> float:
        """Count one request, and return for how many seconds its answer waits. ``now`` is of a monotonic clock."""
        with self._lock:
            self._spent_until = max(self._spent_until, now) + 1 / self._rate
            return max(0.0, self._spent_until - now - self._burst / self._rate)
