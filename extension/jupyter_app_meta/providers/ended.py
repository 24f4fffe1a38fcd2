"""Sessions that have ended before their time, because their visitor logged out.

At most ``MOST`` are remembered. If one had to be forgotten, all sessions that last no longer than that one have ended.
"""

from __future__ import annotations

import time
from collections import OrderedDict

from .identified import Session

MOST = 10_000


class Ended:
    """The ids of sessions that no cookie can bring back. An id is forgotten when its session would be over anyway."""

    def __init__(self, most: int = MOST) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()
        self._most, self._floor = most, 0.0

    def add(self, session: Session) -> None:
        """End a session. Of too many, those that would be over first are forgotten first."""
        now = time.time()
        if len(self._until) >= self._most:
            self._until = OrderedDict(sorted((item for item in self._until.items() if item[1] > now), key=_until))
        while len(self._until) >= self._most:
            self._floor = max(self._floor, self._until.popitem(last=False)[1])
        self._until[session.id] = session.until

    def __contains__(self, session: Session) -> bool:
        return session.until <= self._floor or session.id in self._until

    def __len__(self) -> int:
        return len(self._until)


def _until(item: tuple[str, float]) -> float:
    return item[1]
