"""One notebook, run on a kernel of its own, and the page that comes of it, piece by piece.

A run may begin before its visitor comes: then it steps back for everybody who is waiting, between
its cells, and is given up where a cell fails (the next one may not).
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, nullcontext, suppress
from typing import Any
from urllib.parse import urlsplit

from nbclient.exceptions import CellExecutionError
from nbconvert.preprocessors.clearoutput import ClearOutputPreprocessor

from ...errors import NotClaimed
from ...server.reports.incidents import told
from .. import configured
from ..paths import SUFFIX
from ..services import Services
from ..visits import CLOSING, ENDED, Visit
from .cells import Executor
from .displays import Displays, joined
from .endings import ended
from .kernel import Kernel, KernelFailed
from .notebook import Blueprint
from .reasons import reason
from .watch import NoAnswer, Watch

HEARTBEAT = "<script>window.voila_heartbeat && window.voila_heartbeat()</script>\n"
BROKEN = '<p role="alert">This page could not be completed.{} Please reload it.</p>\n'


class Run:
    """A page that is being made. ``start`` begins it, ``claim`` gives it to its visitor, ``html`` is what they see."""

    def __init__(self, services: Services, blueprint: Blueprint, *, ahead: bool = False) -> None:
        self._services, self.blueprint, self._ahead = services, blueprint, ahead
        self.kernel: Kernel | None = None
        self.failed = False
        self.needs_login = ""  # the id of the report of a cell that wanted a visitor who is logged in
        self.cells_done = 0
        self.began = time.monotonic()
        self._visit: Visit | None = None
        self._abandoned = False
        self._traffic = ExitStack()
        self._claimed = asyncio.Event()
        self._spawned = asyncio.Event()
        self._more = asyncio.Event()
        self._pieces: list[str] = []
        self._executor: Executor | None = None
        self._displays = Displays()
        self._watch = Watch()
        self._starting: asyncio.Task[None] | None = None
        self._rendering: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin: start the kernel, and render."""
        self._services.runs.add(self)
        self._starting = self._services.spawn(self._start())
        self._rendering = self._services.spawn(self._render())
        self._rendering.add_done_callback(self._rendered)

    async def started(self) -> None:
        """Wait until the kernel answers; raises what went wrong."""
        assert self._starting is not None
        await asyncio.shield(self._starting)

    async def spawned(self, timeout: float) -> None:
        """Wait for the kernel's process, at most so many seconds; raises what went wrong."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._spawned.wait()
        if self._starting and self._starting.done():
            self._starting.result()

    @property
    def name(self) -> str:
        """The notebook's name, for logs."""
        return self.blueprint.name

    @property
    def done(self) -> bool:
        """Whether the page is complete."""
        return self._rendering is not None and self._rendering.done()

    @property
    def is_claimed(self) -> bool:
        """Whether it has a visitor."""
        return self._visit is not None

    @property
    def is_usable(self) -> bool:
        """Whether a visitor may be given this run: it can be claimed, and nothing went wrong so far."""
        return self.kernel is not None and self.kernel.aware and not (self.failed or self._watch.is_suspicious)

    def claim(self, visit: Visit) -> None:
        """Give the run to its visitor."""
        self._visit = visit
        if not self.done:
            self._traffic.enter_context(self._services.traffic.page())
        if self.kernel:
            self._give_kernel(visit)
            if self.done:
                self.kernel.disconnect_soon()
            else:
                self._services.spawn(self._limit_waiting_cell())
        self._claimed.set()

    async def _limit_waiting_cell(self) -> None:
        """Interrupt the cell that waited for the visitor where it now takes longer than a cell may.

        Before the claim no limit holds: nobody knows how long a kernel waits.
        """
        index, limit = self.cells_done, self._executor.timeout if self._executor else None
        if limit and limit > 0:
            await asyncio.sleep(limit)
            if self.cells_done == index and not self.done and self.kernel:
                await self.kernel.interrupt()

    def _give_kernel(self, visit: Visit) -> None:
        assert self.kernel is not None
        self._services.visits.begin(visit, self.kernel.id, self)
        self._services.incidents.visited(self.kernel.id, visit.who, urlsplit(visit.page.url).path)
        self.kernel.claim(visit)

    async def _start(self) -> None:
        try:
            async with nullcontext() if self._ahead else self._services.traffic.start():
                if self._abandoned or self._services.traffic.closed:
                    raise KernelFailed("Nobody waits for this page any more.")
                await self._start_kernel()
        finally:
            self._spawned.set()

    async def _start_kernel(self) -> None:
        blueprint = self.blueprint
        self.kernel = await Kernel.start(
            self._services, blueprint.kernel_name, blueprint.folder, ahead=self._ahead and not self._visit
        )
        is_python = (self.kernel.manager.kernel_spec.language or "").lower() == "python"
        self._services.incidents.begin(self.kernel.id, f"{self.name}{SUFFIX}", python=is_python)
        if self._visit:
            self._give_kernel(self._visit)
        self._spawned.set()
        await self.kernel.ready(configured.of_executor(self._services.config, "startup_timeout"))

    async def html(self, patience: float) -> AsyncIterator[str]:
        """Yield the page as it comes, once, and a sign of life whenever nothing came for ``patience`` seconds."""
        while self._pieces or not self.done:
            if self._pieces:
                pieces, self._pieces = self._pieces, []
                yield "".join(pieces)
                continue
            self._more.clear()
            try:
                async with asyncio.timeout(patience):
                    await self._more.wait()
            except TimeoutError:
                yield HEARTBEAT

    async def _render(self) -> None:
        page = self.blueprint.exporter.generate_from_notebook_node(
            self.blueprint.notebook,
            resources=copy.deepcopy(self.blueprint.resources),
            extra_context={
                "frontend": "voila",
                "main_js": "voila.js",
                "kernel_start": self._kernel_start,
                "cell_generator": self._rendered_cells,
                "notebook_execute": self._all_cells,
                "progressive_rendering": False,
                **self._displays.context,
            },
            page_config=copy.deepcopy(self.blueprint.page_config),  # a template may write into it
        )
        try:
            async for piece, _ in page:
                self._add(piece)
            if self._executor:
                self.needs_login = self._executor.needs_login
        except asyncio.CancelledError:
            self._pieces.append(BROKEN.format(""))  # its kernel died, and whoever looks after pages saw it first
            raise
        except Exception as error:
            self.failed = True
            self._pieces.append(BROKEN.format("" if self._abandoned else f" {told(self._fail(error))}"))
        finally:
            self._executor = None
            if self.kernel and self._claimed.is_set():
                self.kernel.disconnect_soon()
            elif self.kernel:
                self.kernel.stop_listening()

    def _fail(self, error: Exception) -> str:
        """Log why there is no whole page, and return the id."""
        kernel_id = self.kernel.id if self.kernel else ""
        return self._services.incidents.failed(self.name, error, kernel_id, text=reason(error))

    def _rendered(self, rendering: asyncio.Task[None]) -> None:
        """Let others pass, however the rendering ended, and even if it never began."""
        self._traffic.close()
        self._more.set()

    def _add(self, piece: str) -> None:
        self._pieces = self._displays.added(self._pieces, piece)
        self._more.set()

    async def _kernel_start(self, nb: Any) -> str:
        """The template asks for the kernel, and shows its id to the page."""
        await self.started()
        assert self.kernel is not None
        self._executor = Executor(
            nb,
            displays=self._displays,
            km=self.kernel.manager,
            config=self._services.config,
            kernel_id=self.kernel.id,
            incidents=self._services.incidents,
            original=self.blueprint.notebook,
        )
        self._executor.connect(self.kernel.client)
        limit = self._executor.timeout
        self._executor.timeout_func = lambda cell: limit if self._claimed.is_set() else None
        return self.kernel.id

    async def _all_cells(self, nb: Any, kernel_id: str) -> None:
        """The template wants all cells at once: they are changed in place."""
        nb.cells = [cell async for cell in self._cells(nb, kernel_id)]

    async def _rendered_cells(self, nb: Any, kernel_id: str) -> AsyncIterator[Any]:
        """Yield each cell as the template renders it: a later one may change what it shows."""
        async for cell in self._cells(nb, kernel_id):
            if changed := self._displays.changed():
                cell["outputs"] = [*cell["outputs"], *changed]
            yield cell
            self._displays.rendered()

    async def _cells(self, nb: Any, kernel_id: str) -> AsyncIterator[Any]:
        """Yield each cell with its outputs, as far as the notebook gets."""
        nb, _ = ClearOutputPreprocessor().preprocess(nb, {})
        for index, cell in enumerate(nb.cells):
            await self._services.traffic.turn(self._claimed)
            went_on = await self._execute(cell, index)
            if "outputs" in cell:
                cell["outputs"] = joined(cell["outputs"])
            self.cells_done += 1
            yield cell
            if not went_on:
                self.failed = True
                return

    async def _execute(self, cell: Any, index: int, *, again: bool = False) -> bool:
        """Run a cell in place; return whether the next one may be run.

        One that gave its visitor up in the very moment in which they came is run again: now they are there.
        """
        executor = self._executor
        assert executor is not None and self.kernel is not None
        try:
            async with self._watch.over(self.kernel):
                await executor.execute_cell(cell, None, index, store_history=False)
        except CellExecutionError as error:
            if error.ename == NotClaimed.__name__ and self._claimed.is_set() and not again:
                return await self._execute(cell, index, again=True)
            executor.fail(cell, error)
        except TimeoutError as error:
            executor.fail(cell, error, executor.cell_timeout_instruction)
        except NoAnswer as error:
            executor.fail(cell, error, str(error))
        else:
            return True
        return False

    async def is_alive(self) -> bool:
        """Whether the kernel's process runs, or will."""
        return self.kernel is None or await self.kernel.is_alive()

    async def close(self) -> None:
        """End the run and its kernel, in whatever state they are."""
        assert self._starting and self._rendering
        if self._abandoned:
            return
        self._abandoned, finished = True, self.done
        if self.kernel:
            self._services.incidents.end(self.kernel.id)
        self._rendering.cancel()
        await self._spawned.wait()  # a process that is just being started must not be lost sight of
        self._starting.cancel()
        await asyncio.gather(asyncio.wait((self._starting,)), ended(self._rendering))
        if self.kernel:
            self._services.visits.forget(self.kernel.id, CLOSING if self._services.traffic.closed else ENDED)
            await self.kernel.close(busy=not finished)
        self._services.runs.discard(self)
