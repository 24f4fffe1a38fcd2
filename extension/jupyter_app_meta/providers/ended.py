"""Sessions that have ended before their time, because their visitor logged out.

At most ``MOST`` are remembered. If one had to be forgotten, all sessions that last no longer than that one have ended.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from .identified import Session

MOST = 10_000


class Ended:
    """Sessions that no cookie can bring back. A session is forgotten when it would be over anyway.

    ``on_end`` is called for each session that ends here. Sessions are known by a digest of their id.
    """

    def __init__(self, most: int = MOST) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()
        self._untold: dict[str, float] = {}
        self._most, self._floor = most, 0.0
        self.on_end: Callable[[], None] | None = None

    def add(self, session: Session) -> None:
        """End a session."""
        digest = _digest(session)
        self.note(digest, session.until)
        if self.on_end and len(self._untold) < self._most:
            self._untold[digest] = session.until
            self.on_end()

    def note(self, digest: str, until: float) -> None:
        """Remember a session that has ended. Of too many, those that would be over first are forgotten first."""
        now = time.time()
        if len(self._until) >= self._most:
            self._until = OrderedDict(sorted((item for item in self._until.items() if item[1] > now), key=_until))
        while len(self._until) >= self._most:
            self._floor = max(self._floor, self._until.popitem(last=False)[1])
        self._until[digest] = until

    def untold(self) -> dict[str, float]:
        """Return the sessions that ended here and that no other server knows of, and until when each would last."""
        return dict(self._untold)

    def tell(self, digests: Iterable[str]) -> None:
        """Note that the other servers know of these sessions."""
        for digest in digests:
            self._untold.pop(digest, None)

    def __contains__(self, session: Session) -> bool:
        return session.until <= self._floor or _digest(session) in self._until

    def __len__(self) -> int:
        return len(self._until)


def _digest(session: Session) -> str:
    return hashlib.sha256(session.id.encode()).hexdigest()


def _until(item: tuple[str, float]) -> float:
    return item[1]
