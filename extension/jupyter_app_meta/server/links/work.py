"""Work in threads that takes places, which count until the thread comes back.

1. Work begins when it has a place in each semaphore, and leaves them all together.
2. Code that waits for work may give up. The thread goes on meanwhile, and so do its places.
3. Work for which no code waits any more is told so, if it did not begin or would have to be tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from ...state.once import Later

Content = dict[str, Any]
Answer = Content | Later | None


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done in a thread; ``give_up`` is called if it will not be done."""

    do: Callable[[], Answer]
    give_up: Callable[[], object] = field(default=lambda: None)

    @classmethod
    def of(cls, later: Later) -> Work:
        """Return the next try of work that could not be done yet."""
        return cls(later.again, later.give_up)

    async def done(self, threads: Executor, places: Iterable[asyncio.Semaphore], pause: float = 0.0) -> Answer:
        """Do it after a pause of so many seconds, and return the answer."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Answer] = loop.create_future()
        with ExitStack() as undone:
            undone.callback(self.give_up)
            taken = undone.enter_context(ExitStack())
            if pause:
                await asyncio.sleep(pause)
            for place in places:
                await place.acquire()
                taken.callback(place.release)
            working = threads.submit(self.do)
            leave = taken.pop_all().close
            undone.pop_all()
        working.add_done_callback(lambda _: _soon(loop, self._end, working, answered, leave))
        return await answered

    def _end(self, working: Future[Answer], answered: asyncio.Future[Answer], leave: Callable[[], object]) -> None:
        """Leave the places of work whose thread has come back, and pass on what it brings."""
        leave()
        if working.cancelled():
            self.give_up()
        elif answered.done():
            _drop(working)
        elif error := working.exception():
            answered.set_exception(error)
        else:
            answered.set_result(working.result())


def _soon(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *arguments: object) -> None:
    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(function, *arguments)


def _drop(working: Future[Answer]) -> None:
    if not working.exception() and isinstance(found := working.result(), Later):
        found.give_up()
