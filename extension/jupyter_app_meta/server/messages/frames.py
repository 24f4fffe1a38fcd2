"""WebSocket frames of kernel messages, in the three formats that browsers speak. Pure, no I/O."""

from __future__ import annotations

import json
import struct
from itertools import pairwise
from typing import Any

from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)

from .objects import Json
from .stamps import Stamps, Unreadable

RUN_CHANNELS = ("shell", "control")
"""The channels on which kernels receive cells and callbacks."""

V1 = "v1.kernel.websocket.jupyter.org"


def stamp_frame(frame: str | bytes, subprotocol: str | None, stamps: Stamps) -> tuple[str | bytes, Json | None]:
    """Return a WebSocket frame with the stamp in its message, and the header if the kernel may run code for it.

    Raises Unreadable if the frame cannot be read here, because a later parser might read a stamp in it.
    """
    try:
        return _stamp_frame(frame, subprotocol, stamps)
    except Unreadable:
        raise
    except Exception as error:
        raise Unreadable("a frame that cannot be read") from error


def _stamp_frame(frame: str | bytes, subprotocol: str | None, stamps: Stamps) -> tuple[str | bytes, Json | None]:
    if is_absurd(frame, subprotocol):
        raise Unreadable("a message that claims more parts than it has bytes")
    if subprotocol == V1 and isinstance(frame, bytes):
        channel: str
        parts: list[Any]
        channel, parts = deserialize_msg_from_ws_v1(frame)
        header, stamped = stamps.forward(parts)
        text: bytes = serialize_msg_to_ws_v1(stamped, channel)
        return text, header if channel in RUN_CHANNELS else None
    if isinstance(frame, bytes):
        return _stamp_binary(frame, stamps)
    message: Json = json.loads(frame)
    return json.dumps(stamps.message(message)), _run_header(message)


def _run_header(message: Json) -> Json | None:
    """Return the header of a message on a channel on which kernels run code."""
    header = message.get("header") if message.get("channel") in RUN_CHANNELS else None
    return header if isinstance(header, dict) else None


def _stamp_binary(frame: bytes, stamps: Stamps) -> tuple[bytes, Json | None]:
    """Return a binary frame with another JSON text. The buffers behind the text move but do not change."""
    count = int.from_bytes(frame[:4], "big")
    offsets: tuple[int, ...] = struct.unpack(f"!{count}I", frame[4 : 4 * (count + 1)])
    start, end = offsets[0], offsets[1] if count > 1 else len(frame)
    message: Json = json.loads(frame[start:end].decode())
    text = json.dumps(stamps.message(message)).encode()
    moved = (start, *(offset + start + len(text) - end for offset in offsets[1:]))
    head = struct.pack(f"!{count + 1}I", count, *moved)
    return b"".join((head, frame[4 * (count + 1) : start], text, frame[end:])), _run_header(message)


def is_absurd(frame: object, subprotocol: str | None) -> bool:
    """Whether a frame claims more parts than it has bytes, or parts that overlap. Reading it would take too long."""
    if not isinstance(frame, bytes):
        return False
    v1, legacy = int.from_bytes(frame[:8], "little"), int.from_bytes(frame[:4], "big", signed=True)
    count, form, start = (v1, "<{}Q", 8) if subprotocol == V1 else (legacy, "!{}I", 4)
    if count > max(len(frame), 64):
        return True
    there = max(0, min(count, len(frame) // start - 1))
    offsets: tuple[int, ...] = struct.unpack_from(form.format(there), frame, start)
    size = sum(max(0, min(end, len(frame)) - begin) for begin, end in pairwise(offsets))
    return size > len(frame)
