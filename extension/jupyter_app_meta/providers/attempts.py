"""How often a login may be tried: so many times at once, and again one each few seconds. Memory is bounded."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

MOST = 10_000
"""How many names or addresses are remembered. Beyond it, the one that tried longest ago is forgotten."""


class Attempts:
    """Attempts by name or by address: ``burst`` at once, and one more each ``pause`` seconds."""

    def __init__(self, burst: int, pause: float, most: int = MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._pause, self._most, self._clock = burst, pause, most, clock
        self._paid: OrderedDict[str, float] = OrderedDict()  # the moment at which all attempts are paid for

    def wait(self, who: str) -> int:
        """Count an attempt and return 0, or return for how many seconds ``who`` must wait, and count nothing."""
        now = self._clock()
        paid = max(self._paid.pop(who, now), now)
        spent = paid + self._pause - now
        if spent > self._burst * self._pause:
            self._keep(who, paid)
            return math.ceil(spent - self._burst * self._pause)
        self._keep(who, paid + self._pause)
        return 0

    def give_back(self, who: str) -> None:
        """Forget one attempt, because it was right."""
        if who in self._paid:
            self._paid[who] -= self._pause

    def __len__(self) -> int:
        return len(self._paid)

    def _keep(self, who: str, paid: float) -> None:
        self._paid[who] = paid
        while len(self._paid) > self._most:
            self._paid.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Limits:
    """How often a login may be tried under one name, and from one address.

    A browser in which the user has logged in before is counted by itself: strangers who guess lock no user out.
    """

    by_name: Attempts = field(default_factory=lambda: Attempts(burst=10, pause=30))
    by_address: Attempts = field(default_factory=lambda: Attempts(burst=20, pause=10))
    by_browser: Attempts = field(default_factory=lambda: Attempts(burst=10, pause=30))

    def wait(self, name: str, address: str, browser: str) -> int:
        """Count an attempt and return 0, or return for how many seconds the visitor must wait."""
        if browser:
            return self.by_browser.wait(browser)
        return self.by_address.wait(address) or self.by_name.wait(name)

    def give_back(self, name: str, address: str, browser: str) -> None:
        """Forget one attempt, because it was right."""
        if browser:
            self.by_browser.give_back(browser)
        else:
            self.by_address.give_back(address)
            self.by_name.give_back(name)
