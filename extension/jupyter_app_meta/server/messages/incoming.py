"""Messages that a page's socket may send to its kernel, judged before jupyter_server reads them. Pure, no I/O.

1. jupyter_server logs unexpected messages as a whole, so a refused message never reaches it.
2. A kernel echoes the header of a message in each of its replies and outputs, so headers must be short.
3. An accepted frame has only one reading: its parts follow each other, and each is a JSON object.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from jupyter_client.jsonutil import ISO8601_PAT

from .frames import V1
from .objects import Json, read

ACCEPTED: Mapping[str, frozenset[str]] = {
    "shell": frozenset({"comm_open", "comm_close", "comm_msg", "comm_info_request", "kernel_info_request"}),
    "control": frozenset({"comm_info_request", "kernel_info_request"}),
}
"""The types of messages that a visitor's browser may send to a kernel, for each channel."""

COMMS = ("comm_open", "comm_msg", "comm_close")
MAX_PARTS = 4096
MAX_HEADER = 2048
PART_COST = 512
"""How many bytes a part costs the server and the kernel in addition to its own."""

MAX_NAME = 128
"""How many characters a comm's target may have."""

_id = re.compile(r"[!-~]{1,128}")
_comm = re.compile(r"[ -~]{1,128}")
_version = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}")


class Refused(Exception):
    """A message is refused; its socket is closed with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Lost(Exception):
    """A message is not passed on; its socket stays open."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """An accepted message: its channel, its ids, and about how many bytes it costs."""

    channel: str
    msg_id: str
    msg_type: str
    comm_id: str | None
    cost: int


def judge(frame: str | bytes, subprotocol: str | None) -> Envelope:
    """Return the envelope of a frame's message; raises Refused if a visitor may not send it."""
    try:
        channel, message, count = _v1(frame) if subprotocol == V1 else _legacy(frame)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, struct.error) as error:
        raise _unreadable() from error
    if channel not in ACCEPTED:
        raise Refused(1008, "a channel that visitors may not use")
    header, content = message["header"], message["content"]
    msg_id, msg_type = _ids(header, ACCEPTED[channel])
    comm_id = _comm_id(msg_type, content) if msg_type in COMMS else None
    return Envelope(channel, msg_id, msg_type, comm_id, len(frame) + count * PART_COST)


def _v1(frame: str | bytes) -> tuple[str, dict[str, Json], int]:
    if isinstance(frame, str):
        raise _unreadable()
    count = int.from_bytes(frame[:8], "little")
    if not 6 <= count <= MAX_PARTS:
        raise _unreadable()
    offsets = struct.unpack_from(f"<{count}Q", frame, 8)
    _check_order(offsets, len(frame))
    first, *slices = pairwise(offsets)
    parts = [read(frame[start:end]) for start, end in slices[:4]]
    channel = frame[slice(*first)].decode() if first[1] - first[0] < 16 else ""
    return channel, _objects(dict(zip(_NAMES, parts, strict=True))), count


def _legacy(frame: str | bytes) -> tuple[str, dict[str, Json], int]:
    count, text = 1, frame
    if isinstance(frame, bytes):
        (count,) = struct.unpack_from("!i", frame)
        if not 1 <= count <= MAX_PARTS:
            raise _unreadable()
        offsets = (*struct.unpack_from(f"!{count}I", frame, 4), len(frame))
        _check_order(offsets, len(frame))
        text = frame[offsets[0] : offsets[1]].decode()
    message = json.loads(text)
    if not isinstance(message, dict) or (isinstance(frame, str) and message.get("buffers")):
        raise _unreadable()
    channel = message["channel"]
    return channel if isinstance(channel, str) else "", _objects({name: message[name] for name in _NAMES}), count


_NAMES = ("header", "parent_header", "metadata", "content")


def _check_order(offsets: tuple[int, ...], length: int) -> None:
    """Raise Refused if parts overlap, because a few bytes would be copied many times."""
    if any(start > end for start, end in pairwise(offsets)) or offsets[-1] > length:
        raise _unreadable()


def _objects(message: dict[str, Any]) -> dict[str, Json]:
    if not all(isinstance(part, dict) for part in message.values()):
        raise _unreadable()
    if any(len(json.dumps(message[name])) > MAX_HEADER for name in ("header", "parent_header")):
        raise Refused(1008, "a header that is too long")
    return message


def _ids(header: Json, accepted: frozenset[str]) -> tuple[str, str]:
    """Return a message's id and type. An id that looks like a date is refused: kernels parse it, so no stamp fits."""
    msg_id, msg_type = header.get("msg_id"), header.get("msg_type")
    if not isinstance(msg_type, str) or msg_type not in accepted:
        raise Refused(1008, "a message of a type that visitors may not send")
    if not isinstance(msg_id, str) or not _id.fullmatch(msg_id) or ISO8601_PAT.match(msg_id):
        raise _unreadable()
    if header.get("subshell_id") is not None or not _is_version(header.get("version", "5.3")):
        raise _unreadable()
    return msg_id, msg_type


def _is_version(value: object) -> bool:
    return isinstance(value, str) and bool(_version.fullmatch(value))


def _comm_id(msg_type: str, content: Json) -> str:
    """Return the id of a comm. A kernel logs the ids and targets that it does not know.

    ipykernel publishes a comm under its id, encoded as ASCII, and fails to open a comm with any other id.
    """
    comm_id = content.get("comm_id")
    if not isinstance(comm_id, str) or not _comm.fullmatch(comm_id):
        raise Lost("its comm_id is not a printable ASCII text of at most 128 characters")
    if msg_type == "comm_open" and not _is_name(content.get("target_name", "none")):
        raise Lost("its target_name is not a printable text of at most 128 characters")
    return comm_id


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable()


def _unreadable() -> Refused:
    return Refused(1007, "a message cannot be understood")
