"""The server's end of one kernel's control channel: questions come in, answers and events go out.

1. The socket has a random name, which only the kernel's own grants tell. The kernel sends its questions there.
2. A question that reads little from a store that needs no wait is answered at once. Waking a thread takes longer.
   Any other is answered in a thread, because a store blocks. A store that does not answer in time is an error. A
   kernel has ``SHARE`` of the threads, and all that change something have ``WRITING``, so that others find one free:
   a store that is being written elsewhere can still be read. A thread that a frozen store holds counts. A question
   that must be tried again, because another kernel was faster, holds neither thread nor share meanwhile.
   Questions about the kernel's own page need no store, and have threads of their own.
3. A kernel that asks more than ``RATE`` times a second waits for its answers; if it goes on for ``SECONDS``, as long
   as one that may ask ``SLOWEST`` times a second. What it asks beyond ``IN_FLIGHT`` questions is dropped, and asked
   again. So are the questions of a kernel that does not take its answers. A question that comes again while its answer
   waits is the same one.
4. What the process before a restart has watched is forgotten before the first question of the new one is answered.
5. An error while a message is received is logged: a raised one would stop the socket for good.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import zmq

from ... import wire
from ...errors import StateUnavailable
from ...state import forms, messages, operations
from ...state.once import Later
from ...state.operations import Failed, write_answer
from ..protocols import key_of
from .control import Remote, at_once, control_of
from .processes import Process
from .rates import Bucket, Rates
from .work import Content, Work

RATE, BURST, IN_FLIGHT, SHARE, WRITING = 200.0, 128, 64, 2, 4
SLOWEST, SECONDS = 50.0, 2.0
MOST = 2 * forms.TEXT_LIMIT + 1024 * 1024
"""Bytes of a question, whose texts are escaped. A larger one is dropped before it is read."""

TabOf = Callable[[str], Awaitable[str | None]]
"""Returns the tab of a kernel's page; None if the kernel has no page, or its grants name the tab."""


class Answering(Protocol):
    """The service: answers the questions of kernels, and blocks."""

    def answer(self, kernel_id: str, content: object, tab: str | None = None) -> Content | Later | None:
        """Return the content of the answer; None if none is sent."""

    def glance(self, kernel_id: str, content: object, tab: str | None = None) -> Content | None:
        """Return the answer to a question that needs no wait; None for any other."""

    def restarted(self, kernel_id: str) -> None:
        """Forget what the process of a kernel watches, because it has another process."""

    def ended(self, kernel_id: str) -> None:
        """Forget a kernel that has ended."""


@dataclass(frozen=True, slots=True)
class Office:
    """What all links of a server share. ``tab`` waits until it is known in which tab the page of a kernel is.

    ``tally`` counts the answers by their result.
    """

    service: Answering
    threads: Executor
    timeout: float
    log: logging.Logger
    tab: TabOf
    tally: Counter[str] = field(default_factory=Counter)
    pages: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, "app-meta-page"))
    writing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(WRITING))


class Link:
    """A DEALER socket to one kernel's control channel, or what stands for it behind a gateway."""

    def __init__(self, office: Office, kernel_id: str, kernel: Any, name: str) -> None:
        self._office, self._kernel_id, self._kernel, self.name = office, kernel_id, kernel, name
        self._share = asyncio.Semaphore(SHARE)
        self.process = Process.of(kernel)
        self._session = kernel.session.clone()
        self._signer = wire.Signer(key_of(kernel, kernel.session) or b"", messages.LINK)
        self._bucket = Bucket(Rates(RATE, BURST, SLOWEST, SECONDS, longest=office.timeout / 2))
        self._tab: str | None = None  # once it is known, it stays
        self._asked: dict[object, asyncio.Task[None]] = {}  # by the request's id
        self._stream = control_of(kernel, name, self._session, office.log)
        self._stream.setsockopt(zmq.RCVHWM, IN_FLIGHT)  # what does not fit is lost, and asked again
        self._stream.on_recv(self._heard)

    def send(self, msg_type: str, content: Content) -> None:
        """Send a message of ours, with the stamp that no browser can make."""
        if self._stream.closed():
            return
        message = self._session.msg(msg_type, content)
        message["metadata"][wire.FIELD] = self._signer.stamp(message["msg_id"], msg_type)
        self._session.send(at_once(self._stream), message)

    @property
    def is_behind(self) -> bool:
        """Whether messages wait, because the kernel does not take those that were sent."""
        if self._stream.sending() and not self._stream.closed():
            self._stream.flush(zmq.POLLOUT)  # what the socket takes now would otherwise wait for the event loop
        return bool(self._stream.sending())

    @property
    def is_over(self) -> bool:
        """Whether the kernel cannot be reached by this link any more."""
        return isinstance(self._stream, Remote) and self._stream.is_over

    def close(self) -> None:
        """Close the socket. Questions that are being answered get no answer."""
        for task in tuple(self._asked.values()):
            task.cancel()
        if not self._stream.closed():
            self._stream.close(linger=0)

    def _heard(self, frames: list[bytes]) -> None:
        if len(self._asked) >= IN_FLIGHT or sum(map(len, frames)) > MOST or self.is_behind:
            return
        try:
            self._take(frames)
        except Exception as error:
            self._office.log.warning("jupyter-app-meta: a question could not be read (%s).", type(error).__name__)

    def _take(self, frames: list[bytes]) -> None:
        _, parts = self._session.feed_identities(frames)
        message = messages.read(self._session, parts)
        if message.type == messages.REQUEST:
            self._see_restart(message.session)
            self._ask(message.content)

    def _ask(self, content: Content) -> None:
        """Begin to answer a question, unless it is in work."""
        name = operations.request_id(content) or object()  # without an id, it is one that no answer waits for
        if name in self._asked:
            return
        delay = self._bucket.delay(time.monotonic())
        if not delay and (reply := self._office.service.glance(self._kernel_id, content, self._tab)) is not None:
            self._reply(reply)
            return
        task = self._asked[name] = asyncio.get_running_loop().create_task(self._answer(content, delay))
        task.add_done_callback(lambda _: self._asked.pop(name))

    def _see_restart(self, session: str) -> None:
        """Forget what the kernel's last process watched. A later look would also forget what the new one watches."""
        before, self.process = self.process, Process.asking(self._kernel, session)
        if self.process.is_another_than(before):
            self._office.service.restarted(self._kernel_id)

    async def _answer(self, content: Content, delay: float) -> None:
        reply = await self._answered(content)
        if delay:
            await asyncio.sleep(delay)
        if reply is not None:
            self._reply(reply)

    def _reply(self, content: Content) -> None:
        self._office.tally["done" if "ok" in content else "failed"] += 1
        self.send(messages.REPLY, content)

    async def _answered(self, content: Content) -> Content | None:
        office = self._office
        try:
            if operations.needs_tab(content):
                self._tab = await office.tab(self._kernel_id)
            async with asyncio.timeout(office.timeout):
                return await self._done(content, self._tab)
        except TimeoutError:
            return _late(content, office.timeout)

    async def _done(self, content: Content, tab: str | None) -> Content | None:
        """Ask the service, again as long as it says so."""
        service, kernel_id, (threads, places) = self._office.service, self._kernel_id, self._places(content)
        found = await Work(lambda: service.answer(kernel_id, content, tab)).done(threads, places)
        while isinstance(found, Later):
            found = await Work.of(found).done(threads, places, found.seconds)
        return found

    def _places(self, content: Content) -> tuple[Executor, list[asyncio.Semaphore]]:
        """Return the threads that may answer a question, and whose shares it takes."""
        office = self._office
        if operations.is_of_page(content):
            return office.pages, []
        return office.threads, [self._share, office.writing] if operations.changes_state(content) else [self._share]


def _late(content: Content, timeout: float) -> Content | None:
    request_id = operations.request_id(content)
    if request_id is None:
        return None
    happened = operations.changes_state(content)
    rest = " It may have happened." if happened else ""
    error = StateUnavailable(f"The store did not answer within {timeout:g} seconds.{rest}", happened)
    return write_answer(Failed.of(request_id, error))
