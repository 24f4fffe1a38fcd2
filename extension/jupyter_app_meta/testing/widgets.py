"""The widgets of a page under test: what they show, and what a visitor does with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time
from html import escape
from typing import Any

from . import texts
from .outputs import Board, Data, Outputs

MODEL = "IPY_MODEL_"
VIEW = "application/vnd.jupyter.widget-view+json"
TARGET = "jupyter.widget"
BUTTON, TOGGLES = "ButtonModel", ("ToggleButtonModel", "CheckboxModel", "ValidModel")

Send = Callable[[str, Data], None]


class Models:
    """The widgets that a kernel has made, by the id of their comm."""

    def __init__(self, board: Board, sync: Send) -> None:
        self._board, self._sync = board, sync
        self.states: dict[str, Data] = {}
        self.outputs: dict[str, Outputs] = {}
        self._unsaid: set[str] = set()

    def hear(self, kind: str, content: Data) -> None:
        """Take in a message of a widget. An echo says what the page itself has sent, perhaps long ago."""
        comm_id, data = str(content.get("comm_id")), content.get("data") or {}
        if kind == "comm_open" and content.get("target_name") == TARGET:
            self.states[comm_id] = {}
            self._change(comm_id, data.get("state") or {})
        elif kind == "comm_msg" and comm_id in self.states and data.get("method") == "update":
            self._change(comm_id, data.get("state") or {})
        elif kind == "comm_close":
            self.states.pop(comm_id, None)
            self._board.release(comm_id)

    def _change(self, comm_id: str, state: Data) -> None:
        own = self.states[comm_id]
        own.update(state)
        if own.get("_model_name") != "OutputModel":
            return
        outputs = self.outputs.setdefault(comm_id, Outputs())
        if "outputs" in state:
            outputs.items = [dict(item) for item in state["outputs"]]
        if state.get("msg_id"):
            self._board.capture(state["msg_id"], comm_id, outputs)
        elif "msg_id" in state:
            self._board.release(comm_id)

    def captured(self, comm_id: str) -> None:
        """Note that an ``Output`` widget shows something new."""
        self._unsaid.add(comm_id)

    def say(self) -> None:
        """Tell the kernel what its ``Output`` widgets show now, as their page does."""
        for comm_id in self._unsaid & self.states.keys():
            items = [dict(item) for item in self.outputs[comm_id].items]
            self.states[comm_id]["outputs"] = items
            self._sync(comm_id, {"method": "update", "state": {"outputs": items}, "buffer_paths": []})
        self._unsaid.clear()

    def within(self, comm_id: str, seen: set[str] | None = None) -> Iterator[str]:
        """Yield the id of a widget, and of those inside it, in the order in which a page shows them."""
        seen = set() if seen is None else seen
        if comm_id in seen or comm_id not in self.states:
            return
        seen.add(comm_id)
        yield comm_id
        for child in self.states[comm_id].get("children") or ():
            yield from self.within(str(child).removeprefix(MODEL), seen)
        for item in self.outputs[comm_id].items if comm_id in self.outputs else ():
            if view := (item.get("data") or {}).get(VIEW):
                yield from self.within(str(view.get("model_id")), seen)


def title(state: Mapping[str, Any]) -> str:
    """Return the words by which a visitor knows a widget: its description, without markup."""
    return texts.of_html(str(state.get("description") or ""))


def value_of(state: Mapping[str, Any]) -> Any:
    """Return what a widget shows as its value. Of a list of choices, it is the label, or the labels, as shown."""
    labels, index = state.get("_options_labels"), state.get("index")
    if labels is None:
        return state.get("value")
    if isinstance(index, list | tuple):
        return tuple(labels[each] for each in index)
    return None if index is None else labels[index]


def text_of(state: Mapping[str, Any]) -> str:
    """Return the text of a widget without those inside it."""
    value = value_of(state)
    if isinstance(value, tuple | list) and all(isinstance(each, str | int | float) for each in value):
        value = ", ".join(map(str, value))
    shown = texts.of_html(value) if isinstance(value, str) and _is_html(state) else value
    said = str(shown) if isinstance(shown, str | int | float) and not isinstance(shown, bool) else ""
    return " ".join(filter(None, (title(state), said)))


def html_of(state: Mapping[str, Any]) -> str:
    """Return the HTML of a widget without those inside it."""
    value = value_of(state)
    if isinstance(value, str) and _is_html(state):
        return f"<div>{escape(title(state))} {value}</div>"
    text = text_of(state)
    return f"<div>{escape(text)}</div>" if text else ""


def _is_html(state: Mapping[str, Any]) -> bool:
    return state.get("_model_name") in ("HTMLModel", "HTMLMathModel")


class Widget:
    """One widget of a page, as its visitor uses it. Each action returns when the kernel has handled it."""

    __slots__ = ("_id", "_models", "_tell")

    def __init__(self, models: Models, comm_id: str, tell: Send) -> None:
        self._models, self._id, self._tell = models, comm_id, tell

    @property
    def state(self) -> Mapping[str, Any]:
        """What the kernel has told the page about this widget."""
        return self._models.states.get(self._id, {})

    @property
    def description(self) -> str:
        """The words beside the widget, or on a button."""
        return title(self.state)

    @property
    def value(self) -> Any:
        """What the widget shows; of a list of choices the label, or a tuple of labels."""
        return value_of(self.state)

    @property
    def options(self) -> tuple[str, ...]:
        """The labels of a list of choices."""
        return tuple(self.state.get("_options_labels") or ())

    def set(self, value: Any) -> None:
        """Change the value as the visitor would: a choice is named by its label, several by a list of labels.

        Raises ValueError for a label that does not exist and for a widget that is disabled, and TypeError for a
        widget without a value.
        """
        self._refuse_disabled()
        if self.state.get("_options_labels") is not None:
            change = {"index": self._index(value)}
        elif "value" in self.state:
            change = {"value": _plain(value)}
        else:
            raise TypeError(f"{self!r} has no value to set{'; use click()' if self._is(BUTTON) else ''}.")
        self._models.states[self._id].update(change)
        self._tell(self._id, {"method": "update", "state": change, "buffer_paths": []})

    def click(self) -> None:
        """Click a button, or change a checkbox or toggle button; raises TypeError for another widget."""
        self._refuse_disabled()
        if self._is(*TOGGLES):
            self.set(not self.state["value"])
        elif self._is(BUTTON):
            self._tell(self._id, {"method": "custom", "content": {"event": "click"}})
        else:
            raise TypeError(f"{self!r} cannot be clicked; use set().")

    def _is(self, *names: str) -> bool:
        return self.state.get("_model_name") in names

    def _refuse_disabled(self) -> None:
        if not self.state:
            raise ValueError("The widget has been closed.")
        if self.state.get("disabled"):
            raise ValueError(f"{self!r} is disabled: its visitor cannot use it.")

    def _index(self, value: Any) -> Any:
        if value is None or isinstance(value, list | tuple | set):
            return None if value is None else [self._index(each) for each in value]
        if str(value) not in self.options:
            raise ValueError(f"{self!r} has no choice {str(value)!r}; it has {', '.join(self.options)}.")
        return self.options.index(str(value))

    def __repr__(self) -> str:
        kind = str(self.state.get("_model_name", "")).removesuffix("Model") or "Widget"
        return f"{kind}({self.description!r})"


def _plain(value: Any) -> Any:
    """Return a value in the form in which ipywidgets' pages send it."""
    if isinstance(value, date):
        day = {"year": value.year, "month": value.month - 1, "date": value.day}
        if not isinstance(value, datetime):
            return day
        if value.tzinfo:
            raise TypeError("A moment with a time zone cannot be set here.")
        return {**day, **_plain(value.time())}
    if isinstance(value, time):
        milliseconds = value.microsecond // 1000
        return {"hours": value.hour, "minutes": value.minute, "seconds": value.second, "milliseconds": milliseconds}
    return list(value) if isinstance(value, tuple) else value
