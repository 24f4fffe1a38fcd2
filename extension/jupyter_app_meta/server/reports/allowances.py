"""How many lines a page, or a server, may write into the log, so that no visitor can fill the disk."""

from __future__ import annotations

import time


class Allowance:
    """A number of lines at once (``burst``) and a number per second (``rate``). Lines beyond these are only counted."""

    def __init__(self, burst: float, rate: float) -> None:
        self._burst, self._rate = burst, rate
        self._left, self._since = burst, time.monotonic()
        self.dropped = 0

    def left(self) -> int:
        """Return how many lines may be written now."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._since) * self._rate)
        self._since = now
        return int(self._left)

    def take(self, lines: int) -> None:
        """Note that lines are written."""
        self._left -= lines

    def drop(self, lines: int) -> None:
        """Note that lines were not written."""
        self.dropped += lines

    def told(self) -> int:
        """Return how many lines were left out since the last call."""
        dropped, self.dropped = self.dropped, 0
        return dropped
