"""Displays with an id: a later cell may change what an earlier cell shows, even if that has been sent already.

1. An output that is not rendered yet is changed in its cell.
2. Each rendered display stands between two marks, which contain a random token. While its part of the page waits to be
   sent, the text between the marks is replaced.
3. After that part is sent, a script in the page replaces the content. The script gets it as data, never as markup.
"""

from __future__ import annotations

import copy
import json
import re
import secrets
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode, from_dict

PLACE, UPDATE = "app_meta_place", "app_meta_update"
"""Keys of an output: the number of its place, and the number of the place whose content it replaces."""

UPDATES = r"<!--{0}:u(\d+)-->(.*?)<!--/{0}:u\1-->"
"""The marks around new content, as a pattern for the token of their page."""

TEMPLATE = (
    "{%- extends EXTENDED -%}"
    "{%- block output -%}{{ display_begins(output) }}{{ super() }}{{ display_ends(output) }}{%- endblock output -%}"
)

SCRIPT = """<script>
((mark, html) => {
  const here = document.currentScript, area = here.parentElement, marks = [];
  const comments = document.createTreeWalker(document, NodeFilter.SHOW_COMMENT);
  while (comments.nextNode()) {
    if ([mark, "/" + mark].includes(comments.currentNode.data)) marks.push(comments.currentNode);
  }
  if (html !== null && marks.length === 2) {
    const range = document.createRange();
    range.setStartAfter(marks[0]);
    range.setEndBefore(marks[1]);
    range.deleteContents();
    range.insertNode(range.createContextualFragment(html));
  }
  here.remove();
  if (area && !area.childElementCount) area.closest(".jp-Cell")?.classList.add("jp-mod-noOutputs");
})(%s, %s);
</script>"""


def prepare(exporter: Any) -> None:
    """Make an exporter's template mark the displays of a page. It calls the functions in ``Displays.context``."""
    exporter.raw_template = TEMPLATE.replace("EXTENDED", json.dumps(exporter.template_file))


@dataclass(frozen=True, slots=True)
class _Shown:
    """One place where a display is shown."""

    number: int
    cell: int
    output: NotebookNode


class Displays:
    """The displays of one page, and the marks around them."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(8)
        self._shown: dict[str, list[_Shown]] = {}
        self._changed: dict[int, NotebookNode] = {}
        self._count = 0
        self._rendered = 0
        self._held = ""

    @property
    def context(self) -> dict[str, Any]:
        """The functions that the template calls before and after each output."""
        return {"display_begins": self._begins, "display_ends": self._ends}

    def copied(self, cell: NotebookNode | None) -> tuple[Displays, NotebookNode | None]:
        """Return a copy for another page, with a token of its own, and a copy of a cell whose outputs they know."""
        displays, copied = copy.deepcopy((self, cell))
        displays.token = secrets.token_hex(8)
        return displays, copied

    def rendered(self) -> None:
        """Note that one more cell is rendered."""
        self._rendered += 1

    def show(self, display_id: str, output: NotebookNode, cell: int) -> None:
        """Note that an output of a cell shows a display."""
        self._count += 1
        output[PLACE] = self._count
        self._shown.setdefault(display_id, []).append(_Shown(self._count, cell, output))

    def clear(self, cell: int) -> None:
        """Forget what a cell has shown."""
        for places in self._shown.values():
            places[:] = [shown for shown in places if shown.cell != cell]

    def update(self, display_id: str, content: dict[str, Any]) -> None:
        """Change a display in every place where it is shown."""
        for shown in self._shown.get(display_id, ()):
            shown.output["data"], shown.output["metadata"] = from_dict(content["data"]), from_dict(content["metadata"])
            if shown.cell < self._rendered:
                self._changed[shown.number] = shown.output

    def changed(self) -> list[NotebookNode]:
        """Return the new content of each place that changed after it was rendered, once, as outputs."""
        changed, self._changed = self._changed, {}
        return [NotebookNode({**output, PLACE: None, UPDATE: number}) for number, output in changed.items()]

    def added(self, waiting: list[str], piece: str) -> list[str]:
        """Return the waiting parts of a page with one more, after making the updates that it contains."""
        piece, self._held = self._held + piece, ""
        if f"<!--{self.token}:u" not in piece:
            return [*waiting, piece]
        if piece.count(f"<!--{self.token}:u") != piece.count(f"<!--/{self.token}:u"):
            self._held = piece  # a template may yield an output in parts
            return waiting
        page, updates = "".join(waiting), re.compile(UPDATES.format(self.token), re.DOTALL)
        while found := updates.search(piece):
            number, html = found.groups()
            page, is_there = self._replaced(page, number, html)
            piece = piece[: found.start()] + self._script(number, None if is_there else html) + piece[found.end() :]
        return [page, piece]

    def _replaced(self, page: str, number: str, html: str) -> tuple[str, bool]:
        """Return a page with new content at a place, and whether the page contains the whole of that place."""
        begin, end = f"<!--{self.token}:{number}-->", f"<!--/{self.token}:{number}-->"
        start, stop = page.find(begin), page.find(end)
        if start < 0 or stop < 0:
            return page, False
        return page[: start + len(begin)] + html + page[stop:], True

    def _script(self, number: str, html: str | None) -> str:
        """Return the script that stands where an update was. If its place was sent already, the script fills it."""
        mark, content = json.dumps(f"{self.token}:{number}"), json.dumps(html)
        return SCRIPT % (mark, content.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))

    def _begins(self, output: Any) -> str:
        return f"<!--{mark}-->" if (mark := self._mark(output)) else ""

    def _ends(self, output: Any) -> str:
        return f"<!--/{mark}-->" if (mark := self._mark(output)) else ""

    def _mark(self, output: Any) -> str:
        if number := output.get(PLACE):
            return f"{self.token}:{number}"
        number = output.get(UPDATE)
        return f"{self.token}:u{number}" if number else ""
