"""Threads for what servers and administrators ask of a store: of its own, because a store that is frozen holds them.

1. Each store has its threads. While one store does not answer, other stores and pages are not held up: reading a
   notebook or checking a password needs a thread of the loop's, and a store never has one of those.
2. The server's own work, a few tasks that are each at one thing at a time, has enough threads for all of them. A
   name that is not renewed in time is lost.
3. What people ask has ``ASKED`` threads, and ``WAITING`` questions may wait for one. More are refused at once.
4. They end with the store. What a frozen store holds then, ends when it answers or is given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from ...errors import StateUnavailable
from ...state.stores.base import Store

OWN, ASKED, WAITING = 6, 2, 16

ENDING = 1.0
"""Seconds for which the end of a store waits for what it was asked."""

T = TypeVar("T")


@dataclass(slots=True)
class _Threads:
    own: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(OWN, "app-meta-store"))
    asked: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(ASKED, "app-meta-asked"))
    questions: int = 0
    work: set[Future[Any]] = field(default_factory=set)  #: what is not done

    def do(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> asyncio.Future[T]:
        """Do work in a thread of a pool."""
        future = pool.submit(work)
        self.work.add(future)
        future.add_done_callback(self.work.discard)
        return asyncio.wrap_future(future)


_threads: WeakKeyDictionary[Store, _Threads] = WeakKeyDictionary()


def is_busy(store: Store) -> bool:
    """Whether as many questions are asked as may be."""
    return _of(store).questions >= ASKED + WAITING


async def own(store: Store, work: Callable[[], T]) -> T:
    """Do what the server itself does with a store, and return the result. The loop calls it."""
    threads = _of(store)
    return await threads.do(threads.own, work)


async def asked(store: Store, question: Callable[[], T]) -> T:
    """Return the answer to what a visitor or an administrator asks; raises StateUnavailable if too many ask."""
    if is_busy(store):
        raise StateUnavailable("Too many people ask the store of state at the moment. Ask again later.")
    threads = _of(store)
    threads.questions += 1
    work = threads.do(threads.asked, question)
    work.add_done_callback(lambda _: _ended(threads))
    return await work


def end(store: Store) -> None:
    """End the threads of a store that is about to be closed. Idempotent."""
    if (threads := _threads.pop(store, None)) is None:
        return
    pools = threads.own, threads.asked
    for pool in pools:
        pool.shutdown(wait=False, cancel_futures=True)
    if not wait(tuple(threads.work), ENDING).not_done:
        for pool in pools:
            pool.shutdown()  # at once, as nothing is in work


def _ended(threads: _Threads) -> None:
    threads.questions -= 1


def _of(store: Store) -> _Threads:
    if (found := _threads.get(store)) is None:
        found = _threads[store] = _Threads()
    return found
