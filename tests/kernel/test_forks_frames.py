"""Messages between a server and a forked process arrive as they were sent, in whatever pieces a socket delivers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_app_meta.kernel.forks.sockets.frames import MOST_PARTS, BadFrames, Decoder, Message, encode

LETTERS = st.sampled_from([bytes([code]) for code in range(128) if chr(code).isalpha()])
MESSAGES = st.lists(st.tuples(LETTERS, st.lists(st.binary(max_size=40), max_size=5)), max_size=6)


@given(MESSAGES, st.data())
def test_messages_arrive_in_any_pieces(messages: list[Message], data: st.DataObject) -> None:
    """Decoding is the inverse of encoding, wherever the stream is cut, and each message is there with its last byte."""
    stream = b"".join(encode(letter, parts) for letter, parts in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    decoder, found = Decoder(), []
    for start, end in pairwise([0, *cuts, len(stream)]):
        found += decoder.feed(stream[start:end])
        sent = [sum(len(encode(*message)) for message in messages[:count]) for count in range(len(messages) + 1)]
        assert len(found) == max(count for count, size in enumerate(sent) if size <= end)
    assert found == messages


@given(st.binary(max_size=200))
def test_anything_else_is_refused_or_waits(stream: bytes) -> None:
    """A stream of any bytes raises nothing but BadFrames, and its messages encode to what was read."""
    decoder = Decoder()
    try:
        found = decoder.feed(stream)
    except BadFrames:
        with pytest.raises(BadFrames):
            decoder.feed(b"")
    else:
        assert stream.startswith(b"".join(encode(letter, parts) for letter, parts in found))


def test_views_are_sent_by_their_bytes() -> None:
    """A buffer of numbers is as long as its bytes, not as its numbers."""
    numbers = memoryview(b"12345678").cast("I")
    assert Decoder().feed(encode(b"m", [numbers])) == [(b"m", [b"12345678"])]


@pytest.mark.parametrize("letter", [b"", b"ab", b"1", b"\0"])
def test_a_message_has_one_letter(letter: bytes) -> None:
    """What could not be decoded is not encoded."""
    with pytest.raises(BadFrames, match="one letter"):
        encode(letter, [])


def test_parts_are_bounded() -> None:
    """Neither side takes a message with too many parts, which would be a long list."""
    with pytest.raises(BadFrames, match="at most 65536 parts"):
        encode(b"m", [b""] * (MOST_PARTS + 1))
    with pytest.raises(BadFrames, match="something else"):
        Decoder().feed(b"m" + (MOST_PARTS + 1).to_bytes(4, "big"))
