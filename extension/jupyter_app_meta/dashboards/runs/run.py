"""A run: one notebook on a kernel of its own, from the kernel's start to its end.

::

    STARTING ── the template has its kernel ──> RUNNING ── the page ends ──> RENDERED ── close() ──> CLOSED
       │                                           │                            ^                     ^
       ├── the kernel or the template fails ───────┼────────────────────────────┘                     │
       └── close() ────────────────────────────────┴──────────────────────────────────────────────────┘

1. A run only goes forward. ``close`` is idempotent. Work that is under way when it is called ends, and changes nothing.
2. ``give_to`` gives the run to its visitor, once, in any state but CLOSED. A run that has no visitor yet is *ahead* of
   its visitor: between its cells, it lets pages go first for which a visitor waits.
3. A run ahead that has failed, or may be stuck, is not given to a visitor, because the next run may succeed.
4. A run may continue another one, whose kernel was forked for it (``Continuation``). Its page begins as that one's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, nullcontext, suppress
from enum import IntEnum
from functools import partial
from urllib.parse import urlsplit

from nbformat import NotebookNode

from ...server.reports.incidents import told
from ...state.keys import Space
from ..commands import outbox
from ..services import Services
from ..visits import CLOSING, ENDED, Visit
from . import executor
from .beginning import Beginning, Continuation
from .cells import Cells
from .endings import ended
from .kernel import Kernel, KernelFailed
from .notebook import Blueprint
from .page import PageBuffer, render
from .protocols import PageKernel
from .reasons import reason

Start = Callable[[bool], Awaitable[PageKernel]]
"""Starts the kernel of a run; it gets whether it starts ahead of the visitor."""


class State(IntEnum):
    """How far a run is."""

    STARTING = 1  #: The kernel starts. Its page already begins, up to the point where the template needs the kernel.
    RUNNING = 2  #: The cells run, and the page is rendered.
    RENDERED = 3  #: The page has ended: whole, or ``failed``.
    CLOSED = 4  #: The kernel has ended, or is about to.


class Run:
    """A notebook that runs for one visitor. It starts as soon as it is made; ``ahead`` means before its visitor.

    ``start`` starts its kernel; without it, the kernel is a process of its own. ``continues`` is the run that it
    continues. ``is_urgent`` runs it ahead although visitors wait, because it will serve them.
    """

    def __init__(
        self,
        services: Services,
        blueprint: Blueprint,
        *,
        ahead: bool = False,
        space: Space | None = None,
        start: Start | None = None,
        continues: Continuation | None = None,
        is_urgent: bool = False,
    ) -> None:
        self.blueprint = blueprint
        self.began = time.monotonic()
        self.state = State.STARTING
        self.kernel: PageKernel | None = None
        self._services, self._space = services, space
        self._start_one = start or self._start_process
        self._visit: Visit | None = None
        self._visitor = asyncio.Event()
        self._is_stopped = False
        self._spawned = asyncio.Event()
        self.cells = Cells(services, blueprint.notebook, self._visitor, continues, is_urgent=is_urgent)
        self._page = PageBuffer(self.cells.displays, continues.html if continues else "")
        services.occupancy.runs.add(self)
        self._starting = services.spawn(self._start(ahead))
        self._rendering = services.spawn(self._render())
        self._rendering.add_done_callback(self._rendered)

    async def started(self) -> None:
        """Wait until the kernel answers; raises what went wrong."""
        await asyncio.shield(self._starting)

    async def spawned(self, timeout: float) -> None:
        """Wait at most ``timeout`` seconds for the kernel's process; raises what went wrong."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._spawned.wait()
        if self._starting.done():
            self._starting.result()

    @property
    def has_visitor(self) -> bool:
        """Whether the run has been given to its visitor."""
        return self._visit is not None

    @property
    def is_waiting(self) -> bool:
        """Whether a run ahead has its kernel and runs its cells, or has run all of them."""
        return State.RUNNING <= self.state < State.CLOSED and not self.has_visitor

    @property
    def has_begun(self) -> bool:
        """Whether the run has its kernel, and its page a beginning that can be sent at once."""
        return self.kernel is not None and self._page.has_begun

    @property
    def failed(self) -> bool:
        """Whether a cell failed, or the page broke off."""
        return self.cells.failed or self._page.is_broken

    @property
    def is_usable(self) -> bool:
        """Whether a run ahead may be given to a visitor: its kernel can be claimed, and nothing has gone wrong."""
        return self.kernel is not None and self.kernel.aware and not (self.failed or self.cells.is_suspicious)

    @property
    def needs_login(self) -> str:
        """The id of the report of a cell that requires a visitor who has logged in, or nothing."""
        return "" if self._page.is_broken else self.cells.needs_login

    def give_to(self, visit: Visit) -> None:
        """Give the run to its visitor."""
        self._visit = visit
        if self.state < State.RENDERED:
            self._step_forward()
        if self.kernel:
            self._give_kernel(self.kernel, visit)
            if self.state < State.RENDERED:
                self._services.spawn(self.cells.limit_current())
            else:
                self.kernel.disconnect_soon()
        self._visitor.set()

    def _step_forward(self) -> None:
        """Let runs ahead wait for this one until its page has ended, successfully or not."""
        waiting = ExitStack()
        waiting.enter_context(self._services.traffic.page())
        self._rendering.add_done_callback(lambda _: waiting.close())

    def _give_kernel(self, kernel: PageKernel, visit: Visit) -> None:
        rewrite = partial(self._services.context.origins.rewrite, kernel.id)
        visit.outbox.begin(self._page.nudge, rewrite, visit.page.url)
        try:
            kernel.give_to(visit)  # first, because its cell waits for that
        finally:
            self._services.visits.begin(visit, kernel.id, self)
            self._services.incidents.visited(kernel.id, visit.who, urlsplit(visit.page.url).path)

    async def _start(self, ahead: bool) -> None:
        try:
            async with nullcontext() if ahead else self._services.traffic.start():
                if self._is_ending:
                    raise KernelFailed("The page was closed before its kernel started.")
                await self._start_kernel(ahead)
        finally:
            self._spawned.set()

    async def _start_process(self, ahead: bool) -> PageKernel:
        name, folder = self.blueprint.kernel_name, self.blueprint.folder
        return await Kernel.start(self._services, name, folder, ahead=ahead, space=self._space)

    async def _start_kernel(self, ahead: bool) -> None:
        services, blueprint = self._services, self.blueprint
        self.kernel = kernel = await self._start_one(ahead and self._visit is None)
        services.incidents.begin(kernel.id, blueprint.file, python=kernel.is_python)
        if self._visit:
            self._give_kernel(kernel, self._visit)
        self._spawned.set()
        await kernel.ready(partial(executor.startup_timeout, services.options.config))

    @property
    def _is_ending(self) -> bool:
        """Whether the run or its whole server is being closed. Failures from then on are not the notebook's."""
        return self.state is State.CLOSED or self._is_stopped or self._services.traffic.closed

    def html(self, patience: float) -> AsyncIterator[str]:
        """Yield the page as it comes, once, and a heartbeat whenever nothing came for ``patience`` seconds."""
        return self._page.html(patience, self._word)

    def _word(self) -> str:
        """Return what code tells its page, if the page waits for a cell: in the midst of a tag it would be lost."""
        return outbox.markup(self._visit.outbox.take()) if self._visit and self.cells.is_executing else ""

    async def _render(self) -> None:
        try:
            async for piece in self._pieces():
                self._page.add(piece)
        except asyncio.CancelledError:
            self._page.break_off()  # the kernel died, and the server closed the run before a cell noticed
            raise
        except Exception as error:
            self._page.break_off("" if self._is_ending else self._report(error))
        finally:
            self._enter(State.RENDERED)
            self.cells.disconnect()
            if self.kernel and self._visitor.is_set():
                self.kernel.disconnect_soon()
            elif self.kernel:
                self.kernel.stop_listening()  # without a visitor the other channels are still needed, for the claim

    async def _pieces(self) -> AsyncIterator[str]:
        """Yield the pieces that follow what the page began with."""
        if self.cells.continues and self.cells.continues.is_whole:
            await self.started()
            return
        async for piece in render(self.blueprint, self._start_cells, self.cells):
            if self.cells.are_shown:
                yield piece

    async def _start_cells(self, nb: NotebookNode) -> str:
        """Wait for the kernel, as the template is about to run the cells of ``nb``; return the kernel's id."""
        await self.started()
        assert self.kernel is not None
        self.cells.connect(self.kernel, nb)
        self._enter(State.RUNNING)
        return self.kernel.id

    def _report(self, error: Exception) -> str:
        """Report why the page broke off; return what its visitor may know.

        If a kernel could not be forked for a page without a visitor, another run takes its place, which is reported.
        """
        if self.cells.continues and not self.kernel:
            return ""
        kernel_id = self.kernel.id if self.kernel else ""
        return told(self._services.incidents.failed(self.blueprint.name, error, kernel_id, text=reason(error)))

    def _rendered(self, rendering: asyncio.Task[None]) -> None:
        """End the page however its rendering ended, even if it was cancelled before it began."""
        self._enter(State.RENDERED)
        self._page.end()

    def _enter(self, state: State) -> None:
        self.state = max(self.state, state)

    async def rendered(self) -> None:
        """Wait until the page has ended: whole, or failed."""
        await asyncio.wait((self._rendering,))

    async def stop(self) -> None:
        """End the page where it is. The kernel goes on."""
        self._is_stopped = True
        await ended(self._rendering)

    def beginning(self, *, is_running: bool) -> Beginning:
        """Return what other pages may begin with: this page, which is not sent, as far as it has come."""
        assert self.kernel is not None
        return self.cells.beginning(self._page.waiting(), self.kernel.id, is_running=is_running)

    @property
    def kernel_id(self) -> str:
        """The id of the kernel; empty before it has one."""
        return self.kernel.id if self.kernel else ""

    async def attach(self) -> None:
        """Have the kernel ready for a browser that is about to connect; raises KernelFailed."""
        if self.kernel and self.state is not State.CLOSED:
            await self.kernel.attach()

    async def is_alive(self) -> bool:
        """Whether the kernel's process runs, or has not started yet."""
        return self.kernel is None or await self.kernel.is_alive()

    async def close(self) -> None:
        """End the run and its kernel."""
        if self.state is State.CLOSED:
            return
        busy = self.state is not State.RENDERED
        self._enter(State.CLOSED)
        if self.kernel:
            self._services.incidents.end(self.kernel.id)
        self._rendering.cancel()
        await self._spawned.wait()  # a process that is just starting must be known before it can be ended
        self._starting.cancel()
        await asyncio.gather(asyncio.wait((self._starting,)), ended(self._rendering))
        if self.kernel:
            self._services.visits.forget(self.kernel.id, CLOSING if self._services.traffic.closed else ENDED)
            await self.kernel.close(busy=busy)
        self._services.occupancy.runs.discard(self)
