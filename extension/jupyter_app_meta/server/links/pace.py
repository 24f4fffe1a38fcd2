"""Changes on their way from the threads that make them to kernels: many that come fast become one.

1. A change is told as soon as the loop comes to it. Those of one scope that a kernel has not been told by then are one.
2. Telling takes at most one part in ``PARTS`` of the loop's time, however many write and watch. The rest waits.
3. Of a key that was written several times, the last writer is told. What is there is read by the kernel itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from ...state.changes import KEYS, told_keys
from ...state.live.events import Changed

PARTS = 5

Soon = Callable[[float, Callable[[], None]], bool]
Written = dict[str | None, str | None]
"""The last writer of each key; or, under None, who wrote if any key may have changed."""


class Pace:
    """The changes that are to be told; ``tell`` must not raise.

    ``soon`` calls a function on the loop after so many seconds, from any thread; it returns False if there is no loop.
    """

    def __init__(self, tell: Callable[[str, Changed], object], soon: Soon) -> None:
        self._tell, self._soon, self._lock = tell, soon, Lock()
        self._waiting: dict[tuple[str, str], Written] = {}
        self._is_due = False

    def put(self, kernel_id: str, event: Changed) -> None:
        """Tell a kernel of a change, from any thread."""
        name = kernel_id, event.scope
        with self._lock:
            self._waiting[name] = _merged(self._waiting.get(name, {}), event)
            is_due, self._is_due = self._is_due, True
        if not is_due and not self._soon(0.0, self._flush):
            with self._lock:
                self._waiting, self._is_due = {}, False

    def _flush(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            self._is_due = bool(waiting)
        if not waiting:
            return
        began = time.monotonic()
        for (kernel_id, scope), written in waiting.items():
            for event in _events(scope, written):
                self._tell(kernel_id, event)
        self._soon((PARTS - 1) * (time.monotonic() - began), self._flush)


def _merged(written: Written, event: Changed) -> Written:
    if None in written or event.keys is None or len(written) + len(event.keys) > KEYS:
        return {None: event.by if {*written.values()} <= {event.by} else None}
    return {**written, **dict.fromkeys(event.keys, event.by)}


def _events(scope: str, written: Written) -> list[Changed]:
    """Return an event for each of those who wrote; one for all if anything may have changed."""
    if None in written:
        return [Changed(scope, None, written[None])]
    keys: dict[str | None, list[str]] = {}
    for key, by in written.items():
        keys.setdefault(by, []).append(str(key))
    return [Changed(scope, told_keys(some), by) for by, some in keys.items()]
