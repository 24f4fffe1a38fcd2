"""The thread of a feed, and what a store that is polled must remember to tell others' changes from its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from ...errors import StateUnavailable
from .base import RESYNC, Notice

# Seconds: how long `feed()` waits until the store is heard, and how long a lost store is left alone.
READY, FIRST_PAUSE, LONGEST_PAUSE = 5.0, 0.1, 5.0
# Seconds between two looks at what has arrived: how long a close may take.
LOOK = 0.2

# Listens until the event is set. It yields as soon as it hears, then whatever it hears, and None when it is idle.
Source = Callable[[threading.Event], Iterator[Notice | None]]
Heard = Callable[[Notice], None]

log = logging.getLogger(__name__)


class Feed:
    """Those who listen to a store, and the thread that hears for them. The thread runs while there is a listener."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._heard: list[Heard] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped, self._ready = threading.Event(), threading.Event()

    def listen(self, heard: Heard) -> Listening:
        """Add a listener; waits up to 5 seconds until the store is heard. If it is away, a resync follows later."""
        with self._lock:
            self._heard.append(heard)
            if self._thread is None:
                self._start()
            ready = self._ready
        ready.wait(READY)
        return Listening(lambda: self._forget(heard))

    def close(self) -> None:
        """Drop every listener, and end the thread."""
        with self._lock:
            self._heard.clear()
            thread = self._end()
        _join(thread)

    def _start(self) -> None:
        self._stopped, self._ready = threading.Event(), threading.Event()
        arguments = (self._stopped, self._ready)
        self._thread = threading.Thread(target=self._run, args=arguments, name="app-meta state feed", daemon=True)
        self._thread.start()

    def _forget(self, heard: Heard) -> None:
        with self._lock:
            if heard in self._heard:
                self._heard.remove(heard)
            if self._heard:
                return
            thread = self._end()
        _join(thread)

    def _end(self) -> threading.Thread | None:
        """Let the thread end, and return it. The lock is held: who listens from now on starts another one."""
        thread, self._thread = self._thread, None
        self._stopped.set()
        return thread

    def _run(self, stopped: threading.Event, ready: threading.Event) -> None:
        lost, pause = False, FIRST_PAUSE
        while not stopped.is_set():
            try:
                for notice in self._source(stopped):
                    self._tell(RESYNC if lost else notice)
                    lost, pause = False, FIRST_PAUSE
                    ready.set()
            # Whatever a driver raises, the feed tries again: it must not end in silence.
            except Exception as error:
                log.warning("the feed of the state store was lost: %s", type(error).__name__)
                lost = True
                stopped.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _tell(self, notice: Notice | None) -> None:
        if notice is None:
            return
        for heard in tuple(self._heard):
            try:
                heard(notice)
            # One listener's error must not cost the others their notice.
            except Exception:
                log.exception("a listener of the state store failed")


def _join(thread: threading.Thread | None) -> None:
    if thread is not None and thread is not threading.current_thread():
        thread.join(READY)


class Listening:
    """One listener's place in a feed."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end

    def close(self) -> None:
        """Hear nothing more."""
        self._end()


class Seen:
    """Which revision of which scope is known here, so that a poll tells only what others wrote.

    A scope has one revision, the last. An own write counts as known only if the revision before it was known: else
    another's write lies between, and the poll must still tell of it. ``window``, in microseconds, is how much later
    than a higher revision a lower one may appear.
    """

    def __init__(self, window: int) -> None:
        self._window, self._floor = window, 0
        self._known: dict[str, int] | None = None
        self._lock = threading.Lock()

    @property
    def floor(self) -> int:
        """What a poll need not look at: revisions up to this one."""
        return self._floor

    def begin(self, rows: Iterable[tuple[str, int]]) -> None:
        """Begin to poll: what is there now is known."""
        with self._lock:
            self._known, self._floor = {}, 0
        self.fresh(rows)

    def end(self) -> None:
        """Remember nothing more, as no poll will ask."""
        with self._lock:
            self._known = None

    def own(self, scope: str, last: int, revision: int) -> None:
        """Note an own write, before others can see it."""
        with self._lock:
            if self._known is not None and (last <= self._floor or self._known.get(scope) == last):
                self._known[scope] = revision

    @contextmanager
    def unless_undone(self) -> Iterator[None]:
        """Forget what is known if the store fails in this block: an own write of it may not have happened.

        If the clock was set back, another's write may have the revision that it would have had.
        """
        try:
            yield
        except StateUnavailable:
            with self._lock:
                self._known = None if self._known is None else {}
            raise

    def fresh(self, rows: Iterable[tuple[str, int]]) -> list[str]:
        """Return the scopes of a poll that others wrote; from now on they are known.

        An own write may have come since the poll looked. It is known only if the one before it was, so what the poll
        has seen of that scope is known as well, and the own write stays known for the next poll.
        """
        with self._lock:
            found, known = dict(rows), self._known or {}
            told = [scope for scope, revision in found.items() if known.get(scope, 0) < revision]
            highest = max(found.values(), default=0)
            self._floor = max(self._floor, highest - self._window)
            newest = {scope: max(revision, known.get(scope, 0)) for scope, revision in (known | found).items()}
            self._known = {scope: revision for scope, revision in newest.items() if revision > self._floor}
            return told
