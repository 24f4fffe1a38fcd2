"""A template: a notebook that has run ahead in a process that can be forked, and what all its pages begin with.

::

    run the notebook ahead ──> a cell asks for the visitor, or all have run ──> prepare ──> usable ──> retired
                                                                                               └─ ended

1. A template that is retired begins no more forks. Its process ends with its last fork, because it is their parent.
2. A template whose process ends makes no more forks. Its forks live on.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from ...state.keys import Space
from ..files import imports
from ..gateway.specs import GatewaySpecs
from ..runs import priority
from ..runs.beginning import Beginning
from ..runs.notebook import Blueprint
from ..runs.run import Run
from ..services import Services
from .commands import CannotFork, Commands, Refused, Unanswered
from .files import Files
from .kernel import ForkedKernel
from .processes import GONE, Process
from .provisioner import started_otherwise


class Template:
    """The process from which the kernels of one notebook are forked. ``on_end`` is called when the process ends."""

    def __init__(
        self,
        services: Services,
        blueprint: Blueprint,
        space: Space | None,
        on_end: Callable[[], None],
        written: set[Path],
        *,
        must_ask: bool = False,
    ) -> None:
        """``written`` are the modules that changed while earlier templates ran ahead.

        ``must_ask`` says that a notebook is not forked that has run ahead to its end without a question, or has made
        something before it that may be meant for one visitor: its author may not know that it runs ahead.
        """
        self.blueprint, self.began = blueprint, time.monotonic()
        self.is_usable = self.is_retired = False
        self._services, self._space, self._on_end, self._must_ask = services, space, on_end, must_ask
        self._commands = Commands(self._ended)
        self._run: Run | None = None
        self._beginning: Beginning | None = None
        self._children: set[Process] = set()
        self._forking: set[Run] = set()
        self._files = Files(blueprint.folder, written)

    @property
    def is_current(self) -> bool:
        """Whether the author's modules, and the files that the notebook has read, are as they were."""
        return self._files.are_current

    async def look(self) -> None:
        """Look at files that the event loop cannot look at itself, for ``is_current``."""
        await self._files.look_elsewhere()

    @property
    def has_forks(self) -> bool:
        """Whether it has forks, or one is being made."""
        return bool(self._children or self._forking)

    @property
    def is_running(self) -> bool:
        """Whether its process has not ended."""
        return (process := self._commands.process) is not None and not process.ended.is_set()

    @property
    def has_ended(self) -> bool:
        """Whether its process ended, or does not answer, although it was not retired."""
        return not self.is_usable and not self.is_retired

    async def start(self) -> None:
        """Run the notebook ahead; raises CannotFork if its kernel cannot be forked, and what else goes wrong."""
        self.began = time.monotonic()  # others may have had their turn before
        services = self._services
        await self._files.look()
        if isinstance(services.specs, GatewaySpecs):
            raise CannotFork("kernels run behind a gateway")
        self._run = run = Run(
            services, self.blueprint, ahead=True, space=self._space, start=lambda _: self._started(), is_urgent=True
        )
        services.occupancy.runs.discard(run)  # it will never be a page
        await run.started()
        kernel = cast(ForkedKernel, run.kernel)
        await self._comes_far(run, kernel)
        if run.failed:
            raise CannotFork("a cell failed ahead of a visitor")
        if self._must_ask and not kernel.pipe.asking.is_set():
            raise Refused("it does not ask who is looking before its last cell has run")
        code, left = imports.sources(self.blueprint.notebook["cells"]), imports.sources(run.cells.left())
        prepared = await self._commands.prepare(imports.modules(code, left))
        if self._must_ask and (why := imports.unique(code, left) or prepared.but):
            raise Refused(why)
        await self._files.used(prepared.files)
        is_running = bool(kernel.pipe.running)
        self._beginning = run.beginning(is_running=is_running)
        self._msg_id = kernel.pipe.running
        await run.stop()  # the cell goes on in each fork, and here no more
        self._raise_priority()
        self.is_usable = True

    def _kernel(self, id: str) -> ForkedKernel:
        return ForkedKernel(self._services, id, self.blueprint.kernel_name, self._space)

    async def _started(self) -> ForkedKernel:
        spec = self._services.specs.get_kernel_spec(self.blueprint.kernel_name)
        if why := started_otherwise(self._services.kernels, spec):
            raise Refused(why)
        kernel = self._kernel(self._services.peers.new_kernel_id())
        await kernel.start(lambda end: self._commands.start(spec, self.blueprint.folder, kernel.id, end))
        priority.lower(kernel.process.pid if kernel.process else None)
        return kernel

    async def _comes_far(self, run: Run, kernel: ForkedKernel) -> None:
        """Wait until a cell asks for the visitor, or the page has ended; raises CannotFork."""
        ends = (kernel.pipe.asking.wait(), run.rendered(), self._commands.refused())
        waits = [asyncio.ensure_future(wait) for wait in ends]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self._commands.check()

    def _raise_priority(self) -> None:
        """Give the process its ordinary priority, which its forks inherit."""
        process = self._commands.process
        priority.restore(process.pid if process else None)

    def forked(self) -> Run:
        """Return a new run that begins where this one is; its kernel is about to be forked."""
        assert self._beginning is not None
        id = self._services.peers.new_kernel_id()
        run = Run(
            self._services,
            self.blueprint,
            ahead=True,
            start=lambda _: self._forked(id),
            space=self._space,
            continues=self._beginning.continued(id),
        )
        self._forking.add(run)
        self._services.spawn(self._stay_for(run))
        return run

    async def _stay_for(self, run: Run) -> None:
        """Take commands until a run has its kernel, or has none: its visitor may be waiting."""
        try:
            await run.started()
        finally:
            self._forking.discard(run)
            await self._close_if_over()

    async def _forked(self, id: str) -> ForkedKernel:
        kernel = self._kernel(id)
        if self._msg_id:
            kernel.pipe.goes_on_with(self._msg_id)
        try:
            await kernel.start(self._commands.fork)
        except Unanswered:  # the next visitors shall not wait for it as well
            self.is_usable = False
            self._on_end()
            raise
        if kernel.process and not kernel.process.ended.is_set():
            self._children.add(kernel.process)
            self._services.spawn(self._outlive(kernel.process))
        return kernel

    async def _outlive(self, child: Process) -> None:
        await child.ended.wait()
        self._children.discard(child)
        await self._close_if_over()

    async def retire(self) -> None:
        """Begin no more forks, and end with the last one."""
        self.is_retired, self.is_usable = True, False
        await self._close_if_over()

    async def _close_if_over(self) -> None:
        if self.is_retired and not self.has_forks:
            await self.close()

    async def close(self) -> None:
        """End the process. Its forks are closed by their own runs."""
        self.is_usable = False
        self._commands.close()
        if self._run:
            await self._run.close()
        process = self._commands.process
        if process and not await process.ends(GONE):  # it hangs, perhaps before it could read its sockets
            process.signal(signal.SIGKILL)

    def _ended(self) -> None:
        if self.is_usable:
            self._services.log.warning("%s: the process that is forked has ended.", self.blueprint.name)
        self.is_usable = False
        self._on_end()
