"""The outputs of a page under test: which cell or widget shows which message of the kernel.

1. An output belongs to the cell whose request caused it, also if a task or a thread of the cell sends it later.
2. While an ``Output`` widget captures a request's outputs, it shows them instead.
3. A display with an id is changed wherever it is shown.
"""

from __future__ import annotations

from typing import Any

Data = dict[str, Any]

SHOWN = ("stream", "display_data", "execute_result", "error")


class Outputs:
    """The outputs of one cell or of one ``Output`` widget, in the form of nbformat."""

    __slots__ = ("_clears", "items")

    def __init__(self) -> None:
        self.items: list[Data] = []
        self._clears = False

    def clear(self, *, wait: bool) -> None:
        """Remove all outputs; with ``wait``, when the next one comes."""
        self._clears = wait
        if not wait:
            self.items.clear()

    def add(self, kind: str, content: Data) -> Data:
        """Add the output of a message and return it. A text that goes on is joined with what came before."""
        if self._clears:
            self.clear(wait=False)
        last = self.items[-1] if self.items else {}
        if kind == last.get("output_type") == "stream" and last["name"] == content["name"]:
            last["text"] += content["text"]
            return last
        made = {"output_type": kind, **{name: value for name, value in content.items() if name != "transient"}}
        self.items.append(made)
        return made


class Board:
    """All outputs of a page. ``own`` makes a request's outputs appear in a cell, ``capture`` in a widget."""

    def __init__(self) -> None:
        self._owners: dict[str, Outputs] = {}
        self._captures: dict[str, list[tuple[str, Outputs]]] = {}
        self._displays: dict[str, list[Data]] = {}

    def own(self, msg_id: str, outputs: Outputs) -> None:
        """Show what a request causes in these outputs."""
        self._owners[msg_id] = outputs

    def capture(self, msg_id: str, widget: str, outputs: Outputs) -> None:
        """Show what a request causes in a widget, until it is released."""
        self._captures.setdefault(msg_id, []).append((widget, outputs))

    def release(self, widget: str) -> None:
        """Let a widget capture nothing more."""
        for captured in self._captures.values():
            captured[:] = [item for item in captured if item[0] != widget]

    def hear(self, kind: str, parent: str, content: Data) -> str | None:
        """Take in a message; return the id of the widget that captured it, if one has."""
        if kind == "update_display_data":
            self._update(content)
            return None
        captured = self._captures.get(parent)
        widget, outputs = captured[-1] if captured else (None, self._owners.get(parent))
        if outputs is None:
            return None
        if kind == "clear_output":
            outputs.clear(wait=bool(content.get("wait")))
        elif kind in SHOWN:
            made = outputs.add(kind, content)
            if display := (content.get("transient") or {}).get("display_id"):
                self._displays.setdefault(display, []).append(made)
        return widget

    def _update(self, content: Data) -> None:
        for shown in self._displays.get((content.get("transient") or {}).get("display_id", ""), ()):
            shown["data"], shown["metadata"] = content.get("data", {}), content.get("metadata", {})
