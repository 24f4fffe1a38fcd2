"""What the pages of one notebook begin with: the HTML and the cells of a run that came as far as its first question.

1. A run that is forked for each visitor is rendered once, as far as all visitors get the same. Each page continues with
   a copy of it: no page shares a cell, a display or a widget with another one.
2. The template of a page is rendered from its start for each page, with blank cells in the place of those that have
   run. What it yields before it takes the first other cell is left out: the beginning has it already.
3. The id of the kernel and the token of displays are each page's own.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbformat import NotebookNode

from .displays import Displays

if TYPE_CHECKING:
    from .executor import Executor


@dataclass(frozen=True, slots=True)
class Beginning:
    """How far a run came: ``done`` cells have ended. ``executor`` is None if all have, and the page is complete.

    If ``is_running`` is set, the next cell has begun, and goes on in each fork of the kernel.
    """

    html: str
    kernel_id: str
    cells: Sequence[NotebookNode]
    done: int
    is_running: bool
    displays: Displays
    executor: Executor | None

    def continued(self, kernel_id: str) -> Continuation:
        """Return a copy for the page that this kernel runs."""
        running = self.cells[self.done] if self.is_running else None
        displays, cell = self.displays.copied(running)
        html = self.html.replace(self.kernel_id, kernel_id).replace(self.displays.token, displays.token)
        return Continuation(self, html, displays, cell)


@dataclass(frozen=True, slots=True)
class Continuation:
    """A beginning as one page continues it: ``cell`` is the one that goes on, if one does."""

    beginning: Beginning
    html: str
    displays: Displays
    cell: NotebookNode | None

    @property
    def is_whole(self) -> bool:
        """Whether the page is complete."""
        return self.beginning.executor is None

    @property
    def done(self) -> int:
        """How many cells have ended."""
        return self.beginning.done

    def ended(self, index: int) -> NotebookNode:
        """Return a copy of a cell that has ended."""
        copied: NotebookNode = copy.deepcopy(self.beginning.cells[index])
        return copied


def blank() -> NotebookNode:
    """Return a cell that shows nothing."""
    parts: dict[str, object] = {"source": "", "metadata": NotebookNode(), "outputs": [], "execution_count": None}
    return NotebookNode(id="blank", cell_type="code", **parts)  # nbformat's own function validates it each time
