"""Threads for what servers and administrators ask of a store: of its own, because a store that is frozen holds them.

1. Each store has its threads. While one store does not answer, other stores and pages are not held up: reading a
   notebook or checking a password needs a thread of the loop's, and a store never has one of those.
2. The server's own work, a few tasks that are each at one thing at a time, has enough threads for all of them. A
   name that is not renewed in time is lost.
3. What people ask has ``ASKED`` threads, and ``WAITING`` questions may wait for one. More are refused at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar
from weakref import WeakKeyDictionary

from ...errors import StateUnavailable
from ...state.stores.base import Store

OWN, ASKED, WAITING = 6, 2, 16

T = TypeVar("T")


@dataclass(slots=True)
class _Threads:
    own: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(OWN, "app-meta-store"))
    asked: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(ASKED, "app-meta-asked"))
    questions: int = 0


_threads: WeakKeyDictionary[Store, _Threads] = WeakKeyDictionary()


def is_busy(store: Store) -> bool:
    """Whether as many questions are asked as may be."""
    return _of(store).questions >= ASKED + WAITING


async def own(store: Store, work: Callable[[], T]) -> T:
    """Do what the server itself does with a store, and return the result. The loop calls it."""
    return await asyncio.get_running_loop().run_in_executor(_of(store).own, work)


async def asked(store: Store, question: Callable[[], T]) -> T:
    """Return the answer to what a visitor or an administrator asks; raises StateUnavailable if too many ask."""
    if is_busy(store):
        raise StateUnavailable("Too many people ask the store of state at the moment. Ask again later.")
    threads = _of(store)
    threads.questions += 1
    work = asyncio.get_running_loop().run_in_executor(threads.asked, question)
    work.add_done_callback(lambda _: _ended(threads))
    return await work


def _ended(threads: _Threads) -> None:
    threads.questions -= 1


def _of(store: Store) -> _Threads:
    if (found := _threads.get(store)) is None:
        found = _threads[store] = _Threads()
    return found
