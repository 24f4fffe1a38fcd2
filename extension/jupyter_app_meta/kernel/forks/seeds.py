"""Random numbers of a forked process: each child has its own, unless the notebook chose them with a seed.

1. CPython gives ``random`` a new seed in each child. A notebook that called ``random.seed(42)`` expects its numbers to
   be those that follow 42, so its state is restored.
2. NumPy does not notice a fork. Its global generator gets a new seed, unless it was seeded.
3. A generator that is an object, such as ``numpy.random.default_rng()``, belongs to the author: all children share what
   was made before the fork. ``uuid``, ``secrets`` and ``tempfile`` ask the system each time, or notice forks.
"""

from __future__ import annotations

import random
import sys
from typing import Any

_State = tuple[Any, ...]


class Seeds:
    """Knows whether the notebook seeded ``random``, and what its state was at the last fork."""

    def __init__(self) -> None:
        self._seed, self._setstate = random.seed, random.setstate
        self._is_seeded = False
        self._state: _State | None = None

    def watch(self) -> None:
        """Note from now on when code seeds ``random``."""
        random.seed, random.setstate = self._seeded, self._restored

    def before_fork(self) -> None:
        """Keep the state that was chosen. It has to be kept before each fork."""
        self._state = random.getstate() if self._is_seeded else None

    def in_child(self) -> None:
        """Give this process, a child, its random numbers."""
        if self._state is not None:
            self._setstate(self._state)
        numpy = sys.modules.get("numpy.random")
        if numpy is not None and not _is_numpy_seeded(numpy):
            numpy.seed()

    def _seeded(self, *given: Any, **named: Any) -> None:
        self._seed(*given, **named)
        self._is_seeded = any(seed is not None for seed in (*given, *named.values()))

    def _restored(self, state: _State) -> None:
        self._setstate(state)
        self._is_seeded = True


def _is_numpy_seeded(numpy: Any) -> bool:
    """Whether NumPy's global generator was seeded: then it has let go of the sequence from which it began."""
    try:
        return numpy.mtrand._rand._bit_generator._seed_seq is None
    except AttributeError:  # another release; then numbers that differ are the safer ones
        return False
