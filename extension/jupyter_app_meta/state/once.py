"""Each request is done once, however often a kernel sends it.

A kernel sends a request again if no answer came in time: the server may have been frozen, or the link may be new. Its
id is the same then. The answers to the latest requests of each kernel are kept for it. Work that has to be tried again
later is the same request until it is done or given up.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

ANSWERS = 64
"""How many requests of one kernel may be in work, and how many of its answers are kept."""

TRIES = 100
"""How often work is tried."""

PAUSE, LONGEST_PAUSE = 0.002, 0.05
"""By how many seconds the pauses between the tries grow, and the longest one."""

Content = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Later:
    """Work that has done nothing yet and is to be tried again after so many seconds, or else to be given up."""

    seconds: float
    again: Callable[[], Content | Later]
    give_up: Callable[[], object] = lambda: None


def pause(tries: int) -> float:
    """Return how many seconds pass until work that was tried so often is tried again. No two pauses are the same."""
    return random.uniform(0, min(PAUSE * tries, LONGEST_PAUSE))  # noqa: S311  # it is not a secret


class Busy(Exception):
    """The kernel has so many requests in work that one more is refused."""


class Once:
    """The latest requests of one kernel, by their id. It is safe to use from any thread."""

    __slots__ = ("_answers", "_lock", "_working")

    def __init__(self) -> None:
        self._lock = Lock()
        self._working: set[str] = set()
        self._answers: dict[str, Content] = {}

    def do(self, request_id: str, work: Callable[[], Content | Later], keeps: bool = True) -> Content | Later | None:
        """Return the answer that the work made, now or before; None while it is being made by another call.

        ``Later`` is to be tried again, or given up: until then the request is in work. Work that changes nothing may be
        done twice, so that its answer, which may be large, need not be kept. Raises Busy if too many requests are in
        work. The work must not raise.
        """
        with self._lock:
            if request_id in self._answers or request_id in self._working:
                return self._answers.get(request_id)
            if len(self._working) >= ANSWERS:
                raise Busy
            self._working.add(request_id)
        return self._done(request_id, work, keeps)

    def _done(self, request_id: str, work: Callable[[], Content | Later], keeps: bool) -> Content | Later:
        answer = None
        try:
            answer = work()
            if isinstance(answer, Later):
                again, forget = answer.again, lambda: self._forget(request_id)
                return Later(answer.seconds, lambda: self._done(request_id, again, keeps), forget)
            if keeps:
                self._keep(request_id, answer)
        finally:
            if not isinstance(answer, Later):
                self._forget(request_id)
        return answer

    def _forget(self, request_id: str) -> None:
        with self._lock:
            self._working.discard(request_id)

    def _keep(self, request_id: str, answer: Content) -> None:
        with self._lock:
            while len(self._answers) >= ANSWERS:
                del self._answers[next(iter(self._answers))]
            self._answers[request_id] = answer
