"""Runs a cell of a page as nbclient does, and decides which of the kernel's messages the page shows.

1. A message that only the author may read does not reach the outputs. The decision is made as the message arrives, so
   that widgets that capture outputs do not get it either.
2. An output that shows a display with an id is noted, so that a later cell can change it.
3. A cell that has begun in another process, of which the kernel is a fork, goes on: its client sends no request, and
   what the cell has shown so far stays. Output widgets that earlier cells made are copied.
"""

from __future__ import annotations

import copy
import logging

from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from nbformat.v4 import new_output
from traitlets import Unicode, default
from traitlets.config import Config
from voila.execute import VoilaExecutor

from ...server.messages.objects import Json
from ...server.messages.outgoing import advised, masked
from ...server.reports.complaints import is_for_author
from ...server.reports.incidents import Incidents, told
from .displays import Displays
from .protocols import PageClient, PageKernel

LATE = 12
"""Seconds for which the executor waits for outputs after a cell's reply. Less than the watch waits for a reply."""

INHERITED = ("comm_objects", "output_hook_stack", "widget_state", "widget_buffers")
"""What nbclient knows of the widgets that capture outputs."""

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
        self, nb: NotebookNode, *, kernel: PageKernel, incidents: Incidents, displays: Displays, config: Config
    ) -> None:
        # Tracebacks stay on here because process_message has masked them before nbclient could strip them.
        super().__init__(nb, km=kernel.manager, config=config, show_tracebacks=True, log=_silent)
        self.page_kernel = kernel
        self.needs_login = ""
        self._asks_for_login = False
        self._incidents = incidents
        self._displays = displays
        self._is_reported = False
        self._so_far: list[NotebookNode] | None = None
        self._goes_on = False
        self._connect(kernel.client)

    def _connect(self, client: PageClient) -> None:
        """Run cells by this client, and notice displays that a task or a thread of an earlier cell changes."""
        channel = client.iopub_channel
        get_msg = channel.get_msg

        async def heard(timeout: float | None = None) -> Json:
            message = await get_msg(timeout=timeout)
            if message["msg_type"] == "update_display_data":
                content: Json = message["content"]
                transient: Json = content.get("transient", {})
                self._update_display_id(transient.get("display_id"), message)
            return message

        channel.get_msg = heard
        self.kc = client

    def inherit(self, other: Executor, *, is_running: bool) -> None:
        """Continue after another executor, on a fork of its kernel; the first cell may have begun already."""
        copied = {id(other): self, id(other.kc): self.kc}  # what refers to the other one will refer to this one
        known = {name: getattr(other, name) for name in INHERITED}
        for name, value in copy.deepcopy(known, copied).items():
            setattr(self, name, value)
        self._clears: bool = getattr(other, "clear_before_next_output", False)
        self._goes_on = is_running

    async def run(self, cell: NotebookNode, index: int, number: int) -> None:
        """Run a cell in place; its author knows it by ``number``. Raises what nbclient raises."""
        if self._goes_on:
            self._goes_on, self._so_far = False, cell["outputs"]
        self._is_reported = self._asks_for_login = False
        self._incidents.at(self.page_kernel.id, number)
        await self.async_execute_cell(cell, index)  # nbclient's default stores history, and so does Voila

    async def _async_poll_output_msg(self, parent_msg_id: str, cell: NotebookNode, cell_index: int) -> None:
        """Take in the messages of a cell. nbclient has just emptied the outputs, also of a cell that goes on."""
        if self._so_far is not None:
            cell["outputs"], self._so_far = self._so_far, None
            self.clear_before_next_output = self._clears
        await super()._async_poll_output_msg(parent_msg_id, cell, cell_index)

    def process_message(self, msg: Json, cell: NotebookNode, cell_index: int) -> object:
        """Take in a message that a cell caused: all of it, what visitors may know of it, or nothing."""
        shown = self._shown(msg)
        return None if shown is None else super().process_message(shown, cell, cell_index)

    def _shown(self, msg: Json) -> Json | None:
        """Return what visitors may know of a message; None for nothing. Report one that is for its author."""
        kind: str = msg["msg_type"]
        header: Json = msg["header"]
        content: Json = msg["content"]
        if not is_for_author(kind, content):
            return msg
        incident = self._incidents.hear(self.page_kernel.id, header, msg["parent_header"], content)
        if kind == "error":
            self._is_reported = True
            self._asks_for_login = incident.reach == "login"  # a subclass of NotAuthenticated, too
        if self._incidents.shows:
            return msg
        if incident.reach == "author":
            return None
        return {**msg, "msg_type": "error", "header": {**header, "msg_type": "error"}, "content": masked(incident)}

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

    def output(
        self, outs: list[NotebookNode], msg: Json, display_id: str | None, cell_index: int
    ) -> NotebookNode | None:
        """Add an output to a cell, and note where its display is."""
        made: NotebookNode | None
        if (text := _printed(msg)) and not self.output_hook_stack[msg["parent_header"].get("msg_id")]:
            self._clear_first(outs, cell_index)
            outs.append(text)
            return text
        made = super().output(outs, msg, display_id, cell_index)
        if display_id and made is not None:
            self._displays.show(display_id, made, cell_index)
        return made

    def _clear_first(self, outs: list[NotebookNode], cell_index: int) -> None:
        """Clear what a cell has shown, if it said so before its next output."""
        if self.clear_before_next_output:
            outs[:] = []
            self.clear_display_id_mapping(cell_index)
            self.clear_before_next_output = False

    def clear_display_id_mapping(self, cell_index: int) -> None:
        """Forget the displays of a cell whose outputs are cleared."""
        super().clear_display_id_mapping(cell_index)
        self._displays.clear(cell_index)

    def _update_display_id(self, display_id: str | None, msg: Json) -> None:
        """Change a display. nbclient finds it by counting outputs, which is wrong once they are joined or masked."""
        if display_id is not None:
            self._displays.update(display_id, msg["content"])


def _printed(msg: Json) -> NotebookNode | None:
    """Return what a cell printed as an output; None for any other message.

    nbclient checks each output against nbformat's schema, which takes as long as to render it.
    """
    header: Json = msg["header"]
    content: Json = msg["content"]
    name, text = content.get("name"), content.get("text")
    if header["msg_type"] != "stream" or name not in ("stdout", "stderr") or not isinstance(text, str):
        return None
    return NotebookNode(output_type="stream", name=name, text=text)


def startup_timeout(config: Config) -> float:
    """Return for how many seconds a page waits until its kernel answers, as ``VoilaExecutor`` is configured."""
    return float(VoilaExecutor(NotebookNode(), config=config).startup_timeout)
