"""Runs the cells of a page's first render, as nbclient does, and keeps what is for the author out of their outputs.

That is done as messages come in: widgets that capture outputs get none of it either.
"""

from __future__ import annotations

import logging
from typing import Any

from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_output
from traitlets import Unicode

from ...errors import NotAuthenticated
from ...server.messages.outgoing import advised, masked
from ...server.reports.complaints import is_for_author
from ...server.reports.incidents import Incidents, told
from . import displays

_silent = logging.getLogger(f"{__name__}.silent")  # what nbclient says is said better by Incidents
_silent.propagate = False
_silent.addHandler(logging.NullHandler())


class Executor(displays.Executor):
    """Runs one page's cells."""

    cell_timeout_instruction = Unicode("This took longer than it may. Please reload the page.").tag(config=True)

    def __init__(self, nb: Any, *, kernel_id: str, incidents: Incidents, original: Any, **options: Any) -> None:
        super().__init__(nb, show_tracebacks=True, log=_silent, **options)  # we hide them ourselves, and earlier
        self._kernel_id, self._incidents, self._heard = kernel_id, incidents, False
        self._numbers = {cell["id"]: number for number, cell in enumerate(original.cells, 1) if "id" in cell}
        self.needs_login = ""

    async def execute_cell(self, cell: Any, resources: Any, cell_index: int, store_history: bool = True) -> Any:
        """Run a cell in place; raises what nbclient raises."""
        self._heard = False
        self._incidents.at(self._kernel_id, self._numbers.get(cell.get("id"), cell_index + 1))
        return await self.async_execute_cell(cell, cell_index)  # with its history, as Voila does it

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Take in a message that a cell caused, if it is for visitors, or what they may know of it."""
        if is_for_author(msg["msg_type"], msg["content"]):
            self._heard = self._heard or msg["msg_type"] == "error"
            incident = self._incidents.hear(self._kernel_id, msg["header"], msg["parent_header"], msg["content"])
            if not self._incidents.shows:
                if incident.reach == "author":
                    return None
                header = {**msg["header"], "msg_type": "error"}
                msg = {**msg, "msg_type": "error", "header": header, "content": masked(incident)}
        return super().process_message(msg, cell, cell_index)

    def fail(self, cell: Any, error: Exception, advice: str = "") -> None:
        """Show below a cell that it failed, and log why, where its kernel did not say so."""
        if isinstance(error, CellExecutionError) and error.ename == NotAuthenticated.__name__:
            self.needs_login = self._incidents.last(self._kernel_id)
        if self._heard:
            return
        name = getattr(error, "ename", "") or type(error).__name__
        text = told(self._incidents.failed("", error, self._kernel_id, name))
        output = new_output("error", ename="Error", evalue=text, traceback=[advised(text, advice)])
        cell["outputs"] = [*cell.get("outputs", []), output]
