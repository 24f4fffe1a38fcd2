"""Random numbers of a forked process: each child has its own, unless the notebook chose them with a seed.

1. CPython gives ``random`` a new seed in each child. A notebook that called ``random.seed(42)`` expects its numbers to
   be those that follow 42, so its state is restored.
2. NumPy does not notice a fork. Its global generator gets a new seed, unless it was seeded. That ``seed()`` was called
   without a number cannot be seen afterwards, so the calls are noted from NumPy's import on.
3. A generator that is an object, such as ``numpy.random.default_rng()``, belongs to the author: all children share what
   was made before the fork. ``uuid``, ``secrets`` and ``tempfile`` ask the system each time, or notice forks.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

NUMPY = "numpy.random"

_State = tuple[Any, ...]


class Seeds:
    """Knows whether the notebook seeded ``random`` and NumPy, and what the state of ``random`` was at the last fork."""

    def __init__(self) -> None:
        self._seed, self._setstate = random.seed, random.setstate
        self._is_seeded = False
        self._state: _State | None = None
        self._is_numpy_seeded: bool | None = None
        self._replaced: list[tuple[Any, str, Any]] = []

    def watch(self) -> None:
        """Note from now on when code seeds ``random`` or NumPy."""
        self._replace(random, seed=self._seeded, setstate=self._restored)
        if numpy := sys.modules.get(NUMPY):
            self._watch_numpy(numpy)
        else:
            sys.meta_path.insert(0, _AfterImport(NUMPY, self._watch_numpy))

    def before_fork(self) -> None:
        """Keep the state that was chosen. It has to be kept before each fork."""
        self._state = random.getstate() if self._is_seeded else None

    def in_child(self) -> None:
        """Give this process, a child, its random numbers, and functions that can be sent to other processes again."""
        for place, name, function in self._replaced:
            setattr(place, name, function)
        sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder) is not _AfterImport]
        if self._state is not None:
            self._setstate(self._state)
        numpy = sys.modules.get(NUMPY)
        if numpy is None:
            return
        is_chosen = _has_let_go(numpy) if self._is_numpy_seeded is None else self._is_numpy_seeded
        if not is_chosen:
            numpy.mtrand.seed()

    def _seeded(self, *given: Any, **named: Any) -> None:
        self._seed(*given, **named)
        self._is_seeded = any(seed is not None for seed in (*given, *named.values()))

    def _restored(self, state: _State) -> None:
        self._setstate(state)
        self._is_seeded = True

    def _watch_numpy(self, numpy: Any) -> None:
        seed, set_state = numpy.seed, numpy.set_state

        def seeded(*given: Any, **named: Any) -> None:
            seed(*given, **named)
            self._is_numpy_seeded = any(number is not None for number in (*given, *named.values()))

        def restored(*given: Any, **named: Any) -> None:
            set_state(*given, **named)
            self._is_numpy_seeded = True

        self._replace(numpy, seed=seeded, set_state=restored)

    def _replace(self, place: Any, **functions: Callable[..., None]) -> None:
        for name, function in functions.items():
            self._replaced.append((place, name, getattr(place, name)))
            setattr(place, name, function)


def _has_let_go(numpy: Any) -> bool:
    """Whether NumPy's global generator has let go of the sequence from which it began: it was seeded in some way."""
    try:
        return numpy.mtrand._rand._bit_generator._seed_seq is None
    except AttributeError:  # another release; then numbers that differ are the safer ones
        return False


class _AfterImport:
    """Finds a module, and calls a function with it as soon as it is imported."""

    def __init__(self, name: str, then: Callable[[ModuleType], None]) -> None:
        self._name, self._then = name, then

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the module's spec; None for any other module."""
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.loader:
            self._follow(spec.loader)
        return spec

    def _follow(self, loader: Any) -> None:
        load = loader.exec_module

        def loaded(module: ModuleType) -> None:
            load(module)
            self._then(module)

        loader.exec_module = loaded
