"""The threads of a store: they end with it, and one that is held up does not hold up the end."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from jupyter_app_meta.server.stores import beside


class Asked:
    """What stands for a store: the threads are its own, and do not look at it."""


async def test_threads_end_with_their_store() -> None:
    """At once if nothing is in work; to end them again does nothing."""
    store: Any = Asked()
    threads = [await beside.own(store, threading.current_thread), await beside.asked(store, threading.current_thread)]
    assert all(thread.is_alive() for thread in threads)
    beside.end(store)
    beside.end(store)
    assert not any(thread.is_alive() for thread in threads)


async def test_a_thread_that_is_held_ends_when_its_store_answers() -> None:
    """The end of the store does not wait for it, and what has not begun is not done."""
    store: Any = Asked()
    answers, held, done = threading.Event(), [], []

    def wait() -> None:
        held.append(threading.current_thread())
        answers.wait()

    asked = [asyncio.ensure_future(beside.asked(store, wait)) for _ in range(beside.ASKED)]
    asked.append(asyncio.ensure_future(beside.asked(store, lambda: done.append(1))))
    while len(held) < beside.ASKED:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(beside.end, store)
    assert all(thread.is_alive() for thread in held)
    answers.set()
    await asyncio.gather(*asked, return_exceptions=True)
    for thread in held:
        await asyncio.to_thread(thread.join, 60)
    assert not done and not any(thread.is_alive() for thread in held)
