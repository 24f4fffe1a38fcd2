"""A library that keeps threads, as pools, servers and clusters do; tests install it where libraries are."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Job = Callable[[], Any]

KEPT: list[object] = []
"""What was made: a loop's tasks are not to be collected while others look at what is printed."""


class Pool:
    """A pool whose worker lives on, as those of pathos, pebble and twisted."""

    def __init__(self) -> None:
        self._jobs: queue.Queue[tuple[Job, queue.Queue[Any]]] = queue.Queue()
        self._begin()

    def _begin(self) -> None:
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        """Do one job after the other."""
        while True:
            job, answer = self._jobs.get()
            answer.put(job())

    def put(self, job: Job) -> queue.Queue[Any]:
        """Take a job, and return where its answer comes."""
        answer: queue.Queue[Any] = queue.Queue()
        self._jobs.put((job, answer))
        return answer

    def ask(self, job: Job) -> Any:
        """Do a job."""
        return self.put(job).get(timeout=60)


class Given(Pool):
    """A pool whose one thread the caller starts."""

    def _begin(self) -> None:
        pass


class Observer(threading.Thread, Given):
    """A thread of a library's own kind, whose ``start`` the caller calls, as that of watchdog."""

    def __init__(self) -> None:
        threading.Thread.__init__(self, daemon=True)
        Given.__init__(self)

    def start(self) -> None:
        """Start observing."""
        super().start()

    def run(self) -> None:
        """Serve."""
        self.serve()


class Plain(Observer):
    """The same, with the ``start`` that threads have."""

    start = threading.Thread.start


class Later(Pool):
    """A pool that starts a timer of its own for each job."""

    def put(self, job: Job) -> queue.Queue[Any]:
        """Take a job."""
        answer: queue.Queue[Any] = queue.Queue()
        threading.Timer(0, lambda: answer.put(job())).start()
        return answer


class Cluster:
    """A loop in a thread, and workers that run in copies of its tasks' contexts, as those of dask."""

    def __init__(self) -> None:
        KEPT.append(self)
        self._loop = asyncio.new_event_loop()
        self._pool = ThreadPoolExecutor(1)
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._jobs: asyncio.Queue[tuple[Job, queue.Queue[Any]]] = asyncio.Queue()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop)

    async def _serve(self) -> None:
        while True:
            job, answer = await self._jobs.get()
            context = contextvars.copy_context()
            answer.put(await self._loop.run_in_executor(self._pool, context.run, job))

    def put(self, job: Job) -> queue.Queue[Any]:
        """Take a job."""
        answer: queue.Queue[Any] = queue.Queue()
        self._loop.call_soon_threadsafe(self._jobs.put_nowait, (job, answer))
        return answer

    def ask(self, job: Job) -> Any:
        """Do a job in a worker."""
        return self.put(job).get(timeout=60)


class Scheduler(Cluster):
    """A cluster whose jobs run in the loop's own thread."""

    async def _serve(self) -> None:
        while True:
            job, answer = await self._jobs.get()
            answer.put(job())


class Offloading(Cluster):
    """A cluster whose jobs run in the default executor of its loop."""

    async def _serve(self) -> None:
        while True:
            job, answer = await self._jobs.get()
            answer.put(await asyncio.to_thread(job))


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function in the library's name."""
    return function(*args)
