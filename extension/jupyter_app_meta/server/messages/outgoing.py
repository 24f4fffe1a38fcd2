"""Outgoing messages: what a page is shown of its kernel's messages. This is the only way from a kernel to a visitor.

1. Message types, and the fields of each, are on a list; anything else is not sent. The source of cells
   (``execute_input``), replies to code, and input requests (``input_request``) are not on the list.
2. A message for the author becomes "Something went wrong (E-7F3A)", or is not sent. The same holds for a message that a
   widget has captured in its state.
3. Output that the author's code displays or prints passes untouched, and so do buffers.
4. A message that cannot be read here is not sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ... import wire
from ..reports.complaints import is_for_author
from ..reports.incidents import ADVICE, Incident, Incidents, digest, told

Json = dict[str, Any]

HEADER = ("msg_id", "msg_type", "session", "date", "version")
"""The fields of a header that a page's script needs. The name of the kernel's account is not among them."""

SHOWN: Mapping[str, tuple[str, ...]] = {
    "status": ("execution_state",),
    "stream": ("name", "text"),
    "display_data": ("data", "metadata", "transient"),
    "update_display_data": ("data", "metadata", "transient"),
    "execute_result": ("data", "metadata", "transient", "execution_count"),
    "clear_output": ("wait",),
    "comm_open": ("comm_id", "target_name", "target_module", "data"),
    "comm_msg": ("comm_id", "data"),
    "comm_close": ("comm_id", "data"),
    "comm_info_reply": ("status", "comms"),
    "kernel_info_reply": (
        *("status", "protocol_version", "implementation", "implementation_version", "language_info", "banner"),
        *("help_links", "supported_features", "debugger"),
    ),
    "error": ("ename", "evalue", "traceback"),
}
"""The types of messages that a page may get, and the fields of each."""

LARGE = ("display_data", "update_display_data", "execute_result", "comm_open", "comm_msg", "comm_close")
"""Types whose content comes only from the author's code. They are unpacked only if they may hold a widget's outputs."""

MARK = b'"output_type"'
"""The text that marks the outputs that a widget captured."""

COMMS = ("comm_open", "comm_msg", "comm_close")

NOTHING: Json = {"output_type": "stream", "name": "stdout", "text": ""}
"""Replaces an output that is not shown, so that the others keep their places, by which buffers refer to them."""


_forms = "|".join(re.escape(told("@", needs_login=needs_login)) for needs_login in (False, True))
_told = re.compile(_forms.replace("@", "E-[0-9A-F]{4}"))


def masked(incident: Incident) -> Json:
    """Return the content of the ``error`` message that a visitor gets."""
    text = incident.text if incident.reach == "login" else advised(incident.text)
    return {"ename": "Error", "evalue": incident.text, "traceback": [text]}


def advised(text: str, advice: str = "") -> str:
    """Return the text that a visitor is shown, followed by what the visitor can do."""
    return f"{text}\n{advice or ADVICE}"


class Outgoing:
    """Decides what is shown of one kernel's messages."""

    def __init__(self, kernel_id: str, incidents: Incidents, session: Any) -> None:
        self._kernel_id, self._incidents, self._session = kernel_id, incidents, session
        self._parent: tuple[bytes, Json, bytes] = (b"", {}, b"")

    def message(self, msg: Json) -> Json | None:
        """Return what is shown of an unpacked message; None if nothing is shown."""
        header, content = msg["header"], msg["content"]
        seen = self._seen(header, msg.get("parent_header") or {}, content)
        if seen is None:
            return None
        msg_type, content = seen
        shown = {
            **msg,
            "header": _header(header, msg_type),
            "parent_header": _header(msg.get("parent_header") or {}),
            "metadata": _metadata(msg_type, msg.get("metadata") or {}),
            "content": content,
        }
        return {**shown, "msg_type": msg_type} if "msg_type" in msg else shown

    def parts(self, parts: list[Any]) -> list[Any] | None:
        """Return what is shown of a message's parts [header, parent, metadata, content, *buffers]; None for nothing."""
        unpack, pack = self._session.unpack, self._session.pack
        header, (_, parent, packed_parent) = unpack(bytes(parts[0])), self._parent_of(bytes(parts[1]))
        msg_type, metadata, packed = header["msg_type"], bytes(parts[2]), bytes(parts[3])
        if msg_type not in LARGE or MARK in packed:
            seen = self._seen(header, parent, unpack(packed))
            if seen is None:
                return None
            msg_type, packed = seen[0], pack(seen[1])
        if metadata != b"{}":
            metadata = pack(_metadata(msg_type, unpack(metadata)))
        return [pack(_header(header, msg_type)), packed_parent, metadata, packed, *parts[4:]]

    def _parent_of(self, packed: bytes) -> tuple[bytes, Json, bytes]:
        """Return a parent header as received, unpacked, and as shown. Consecutive messages often share it."""
        if packed != self._parent[0]:
            parent = self._session.unpack(packed)
            self._parent = packed, parent, self._session.pack(_header(parent))
        return self._parent

    def _seen(self, header: Json, parent: Json, content: Json) -> tuple[str, Json] | None:
        """Return the type and the content that are shown; None for nothing."""
        msg_type = header["msg_type"]
        if msg_type not in SHOWN:
            return None
        if is_for_author(msg_type, content):
            incident = self._incidents.hear(self._kernel_id, header, parent, content)
            if not self._incidents.shows:
                return None if incident.reach == "author" else ("error", masked(incident))
        if msg_type in COMMS and not self._incidents.shows:
            content = {**content, "data": self._without_complaints(parent, content.get("data"))}
        return msg_type, {name: content[name] for name in SHOWN[msg_type] if name in content}

    def _without_complaints(self, parent: Json, value: Any) -> Any:
        """Return a comm's data without the errors and the stderr that a widget captured."""
        if isinstance(value, list | tuple):
            return [self._without_complaints(parent, item) for item in value]
        if not isinstance(value, dict):
            return value
        kind = value.get("output_type")
        if isinstance(kind, str) and is_for_author(kind, value):
            return value if _is_masked(value) else self._captured(kind, parent, value)
        return {name: self._without_complaints(parent, item) for name, item in value.items()}

    def _captured(self, kind: str, parent: Json, output: Json) -> Json:
        """Return what is shown of an output that a widget captured. It is logged, unless its message already was."""
        header = {"msg_type": kind, "msg_id": digest(output)}
        incident = self._incidents.hear(self._kernel_id, header, parent, output)
        return dict(NOTHING) if incident.reach == "author" else {"output_type": "error", **masked(incident)}


def _is_masked(output: Json) -> bool:
    """Whether an output is one of our own texts, written into a widget by a page or a run."""
    text = str(output.get("evalue"))
    is_ours = _told.fullmatch(text) and output.get("ename") == "Error"
    return bool(is_ours) and output.get("traceback") in ([text], [advised(text)])


def _header(header: Json, msg_type: str | None = None) -> Json:
    kept = {name: header[name] for name in HEADER if name in header}
    if kept:
        kept["username"] = ""  # a page's script expects the field
    return {**kept, "msg_type": msg_type} if msg_type else kept


def _metadata(msg_type: str, metadata: Json) -> Json:
    """Return what is shown of metadata. Only comms carry content of the author's code there."""
    if msg_type not in COMMS:
        return {}
    return {name: value for name, value in metadata.items() if name != wire.FIELD}
