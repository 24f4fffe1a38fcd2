"""The cells of one page: they run one after the other, as far as the notebook gets.

1. Until the page has its visitor, each cell waits until no visitor waits for a page, and no time limit holds: a cell
   that asks for the visitor may wait for hours.
2. A cell that fails, times out or is stuck is the last one. Its page is still rendered to the end.
3. If the visitor arrives just as a cell stops waiting for one, the cell runs a second time, for that visitor.
4. A page that continues another run begins with the cell that asked for the visitor, once the visitor is there. The
   cells before it have ended. None of them is run or shown again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from nbclient.exceptions import CellExecutionError
from nbconvert.preprocessors.clearoutput import ClearOutputPreprocessor
from nbformat import NotebookNode

from ...errors import NotClaimed
from ..services import Services
from .beginning import Beginning, Continuation, blank
from .displays import Displays
from .executor import Executor
from .protocols import PageKernel
from .watch import NoAnswer, Watch

_clearing = ClearOutputPreprocessor()


class Cells:
    """Runs the cells of one page. ``visitor`` is set when the page has its visitor.

    ``is_urgent`` runs them ahead of a visitor although other visitors wait for their pages.
    With ``continues``, other cells have ended already. ``are_shown`` is then set when the template takes its next cell.
    """

    def __init__(
        self,
        services: Services,
        notebook: NotebookNode,
        visitor: asyncio.Event,
        continues: Continuation | None = None,
        *,
        is_urgent: bool = False,
    ) -> None:
        self.displays = continues.displays if continues else Displays()
        self.continues, self._is_urgent = continues, is_urgent
        self.are_shown = continues is None
        self.done = 0
        self.failed = False
        self.is_executing = False
        self.needs_login = ""
        self._services = services
        self._numbers = {cell["id"]: number for number, cell in enumerate(notebook.cells, 1) if "id" in cell}
        self._visitor = visitor
        self._watch = Watch()
        self._executor: Executor | None = None

    @property
    def is_suspicious(self) -> bool:
        """Whether the cell that is running may be one that never ends."""
        return self._watch.is_suspicious

    def connect(self, kernel: PageKernel, nb: NotebookNode) -> None:
        """Run the cells of ``nb``, which is the template's copy of the notebook, on this kernel."""
        services = self._services
        executor = Executor(
            nb, kernel=kernel, incidents=services.incidents, displays=self.displays, config=services.options.config
        )
        limit = executor.timeout
        executor.timeout_func = lambda cell: limit if self._visitor.is_set() else None
        if self.continues and (before := self.continues.beginning.executor):
            executor.inherit(before, is_running=self.continues.cell is not None)
        self._executor = executor

    def disconnect(self) -> None:
        """Let go of the executor, which holds the notebook and its outputs: no cell runs after this."""
        self._executor = None

    async def limit_current(self) -> None:
        """Interrupt the cell that waited for the visitor if, from now on, it takes longer than a cell may."""
        index, limit = self.done, self._executor.timeout if self._executor else None
        if limit and limit > 0:
            await asyncio.sleep(limit)
            if self._executor and self.done == index:
                await self._executor.page_kernel.interrupt()

    def beginning(self, html: str, kernel_id: str, *, is_running: bool) -> Beginning:
        """Return what the pages of this notebook begin with: as far as the cells have come."""
        cells = self._executor.nb.cells if self._executor else ()
        return Beginning(html, kernel_id, cells, self.done, is_running, self.displays, self._executor)

    def left(self) -> list[NotebookNode]:
        """Return the cells that have not ended, of a page that is not complete."""
        return list(self._executor.nb.cells[self.done :]) if self._executor else []

    async def all(self, nb: NotebookNode, kernel_id: str) -> None:
        """Run all cells in place, for a template that renders none before the last one has run."""
        continues = self.continues
        ended = [continues.ended(index) for index in range(continues.done)] if continues else []
        nb.cells = [*ended, *[cell async for cell in self._run(nb)]]

    async def one_by_one(self, nb: NotebookNode, kernel_id: str) -> AsyncIterator[NotebookNode]:
        """Yield each cell for the template to render, with what the cell changed in those rendered before it."""
        for _ in range(self.continues.done if self.continues else 0):
            yield blank()
        async for cell in self._run(nb):
            if changed := self.displays.changed():
                cell["outputs"] = [*cell["outputs"], *changed]
            yield cell
            self.displays.rendered()

    async def _run(self, nb: NotebookNode) -> AsyncIterator[NotebookNode]:
        """Yield each cell that has not ended yet with its outputs, and stop after one that failed."""
        nb, _ = _clearing.preprocess(nb, {})
        self.done, self.are_shown = self.continues.done if self.continues else 0, True
        for index in range(self.done, len(nb.cells)):
            cell = self._cell(nb, index)
            await self._turn()
            self.is_executing = True
            goes_on = await self._execute(cell, index)
            self.is_executing = False
            if "outputs" in cell:
                cell["outputs"] = joined(cell["outputs"])
            self.done += 1
            yield cell
            if not goes_on:
                self.failed = True
                return

    def _cell(self, nb: NotebookNode, index: int) -> NotebookNode:
        """Return the cell to run: the notebook's, or the one that goes on in a fork."""
        running = self.continues.cell if self.continues and index == self.continues.done else None
        cell: NotebookNode = running or nb.cells[index]
        return cell

    async def _turn(self) -> None:
        """Wait until the next cell may run. A fork, whose notebook was run ahead already, waits for its visitor."""
        if self.continues:
            await self._visitor.wait()
        elif not self._is_urgent:
            await self._services.traffic.turn(self._visitor)

    async def _execute(self, cell: NotebookNode, index: int, *, again: bool = False) -> bool:
        """Run a cell in place; return whether the next one may run."""
        executor = self._executor
        assert executor is not None
        try:
            async with self._watch.over(executor.page_kernel):
                await executor.run(cell, index, self._numbers.get(cell.get("id"), index + 1))
        except CellExecutionError as error:
            if error.ename == NotClaimed.__name__ and self._visitor.is_set() and not again:
                return await self._execute(cell, index, again=True)
            executor.fail(cell, error)
        except TimeoutError as error:
            executor.fail(cell, error, executor.cell_timeout_instruction)
        except NoAnswer as error:
            executor.fail(cell, error, str(error))
        else:
            return True
        self.needs_login = executor.needs_login
        return False


def joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Return a cell's outputs with neighbouring texts of one stream as one output: kernels send them in parts."""
    found: list[NotebookNode] = []
    for output in outputs:
        last = found[-1] if found else {}
        if output["output_type"] == last.get("output_type") == "stream" and output["name"] == last["name"]:
            last["text"] += output["text"]
        else:
            found.append(output)
    return found
