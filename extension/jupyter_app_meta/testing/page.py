"""A notebook that has run for a made-up visitor: its cells, its text, its error, its widgets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Self

from . import notebook, texts, widgets
from .kernel import Ended, Kernel, TooLong, is_idle
from .outputs import Board, Data, Outputs
from .visitors import arguments
from .widgets import Models, Widget

CONTINUES = "raises-exception"
SKIPPED = "skip-execution"
"""Tags of cells, as nbclient reads them: the page goes on after an error, and the cell does not run."""


NOTED = '__import__("jupyter_app_meta.kernel.page.commands", fromlist=["commands"]).recorded()'
"""What returns, in the kernel, what code has done to its page."""


class Failure(str):
    """An error as text, such as ``ValueError: no such region``; its parts are attributes."""

    __slots__ = ("cell", "message", "name", "traceback")

    name: str  #: the name of the exception's class
    message: str  #: what the exception says
    traceback: str  #: the whole traceback, without colours
    cell: int | None  #: the number of the cell, counted from 1 with text cells; None for a callback

    @classmethod
    def of(cls, name: str, message: str, lines: Iterable[object] = (), cell: int | None = None) -> Failure:
        """Return a failure."""
        made = cls(f"{name}: {message}" if message else name)
        made.name, made.message, made.cell = name, message, cell
        made.traceback = texts.plain("\n".join(map(str, lines)))
        return made


class Cell:
    """One cell of a page: its source and what it shows."""

    def __init__(self, page: Page, given: Data, number: int) -> None:
        self._page, self._given, self._outputs = page, given, Outputs()
        self.number = number
        self.error: Failure | None = None
        self.execution_count: int | None = None

    @property
    def source(self) -> str:
        """The source of the cell."""
        return str(self._given["source"])

    @property
    def kind(self) -> str:
        """``code``, ``markdown`` or ``raw``."""
        return str(self._given["cell_type"])

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of the cell."""
        return tuple((self._given.get("metadata") or {}).get("tags") or ())

    @property
    def outputs(self) -> list[Data]:
        """The outputs in the form of nbformat."""
        self._page.refresh()
        return self._outputs.items

    @property
    def text(self) -> str:
        """What a visitor reads: the outputs of a code cell, the text of a Markdown cell."""
        if self.kind == "code":
            return "\n".join(filter(None, map(self._page.text_of, self.outputs)))
        return self.source if self.kind == "markdown" else ""

    @property
    def html(self) -> str:
        """The same as HTML."""
        if self.kind == "code":
            return "\n".join(filter(None, map(self._page.html_of, self.outputs)))
        return texts.of_markdown(self.source) if self.kind == "markdown" else ""

    def __repr__(self) -> str:
        return f"Cell({self.number}, {self.text!r})"


class Page:
    """A notebook that has run for one visitor. It is used in a ``with`` statement, or closed in the end."""

    def __init__(self, path: Path, timeout: float, visitor: Mapping[str, Any]) -> None:
        self.path, self._timeout, self._visitor = path, timeout, dict(visitor)
        self._others: list[Page] = []
        self.error: Failure | None = None
        self._notebook = notebook.read(path)
        self.cells = [Cell(self, given, number) for number, given in enumerate(self._notebook["cells"], 1)]
        self._running: Cell | None = None
        self._board = Board()
        sent = arguments(visitor)
        self._kernel = Kernel(notebook.kernel_of(path, self._notebook), path.parent, self._hear)
        self._models = Models(self._board, self._kernel.say)
        try:
            self._kernel.visit(sent)
            self._run()
        except BaseException:
            self.close()
            raise

    def _run(self) -> None:
        for cell in self.cells:
            if cell.kind == "code" and cell.source.strip() and SKIPPED not in cell.tags:
                self._execute(cell)
                if cell.error and CONTINUES not in cell.tags:
                    self.error = cell.error
                    return

    def _execute(self, cell: Cell) -> None:
        self._running = cell
        try:
            reply = self._kernel.execute(
                cell.source, self._timeout, sent=lambda msg_id: self._board.own(msg_id, cell._outputs)
            )
        except (TooLong, Ended) as error:
            cell.error = self._failed(error, cell.number)
        else:
            cell.execution_count = reply.get("execution_count")
            if reply.get("status") == "error":
                lines = reply.get("traceback") or ()
                cell.error = Failure.of(str(reply.get("ename")), str(reply.get("evalue")), lines, cell.number)
        finally:
            self._running = None

    def _failed(self, error: TooLong | Ended, cell: int | None) -> Failure:
        if isinstance(error, TooLong):
            return Failure.of("TimeoutError", f"it took longer than {self._timeout:g} seconds", cell=cell)
        return Failure.of("KernelEnded", str(error), cell=cell)

    def _hear(self, message: Data) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind.startswith("comm_"):
            self._models.hear(kind, content)
            return
        if kind == "error" and self._running is None:
            lines = content.get("traceback") or ()
            self.error = Failure.of(str(content.get("ename")), str(content.get("evalue")), lines)
        if widget := self._board.hear(kind, message["parent_header"].get("msg_id", ""), content):
            self._models.captured(widget)
        if is_idle(message):
            self._models.say()

    def _tell(self, comm_id: str, data: Data) -> None:
        try:
            self._kernel.tell(comm_id, data, self._timeout)
        except (TooLong, Ended) as error:
            self.error = self._failed(error, None)

    def refresh(self) -> None:
        """Take in what tasks and threads of the notebook have shown by now. Each look at the page does so."""
        self._kernel.take()

    @property
    def text(self) -> str:
        """All that a visitor reads on the page, a line for each part. It has no errors and nothing from stderr."""
        return "\n".join(filter(None, (cell.text for cell in self.cells)))

    @property
    def html(self) -> str:
        """The page's cells as HTML, without the frame around them."""
        return "\n".join(filter(None, (cell.html for cell in self.cells)))

    @property
    def title(self) -> str | None:
        """The title that code has given to the page; None if it has given none."""
        title: str | None = self._noted("title")
        return title

    @property
    def query(self) -> dict[str, list[str]]:
        """The values that code has given to the query in the address bar, by name; no values: the name was removed."""
        return dict(self._noted("query_set") or {})

    @property
    def redirected(self) -> str | None:
        """Where code has redirected the page to; None if it has not."""
        url: str | None = self._noted("redirected")
        return url

    @property
    def cookies_set(self) -> dict[str, str]:
        """The cookies that code has set, by name."""
        return dict(self._noted("cookies_set") or {})

    def _noted(self, name: str) -> Any:
        try:
            return self._kernel.evaluate(NOTED).get(name)
        except (Ended, TooLong):
            return None

    @property
    def widgets(self) -> list[Widget]:
        """The widgets that the page shows, in their order."""
        return [Widget(self._models, comm_id, self._tell) for comm_id in self._shown()]

    def widget(self, description: str) -> Widget:
        """Return the widget with this description; raises LookupError if there is none, or more than one."""
        found = [widget for widget in self.widgets if widget.description == description]
        if len(found) == 1:
            return found[0]
        if found:
            raise LookupError(f"The page shows {len(found)} widgets {description!r}: take one of page.widgets.")
        known = ", ".join(repr(widget.description) for widget in self.widgets if widget.description)
        raise LookupError(f"The page shows no widget {description!r}; it shows {known or 'no widget with words'}.")

    def _shown(self) -> Iterator[str]:
        seen: set[str] = set()
        for output in (output for cell in self.cells for output in cell.outputs):
            if view := (output.get("data") or {}).get(widgets.VIEW):
                yield from self._models.within(str(view.get("model_id")), seen)

    def text_of(self, output: Data) -> str:
        """Return the text of one output."""
        return "\n".join(filter(None, self._parts(output, texts.text_of, widgets.text_of, lambda text: text.strip())))

    def html_of(self, output: Data) -> str:
        """Return the HTML of one output."""
        return "\n".join(filter(None, self._parts(output, texts.html_of, widgets.html_of, texts.pre)))

    def _parts(self, output: Data, data: Any, widget: Any, stream: Any) -> Iterator[str]:
        shown = output.get("data") or {}
        if output["output_type"] == "stream" and output["name"] == "stdout":
            yield stream(texts.plain(output["text"]))
        elif view := shown.get(widgets.VIEW):
            for comm_id in self._models.within(str(view.get("model_id"))):
                yield widget(self._models.states[comm_id])
                for item in self._models.outputs[comm_id].items if comm_id in self._models.outputs else ():
                    if widgets.VIEW not in (item.get("data") or {}):
                        yield from self._parts(item, data, widget, stream)
        elif shown:
            yield data(shown)

    def as_(self, user: str | Mapping[str, Any] | None, **visitor: Any) -> Page:
        """Return the page of another user, who opens it with the same query, cookies and so on, or with others."""
        page = Page(self.path, self._timeout, {**self._visitor, **visitor, "user": user})
        self._others.append(page)
        return page

    def close(self) -> None:
        """End the kernel, and those of the pages that ``as_`` has opened. Idempotent."""
        for other in self._others:
            other.close()
        self._kernel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Page({self.path.name!r}, error={self.error!r})"

    def saved(self) -> str:
        """Return the notebook with these outputs, as the content of an ``.ipynb`` file."""
        cells = []
        for cell in self.cells:
            given = dict(cell._given)
            if cell.kind == "code":
                given |= {"outputs": cell.outputs, "execution_count": cell.execution_count}
            cells.append(given)
        found = {"metadata": {}, "nbformat": 4, "nbformat_minor": 5, **self._notebook, "cells": cells}
        return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def opened(path: str | PathLike[str], timeout: float, visitor: Mapping[str, Any]) -> Page:
    """Return a page; raises what ``dashboard`` raises."""
    return Page(Path(path).absolute(), timeout, visitor)
