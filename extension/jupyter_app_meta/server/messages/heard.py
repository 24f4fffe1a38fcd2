"""What a kernel's messages on iopub say about its page's messages under way. Pure, no I/O."""

from __future__ import annotations

import json

from jupyter_client.session import DELIM

from .flights import Flight


def note(flight: Flight, parts: list[bytes], socket: object | None) -> None:
    """Note what a message (as packed parts) says: the kernel is done with a message, or has closed a comm."""
    try:
        _, header, parent, _, content, *_ = parts[parts.index(DELIM) + 1 :]
        if b'"status"' in header and b'"idle"' in content:
            flight.end(_text(parent, "msg_id"), socket)
        elif b'"comm_close"' in header:
            flight.closed(_text(content, "comm_id"))
    except (ValueError, AttributeError, TypeError, RecursionError):
        return  # a message that cannot be read says nothing


def _text(packed: bytes, name: str) -> str:
    """Return a field of a packed object; an empty string if the field is not a string."""
    content: dict[str, object] = json.loads(bytes(packed))
    value = content.get(name)
    return value if isinstance(value, str) else ""
