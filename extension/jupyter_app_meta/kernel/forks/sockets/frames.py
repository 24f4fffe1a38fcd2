"""Messages on a stream socket between a server and a forked process: a letter, and the parts of the message.

1. A message is its letter (one byte), the number of its parts (4 bytes), the length of each part (8 bytes each), and
   the parts. Numbers are big-endian.
2. A stream delivers bytes in pieces of any size. ``Decoder.feed`` returns those that are whole by then, in order.
3. Whatever is not a message is refused with BadFrames, and the decoder takes nothing after that.

========  =========  =============================================================================================
letter    sent by    parts
========  =========  =============================================================================================
KEY       server     JSON ``{"key", "session"}``, and ``kernel_id`` for a child; once, before anything else: the process
                     signs with this key
SHELL     both       a message of the shell channel, as ZeroMQ would carry it; the server's has the identity PRIVATE
VISITOR   server     JSON ``{"header", "stamp"}``: the claim
ATTACH    server     JSON: the connection info of a kernel, without its key; the answer is ATTACHED or NOT_ATTACHED
QUIET     server     none: from now on the process sends no message of its iopub channel here
IOPUB     process    a message of the iopub channel
TOLD      process    ASKING: a cell of the template asks for its visitor, and all it did before was sent before;
                     WANTED: code of a child needs its control channel, and waits for ATTACH;
                     ATTACHED; or NOT_ATTACHED and why
========  =========  =============================================================================================
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

MOST_PARTS = 65_536
"""How many parts a message may have: a widget's message has a part for each of its buffers."""

KEY, SHELL, VISITOR, ATTACH, QUIET, IOPUB, TOLD = b"k", b"s", b"v", b"a", b"q", b"i", b"t"

ASKING, WANTED, ATTACHED, NOT_ATTACHED = b"asking", b"wanted", b"attached", b"not attached"

PRIVATE = b"\0private"
"""The identity of the server's messages. A ZeroMQ client cannot have it: identities that begin with 0 are reserved."""

_HEAD = struct.Struct(">cI")
_LENGTH = 8

Message = tuple[bytes, list[bytes]]
"""A letter, and the parts of a message."""


class BadFrames(ValueError):
    """A stream contains something else than messages."""


def encode(letter: bytes, parts: Sequence[bytes | memoryview]) -> bytes:
    """Return a message as bytes; raises BadFrames for more than one letter, or too many parts."""
    if not _is_letter(letter) or len(parts) > MOST_PARTS:
        raise BadFrames(f"A message has one letter and at most {MOST_PARTS} parts, not {letter!r} and {len(parts)}.")
    lengths = [memoryview(part).nbytes for part in parts]
    return b"".join((_HEAD.pack(letter, len(parts)), struct.pack(f">{len(lengths)}Q", *lengths), *parts))


class Decoder:
    """Finds the messages in a stream."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._needed = _HEAD.size
        self._is_bad = False

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that end in ``data``; raises BadFrames."""
        if self._is_bad:
            raise BadFrames("The stream was refused before.")
        self._data += data
        return list(self._messages())

    def _messages(self) -> Iterator[Message]:
        while len(self._data) >= self._needed:
            if (lengths := self._lengths()) is None:
                continue
            yield self._taken(lengths)

    def _lengths(self) -> tuple[int, ...] | None:
        """Return the lengths of the message's parts as soon as all of it is there; else note how much is needed."""
        letter, count = _HEAD.unpack_from(self._data)
        if not _is_letter(letter) or count > MOST_PARTS:
            self._is_bad = True
            raise BadFrames("The stream contains something else than messages.")
        begin = _HEAD.size + _LENGTH * count
        self._needed = begin
        if len(self._data) < begin:
            return None
        lengths = struct.unpack_from(f">{count}Q", self._data, _HEAD.size)
        self._needed = begin + sum(lengths)
        return lengths if len(self._data) >= self._needed else None

    def _taken(self, lengths: tuple[int, ...]) -> Message:
        """Take the first message out of the data."""
        letter, at, parts = bytes(self._data[:1]), self._needed - sum(lengths), []
        for length in lengths:
            parts.append(bytes(self._data[at : at + length]))
            at += length
        del self._data[:at]
        self._needed = _HEAD.size
        return letter, parts


def _is_letter(letter: bytes) -> bool:
    return len(letter) == 1 and letter.isalpha()
