"""How fast a kernel may ask: a bucket that says how long an answer waits. It refuses nothing.

A kernel that goes on asking faster than it may takes processor time from everybody's pages, also while it waits in
between. So it becomes slower the longer it goes on, and as fast as before in the same time when it asks less.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock


@dataclass(frozen=True, slots=True)
class Rates:
    """``burst`` requests at once and ``rate`` a second from then on, which ``slowest`` replaces within ``seconds``.

    No request waits for more than ``longest`` seconds.
    """

    rate: float
    burst: int
    slowest: float
    seconds: float
    longest: float

    def __post_init__(self) -> None:
        if not self.rate >= self.slowest > 0 or self.burst < 1 or not (self.seconds > 0 and self.longest > 0):
            raise ValueError("rate must be at least slowest, burst at least 1, and the others above 0")

    def cost(self, strain: float) -> float:
        """Return the seconds between two requests after so many seconds of too many."""
        part = strain / self.seconds
        return (1 - part) / self.rate + part / self.slowest


class Bucket:
    """Lets requests through at these rates. It is safe in threads."""

    __slots__ = ("_last", "_lock", "_rates", "_spent_until", "_strain")

    def __init__(self, rates: Rates) -> None:
        self._rates, self._lock = rates, Lock()
        self._spent_until = float("-inf")  # the moment at which all that was let through is paid for
        self._strain, self._last = 0.0, 0.0  # the seconds in which too many came, and the moment of the last one

    def delay(self, now: float) -> float:
        """Count one request, and return for how many seconds its answer waits. ``now`` is of a monotonic clock."""
        rates = self._rates
        with self._lock:
            free = now + rates.burst / rates.rate
            self._spent_until = min(max(self._spent_until, now) + rates.cost(self._strain), free + rates.longest)
            passed, self._last = now - self._last, now
            waits = max(0.0, self._spent_until - free)
            self._strain = min(max(0.0, self._strain + (passed if waits else -passed)), rates.seconds)
            return waits
