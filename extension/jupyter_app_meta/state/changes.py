"""Who watches which scope, and who is told of a change.

1. A watcher is code of one visitor in one kernel. It is not told of its own writes.
2. A watcher is told after the store has the change. Several changes may be told as one.
3. What other servers change comes from the store's feed. The feed runs while there is a watcher.
4. After a gap in the feed, each watcher is told that anything may have changed.
5. A watcher whose visitor was revoked is told nothing until the server has made a new grant for the same code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from threading import Lock

from ..errors import TooLarge
from .grants import Claims
from .keys import Scope
from .live.events import Changed
from .stores.base import Closeable, Notice, Store

WATCHES = 256
"""How many scopes the code of one kernel may watch."""

KEYS, LETTERS = 100, 10_000
"""How many keys, and characters of keys, an event names at most. Beyond that it says that anything may have changed."""

Send = Callable[[str, Changed], object]


@dataclass(frozen=True, slots=True)
class Watcher:
    """Code of one visitor in one kernel."""

    kernel_id: str
    identity: str | None
    tab: str | None

    @classmethod
    def of(cls, claims: Claims) -> Watcher:
        """Return the watcher that a grant stands for."""
        return cls(claims.kernel_id, claims.identity.text if claims.identity else None, claims.tab)

    def name(self, scope: str) -> str:
        """Return the name by which events call this scope. Two watchers of one kernel have two names for it."""
        text = "\n".join((scope, self.identity or "", self.tab or ""))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


class Changes:
    """The watchers of one server; ``send`` passes an event to a kernel. It is safe to use from any thread."""

    __slots__ = ("_feed", "_feeding", "_lock", "_scopes", "_send", "_silent", "_store", "_watchers")

    def __init__(self, store: Store, send: Send) -> None:
        self._store, self._send, self._lock = store, send, Lock()
        self._feeding = Lock()  # a feed that begins or ends may wait for a notice, which needs the other lock
        self._watchers: dict[str, set[Watcher]] = {}
        self._silent: set[Watcher] = set()  # those whose visitor was revoked
        self._scopes: dict[str, Scope] = {}  # those that are watched
        self._feed: Closeable | None = None

    def watch(self, claims: Claims, scope: Scope) -> str:
        """Tell this watcher of changes from now on; return the name by which events call the scope."""
        watcher = Watcher.of(claims)
        with self._lock:
            mine = sum(any(one.kernel_id == watcher.kernel_id for one in some) for some in self._watchers.values())
            if mine >= WATCHES and scope.id not in self._watchers:
                raise TooLarge(f"A kernel watches at most {WATCHES} different states. Close a watch first.")
            self._watchers.setdefault(scope.id, set()).add(watcher)
            self._silent.discard(watcher)  # its grant was valid just now
            self._scopes[scope.id] = scope
        with self._feeding:
            if self._feed is None:
                self._feed = self._store.feed(self.heard)
        return watcher.name(scope.id)

    def unwatch(self, claims: Claims, scope: Scope) -> None:
        """Tell this watcher no more."""
        with self._lock:
            self._watchers.get(scope.id, set()).discard(Watcher.of(claims))
            self._drop_empty()
        self.end_feed()

    def ended(self, kernel_id: str) -> None:
        """Forget the watchers of a kernel that has ended."""
        with self._lock:
            for watchers in self._watchers.values():
                watchers -= {watcher for watcher in watchers if watcher.kernel_id == kernel_id}
            self._drop_empty()

    def of(self, space: str, identity: str) -> list[str]:
        """Return which scopes of a visitor in a space are watched."""
        with self._lock:
            return [id_ for id_, one in self._scopes.items() if (one.space, one.identity) == (space, identity)]

    def revoked(self, identity: str) -> None:
        """Tell the watchers of a visitor that anything may have changed, and nothing more until they are renewed."""
        with self._lock:
            told = [(scope, one) for scope, some in self._watchers.items() for one in some if one.identity == identity]
            self._silent |= {watcher for _, watcher in told}
        for scope, watcher in told:
            self._send(watcher.kernel_id, Changed(watcher.name(scope)))

    def renewed(self, claims: Claims) -> None:
        """Tell a watcher again. It may have missed something."""
        watcher = Watcher.of(claims)
        with self._lock:
            if watcher not in self._silent:
                return
            self._silent.discard(watcher)
            scopes = [scope for scope, some in self._watchers.items() if watcher in some]
        for scope in scopes:
            self._send(watcher.kernel_id, Changed(watcher.name(scope)))

    def done(self, claims: Claims, notice: Notice) -> None:
        """Tell the others of a change that code of this server has made."""
        self._tell(notice, Watcher.of(claims), claims.identity.name if claims.identity else None)

    def heard(self, notice: Notice) -> None:
        """Tell the watchers of a change that another server has made."""
        self._tell(notice, None, None)

    def close(self) -> None:
        """End the feed."""
        with self._lock:
            self._watchers.clear()
            self._silent.clear()
            self._scopes.clear()
        self.end_feed()

    def _tell(self, notice: Notice, author: Watcher | None, by: str | None) -> None:
        keys = None if notice.keys is None else told_keys(notice.keys)
        with self._lock:
            scopes = list(self._watchers) if notice.scope is None else [notice.scope]
            quiet = {author, *self._silent}
            told = [(scope, one) for scope in scopes for one in self._watchers.get(scope, ()) if one not in quiet]
        for scope, watcher in told:
            self._send(watcher.kernel_id, Changed(watcher.name(scope), keys, by))

    def _drop_empty(self) -> None:
        self._watchers = {scope: watchers for scope, watchers in self._watchers.items() if watchers}
        self._silent &= set[Watcher]().union(*self._watchers.values())
        self._scopes = {scope: self._scopes[scope] for scope in self._watchers}

    def end_feed(self) -> None:
        """End a feed for which there is no watcher. It may take seconds, so the event loop must not call it."""
        with self._feeding:
            if not self._watchers and self._feed is not None:
                feed, self._feed = self._feed, None
                feed.close()


def told_keys(keys: Collection[str]) -> tuple[str, ...] | None:
    """Return the keys that an event names; None if they are too many, so that anything may have changed."""
    return tuple(sorted(keys)) if len(keys) <= KEYS and sum(map(len, keys)) <= LETTERS else None
