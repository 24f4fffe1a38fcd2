"""The HTML of one page: Voila's template makes it piece by piece, and the pieces wait here until they are sent."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable

from nbformat import NotebookNode

from ...frame.outputs import is_static
from .cells import Cells
from .displays import Displays
from .notebook import Blueprint

HEARTBEAT = "<script>window.voila_heartbeat && window.voila_heartbeat()</script>\n"
END = '<template id="app-meta-end"></template>\n'
"""The last piece of a complete page. The page's script looks for it."""

BROKEN = '<p role="alert">This page could not be completed.{} Please reload it.</p>\n'

KernelStart = Callable[[NotebookNode], Awaitable[str]]


async def render(blueprint: Blueprint, kernel_start: KernelStart, cells: Cells) -> AsyncIterator[str]:
    """Yield the pieces of a page as Voila's template makes them.

    The template calls back: ``kernel_start`` for the id of the kernel, then ``notebook_execute`` or ``cell_generator``
    for the cells, and around each output those of ``Displays``.
    """
    pieces = blueprint.exporter.generate_from_notebook_node(
        blueprint.prepared,
        resources=copy.deepcopy(blueprint.resources),
        extra_context={
            "frontend": "voila",
            "main_js": "voila.js",
            "kernel_start": kernel_start,
            "cell_generator": cells.one_by_one,
            "notebook_execute": cells.all,
            "progressive_rendering": False,
            "is_static": is_static,
            **cells.displays.context,
        },
        page_config=copy.deepcopy(blueprint.page_config),  # a template may write into it
    )
    async for piece, _ in pieces:
        yield piece
    yield END


class PageBuffer:
    """The pieces of a page that wait to be sent."""

    def __init__(self, displays: Displays, beginning: str = "") -> None:
        self.is_broken = False
        self._displays = displays
        self._pieces = [beginning] if beginning else []
        self._has_ended = False
        self._more = asyncio.Event()

    def add(self, piece: str) -> None:
        """Add a piece. The changes that it makes to pieces that still wait are made in those."""
        self._pieces = self._displays.added(self._pieces, piece)
        self._more.set()

    @property
    def has_begun(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._pieces)

    def waiting(self) -> str:
        """Return what waits to be sent, which is all of a page that is not sent."""
        return "".join(self._pieces)

    def break_off(self, report: str = "") -> None:
        """Tell the visitor that the rest of the page is missing; ``report`` is a sentence with an id, or nothing."""
        self.is_broken = True
        self._pieces.append(BROKEN.format(report and f" {report}"))

    def end(self) -> None:
        """Note that no piece follows."""
        self._has_ended = True
        self._more.set()

    def nudge(self) -> None:
        """Look again whether there is a word for the page."""
        self._more.set()

    async def html(self, patience: float, word: Callable[[], str] = lambda: "") -> AsyncIterator[str]:
        """Yield the page as it comes, once, and a heartbeat whenever nothing came for ``patience`` seconds.

        ``word`` returns what is to be written where the page waits for its next cell, or nothing.
        """
        while self._pieces or not self._has_ended:
            if self._pieces:
                pieces, self._pieces = self._pieces, []
                yield "".join(pieces)
                continue
            if text := word():
                yield text
                continue
            self._more.clear()
            try:
                async with asyncio.timeout(patience):
                    await self._more.wait()
            except TimeoutError:
                yield HEARTBEAT
