"""Messages between pages: who listens in this server, and what reaches them from here, elsewhere and administrators.

1. A listener is code of one visitor in one kernel. It hears what is sent to its page, to its visitor, and to everybody
   on its dashboard, its own visitor's messages as well.
2. A message is heard at most once, by those that listen when it is sent. None is kept for later.
3. A kernel sends at most ``RATE`` messages a second. All that listen on one dashboard hear at most ``HEARD`` a second
   together, however many kernels send. More is refused, or, if another server has sent it, dropped.
4. A listener whose visitor was revoked hears nothing that is sent to that visitor, until the server has made a new
   grant for the same code. It does so at the next message of a page that is still open.
5. What is known of a space in which no code listens is forgotten when a kernel ends.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from ...errors import StateUnavailable, TooLarge
from .. import values
from ..changes import Watcher
from ..grants import BadGrant, Claims
from ..keys import Identity, Scope, Space, scope_of
from ..operations import Send
from ..stores.base import Closeable, Notice, Store
from .allowance import Allowance
from .events import Sent
from .outbox import Letter, Outbox

RATE, BURST = 20, 50
HEARD, HEARD_BURST = 2000, 5000
LISTENERS = 256
"""How many visitors may listen in one kernel."""

_CHANNEL = "messages"  # what the name of a listener is made from, in place of a scope

Tell = Callable[[str, Sent], object]


class Relay:
    """The listeners of one server; ``tell`` passes an event to a kernel. It is safe to use from any thread."""

    __slots__ = (
        "_claims",
        "_feed",
        "_feeding",
        "_listeners",
        "_lock",
        "_not_before",
        "_outboxes",
        "_rates",
        "_store",
        "_tell",
    )

    def __init__(self, store: Store, tell: Tell, not_before: Callable[[Identity], float | None]) -> None:
        self._store, self._tell, self._not_before, self._lock = store, tell, not_before, Lock()
        self._listeners: dict[str, set[Watcher]] = {}  # by the scope that is sent to
        self._claims: dict[Watcher, Claims] = {}  # what their grants say
        self._outboxes: dict[str, Outbox] = {}
        self._rates: dict[str, Allowance] = {}
        self._feeding = Lock()  # a feed that begins or ends may wait for a notice
        self._feed: Closeable | None = None

    def listen(self, claims: Claims, scope: Scope) -> str:
        """Let this visitor's code hear messages from now on; return the name by which events call it."""
        watcher = Watcher.of(claims)
        self._follow(claims.space.text)
        with self._lock:
            mine = {one for one in self._claims if one.kernel_id == claims.kernel_id}
            if len(mine) >= LISTENERS and watcher not in mine:
                raise TooLarge(f"At most {LISTENERS} visitors listen in one kernel.")
            self._claims[watcher] = claims
            for target in _targets(claims, scope):
                self._listeners.setdefault(target, set()).add(watcher)
        return watcher.name(_CHANNEL)

    def unlisten(self, claims: Claims) -> None:
        """Let this visitor's code hear nothing more."""
        watcher = Watcher.of(claims)
        self._drop(lambda one: one == watcher)

    def ended(self, kernel_id: str) -> None:
        """Forget a kernel whose process has ended."""
        self._drop(lambda one: one.kernel_id == kernel_id)
        self._forget_idle()

    def _forget_idle(self) -> None:
        """Forget the spaces in which no code listens, and all rates of which nothing is spent. Consoles come and go."""
        with self._lock:
            for space, box in tuple(self._outboxes.items()):
                if box.is_idle and scope_of("shared", Space.read(space), None).id not in self._listeners:
                    del self._outboxes[space]
            self._rates = {name: rate for name, rate in self._rates.items() if not rate.is_full}

    def renewed(self, claims: Claims) -> None:
        """Let a listener, whose grant may have been revoked, hear again what is sent to its visitor."""
        with self._lock:
            if (watcher := Watcher.of(claims)) in self._claims:
                self._claims[watcher] = claims

    def send(self, claims: Claims, scope: Scope, message: Send) -> None:
        """Pass a message to those that listen, here and in other servers; raises TooLarge for too many."""
        values.verify(message.data)
        letter, space = Letter(scope.id, message.name, message.data), claims.space.text
        if not self._allowance(claims.kernel_id, RATE, BURST).spend():
            raise TooLarge(f"A kernel sends at most {RATE} messages a second. Send fewer, or several values as one.")
        if not self._may_be_heard(space, letter):
            raise TooLarge("The pages of this dashboard get too many messages. Send fewer, or send them later.")
        self._outbox(space).put(letter)
        self._deliver(letter)

    def tell(self, kernel_id: str, identity: str | None, name: str, data: str) -> bool:
        """Pass an administrator's message to one visitor's code in a kernel; return whether that code listens."""
        with self._lock:
            mine = [one for one in self._claims if (one.kernel_id, one.identity) == (kernel_id, identity)]
        for one in mine:
            self._tell(kernel_id, Sent(one.name(_CHANNEL), name, data))
        return bool(mine)

    def heard(self, notice: Notice) -> None:
        """Pass on what other servers have sent."""
        with self._lock:
            boxes = {space: box for space, box in self._outboxes.items() if notice.scope in (None, box.id)}
        for space, box in boxes.items():
            try:
                letters = box.take(None if notice.scope is None else notice.keys)
            except StateUnavailable:  # the feed tells of the gap as soon as the store is back
                continue
            for letter in letters:
                if self._may_be_heard(space, letter):
                    self._deliver(letter)

    def close(self) -> None:
        """Forget all listeners, and end the feed."""
        self._drop(lambda one: True)
        with self._feeding:
            feed, self._feed = self._feed, None
        if feed is not None:
            feed.close()

    def _follow(self, space: str) -> None:
        """Hear what other servers send in a space from now on."""
        with self._feeding:
            if self._feed is None:
                self._feed = self._store.feed(self.heard)
        self._outbox(space).begin()

    def _outbox(self, space: str) -> Outbox:
        with self._lock:
            return self._outboxes.setdefault(space, Outbox(self._store, space))

    def _allowance(self, name: str, rate: float, burst: float) -> Allowance:
        with self._lock:
            return self._rates.setdefault(name, Allowance(rate, burst))

    def _may_be_heard(self, space: str, letter: Letter) -> bool:
        with self._lock:
            count = len(self._listeners.get(letter.to, ()))
        return self._allowance(space, HEARD, HEARD_BURST).spend(max(count, 1))

    def _deliver(self, letter: Letter) -> None:
        with self._lock:
            listeners = [(one, self._claims[one]) for one in self._listeners.get(letter.to, ())]
        for watcher, claims in listeners:
            if self._is_valid(claims, letter):
                self._tell(watcher.kernel_id, Sent(watcher.name(_CHANNEL), letter.name, letter.data))

    def _is_valid(self, claims: Claims, letter: Letter) -> bool:
        """Whether a listener's grant holds. What is for everybody needs no grant of a visitor."""
        if letter.to == scope_of("shared", claims.space, None).id:
            return True
        try:
            claims.check_revoked(self._not_before)
        except (BadGrant, StateUnavailable):
            return False
        return True

    def _drop(self, goes: Callable[[Watcher], bool]) -> None:
        with self._lock:
            gone = {watcher for watcher in self._claims if goes(watcher)}
            if not gone:
                return
            self._claims = {one: claims for one, claims in self._claims.items() if one not in gone}
            left = {target: some - gone for target, some in self._listeners.items()}
            self._listeners = {target: some for target, some in left.items() if some}


def _targets(claims: Claims, scope: Scope) -> set[str]:
    """Return the scopes whose messages a listener hears."""
    shared = scope_of("shared", claims.space, None)
    if claims.identity is None:
        return {shared.id}
    return {scope.id, scope_of("visitor", claims.space, claims.identity).id, shared.id}
