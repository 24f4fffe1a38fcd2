"""Each request is done once, however often a kernel sends it.

A kernel sends a request again if no answer came in time: the server may have been frozen, or the link may be new. Its
id is the same then. The answers to the latest requests of each kernel are kept for it.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

ANSWERS = 64
"""How many requests of one kernel may be in work, and how many of its answers are kept."""

Content = dict[str, Any]


class Busy(Exception):
    """The kernel has so many requests in work that one more is refused."""


class Once:
    """The latest requests of one kernel, by their id. It is safe to use from any thread."""

    __slots__ = ("_answers", "_lock", "_working")

    def __init__(self) -> None:
        self._lock = Lock()
        self._working: set[str] = set()
        self._answers: dict[str, Content] = {}

    def do(self, request_id: str, work: Callable[[], Content], keeps: bool = True) -> Content | None:
        """Return the answer that the work made, now or before; None while it is being made by another call.

        Work that changes nothing may be done twice, so that its answer, which may be large, need not be kept.
        Raises Busy if too many requests are in work. The work must not raise.
        """
        with self._lock:
            if request_id in self._answers or request_id in self._working:
                return self._answers.get(request_id)
            if len(self._working) >= ANSWERS:
                raise Busy
            self._working.add(request_id)
        try:
            answer = work()
            if keeps:
                self._keep(request_id, answer)
        finally:
            with self._lock:
                self._working.discard(request_id)
        return answer

    def _keep(self, request_id: str, answer: Content) -> None:
        with self._lock:
            while len(self._answers) >= ANSWERS:
                del self._answers[next(iter(self._answers))]
            self._answers[request_id] = answer
