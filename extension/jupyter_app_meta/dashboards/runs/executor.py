"""Runs a cell of a page as nbclient does, and decides which of the kernel's messages the page shows.

1. A message that only the author may read does not reach the outputs. The decision is made as the message arrives, so
   that widgets that capture outputs do not get it either.
2. An output that shows a display with an id is noted, so that a later cell can change it.
"""

from __future__ import annotations

import logging
from typing import Any

from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from nbformat.v4 import new_output
from traitlets import Unicode, default
from traitlets.config import Config
from voila.execute import VoilaExecutor

from ...server.messages.outgoing import advised, masked
from ...server.reports.complaints import is_for_author
from ...server.reports.incidents import Incidents, told
from .displays import Displays
from .kernel import Kernel

LATE = 12
"""Seconds for which the executor waits for outputs after a cell's reply. Less than the watch waits for a reply."""

_silent = logging.getLogger(f"{__name__}.silent")  # Incidents reports what nbclient would log, with an id
_silent.propagate = False
_silent.addHandler(logging.NullHandler())


class Executor(VoilaExecutor):  # type: ignore[misc]  # Voila has no types
    """Runs the cells of one page on its kernel."""

    cell_timeout_instruction = Unicode("This took too long. Please reload the page.").tag(config=True)

    @default("iopub_timeout")
    def _patient_for_outputs(self) -> int:
        """Return a limit that is longer than nbclient's 4 seconds: a busy machine lost outputs within them."""
        return LATE

    def __init__(
        self, nb: NotebookNode, *, kernel: Kernel, incidents: Incidents, displays: Displays, config: Config
    ) -> None:
        # Tracebacks stay on here because process_message has masked them before nbclient could strip them.
        super().__init__(nb, km=kernel.manager, config=config, show_tracebacks=True, log=_silent)
        self.page_kernel = kernel
        self.needs_login = ""
        self._asks_for_login = False
        self._incidents = incidents
        self._displays = displays
        self._is_reported = False
        self._connect(kernel.client)

    def _connect(self, client: Any) -> None:
        """Run cells by this client, and notice displays that a task or a thread of an earlier cell changes."""
        get_msg = client.iopub_channel.get_msg

        async def heard(timeout: float | None = None) -> Any:
            message = await get_msg(timeout=timeout)
            if message["msg_type"] == "update_display_data":
                self._update_display_id(message["content"].get("transient", {}).get("display_id"), message)
            return message

        client.iopub_channel.get_msg = heard
        self.kc = client

    async def run(self, cell: NotebookNode, index: int, number: int) -> None:
        """Run a cell in place; its author knows it by ``number``. Raises what nbclient raises."""
        self._is_reported = self._asks_for_login = False
        self._incidents.at(self.page_kernel.id, number)
        await self.async_execute_cell(cell, index)  # nbclient's default stores history, and so does Voila

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:
        """Take in a message that a cell caused: all of it, what visitors may know of it, or nothing."""
        if is_for_author(msg["msg_type"], msg["content"]):
            self._is_reported = self._is_reported or msg["msg_type"] == "error"
            incident = self._incidents.hear(self.page_kernel.id, msg["header"], msg["parent_header"], msg["content"])
            if msg["msg_type"] == "error":
                self._asks_for_login = incident.reach == "login"  # a subclass of NotAuthenticated, too
            if not self._incidents.shows:
                if incident.reach == "author":
                    return None
                header = {**msg["header"], "msg_type": "error"}
                msg = {**msg, "msg_type": "error", "header": header, "content": masked(incident)}
        return super().process_message(msg, cell, cell_index)

    def fail(self, cell: NotebookNode, error: Exception, advice: str = "") -> None:
        """Show below a cell that it failed, and report why unless the kernel already has."""
        if isinstance(error, CellExecutionError) and self._asks_for_login:
            self.needs_login = self._incidents.last(self.page_kernel.id)
        if self._is_reported:
            return
        name = getattr(error, "ename", "") or type(error).__name__
        text = told(self._incidents.failed("", error, self.page_kernel.id, name))
        output = new_output("error", ename="Error", evalue=text, traceback=[advised(text, advice)])
        cell["outputs"] = [*cell.get("outputs", []), output]

    def output(self, outs: Any, msg: Any, display_id: str | None, cell_index: int) -> NotebookNode | None:
        """Add an output to a cell, and note where its display is."""
        made: NotebookNode | None = super().output(outs, msg, display_id, cell_index)
        if display_id and made is not None:
            self._displays.show(display_id, made, cell_index)
        return made

    def clear_display_id_mapping(self, cell_index: int) -> None:
        """Forget the displays of a cell whose outputs are cleared."""
        super().clear_display_id_mapping(cell_index)
        self._displays.clear(cell_index)

    def _update_display_id(self, display_id: str, msg: Any) -> None:
        """Change a display. nbclient finds it by counting outputs, which is wrong once they are joined or masked."""
        self._displays.update(display_id, msg["content"])


def startup_timeout(config: Config) -> float:
    """Return for how many seconds a page waits until its kernel answers, as ``VoilaExecutor`` is configured."""
    return float(VoilaExecutor(NotebookNode(), config=config).startup_timeout)
