"""Since when the grants of an identity are refused: ended by an administrator, or forgotten. All servers see it."""

from __future__ import annotations

import time
from threading import Lock

from .grants import CLOCK_SKEW, LIFETIME
from .keys import Identity, Scope
from .stores.base import Store

REVOKED = Scope("revoked", "")

LOGOUTS = Scope("logouts", "")
"""Where a store keeps which sessions have ended before their time."""

REMEMBERED = 2.0
"""Seconds for which an answer of the store is remembered."""

MOMENT = 0.002
"""Seconds by which a new grant is later than a revocation. Grants know their time to the millisecond."""

IDENTITIES = 10_000
"""How many answers are remembered."""


class Revoked:
    """The moments of revocation, which a store keeps by its own clock. It is safe to use from any thread."""

    __slots__ = ("_known", "_lock", "_store", "_turn")

    def __init__(self, store: Store) -> None:
        self._store, self._lock = store, Lock()
        self._known: dict[str, tuple[float, float | None]] = {}
        self._turn = 0

    @property
    def turn(self) -> int:
        """A number that changes with each revocation that this server learns of: grants that it holds may be over."""
        return self._turn

    def after(self, identity: Identity, now: float) -> float:
        """Return ``now``, or a moment after the latest revocation that is known here, if another clock is ahead."""
        with self._lock:
            _, moment = self._known.get(identity.text, (0.0, None))
        return now if moment is None else max(now, min(moment + MOMENT, now + CLOCK_SKEW))

    def recalled(self, identity: Identity) -> float | None:
        """Return what is known here of the latest revocation, without asking the store."""
        with self._lock:
            return self._known.get(identity.text, (0.0, None))[1]

    def lately(self, identity: Identity) -> float | None:
        """Return what ``not_before`` does; raises LookupError if that is not known without asking the store."""
        with self._lock:
            read, moment = self._known.get(identity.text, (float("-inf"), None))
        if time.monotonic() - read >= REMEMBERED:
            raise LookupError
        return moment

    def not_before(self, identity: Identity) -> float | None:
        """Return when an identity was last revoked, in seconds since the epoch; None if it was not."""
        text, now = identity.text, time.monotonic()
        with self._lock:
            read, moment = self._known.get(text, (float("-inf"), None))
        if now - read < REMEMBERED:
            return moment
        entry = self._store.read(REVOKED.id, (text,)).get(text)
        return self._remember(text, now, None if entry is None else entry.version / 1e6)

    def revoke(self, identity: Identity) -> None:
        """Refuse all grants that this identity has until now. Other servers notice it within seconds."""
        text = identity.text
        # A version is the store's time in microseconds, so all servers agree on the moment.
        versions = self._store.apply(REVOKED, {}, {text: "1"}, (), LIFETIME + CLOCK_SKEW)
        self._remember(text, time.monotonic(), versions[text] / 1e6)

    def _remember(self, text: str, now: float, moment: float | None) -> float | None:
        with self._lock:
            _, known = self._known.pop(text, (0.0, None))
            if known is not None and (moment is None or moment < known):
                moment = known  # a slow answer from before a revocation that this server knows
            self._turn += moment is not None and moment != known
            while len(self._known) >= IDENTITIES:
                del self._known[next(iter(self._known))]
            self._known[text] = (now, moment)
        return moment
