"""The messages between a kernel and its server: what is read of them, and when they are sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.session import Session
from zmq.eventloop.zmqstream import ZMQStream

from jupyter_app_meta.state import messages

KEY = b"0" * 32


@pytest.fixture
def ends() -> Iterator[tuple[zmq.Socket[bytes], zmq.Socket[bytes]]]:
    """Two sockets that are connected."""
    context = zmq.Context()
    one, other = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    one.bind("inproc://ends")
    other.connect("inproc://ends")
    yield one, other
    context.destroy(linger=0)


def parts(session: Session, content: dict[str, Any] | None = None) -> list[bytes]:
    """Return the signature of a question, and what follows."""
    return session.serialize(session.msg(messages.REQUEST, content))[1:]


@given(st.dictionaries(st.text(), st.integers(-(2**53), 2**53) | st.text() | st.none()))
def test_a_message_is_read_as_it_was_sent(content: dict[str, Any]) -> None:
    """As jupyter_client reads it."""
    sent = parts(Session(key=KEY), content)
    found, same = messages.read(Session(key=KEY), sent), Session(key=KEY).deserialize(sent)
    assert (found.id, found.type) == (same["header"]["msg_id"], same["header"]["msg_type"])
    assert (found.metadata, found.content) == (same["metadata"], same["content"])


def test_a_message_is_read_once() -> None:
    """Its bytes may have been recorded."""
    session, sent = Session(key=KEY), parts(Session(key=KEY))
    messages.read(session, sent)
    with pytest.raises(ValueError, match="came before"):
        messages.read(session, sent)


@pytest.mark.parametrize("place", range(5))
def test_a_changed_message_is_not_read(place: int) -> None:
    """Whatever part of it was changed. The true one can be read afterwards."""
    session, sent = Session(key=KEY), parts(Session(key=KEY))
    with pytest.raises(ValueError, match="not signed"):
        messages.read(session, [part + b" " if number == place else part for number, part in enumerate(sent)])
    assert messages.read(session, sent).type == messages.REQUEST


@pytest.mark.parametrize("sent", [[], [b""], [b""] * 5, [b"", b"{}", b"{}", b"{}", b"{}"]])
def test_what_is_not_a_message_is_not_read(sent: list[bytes]) -> None:
    """It is refused by an error that who receives it catches."""
    with pytest.raises((ValueError, KeyError)):
        messages.read(Session(key=KEY), sent)


def test_sessions_without_a_key_sign_nothing() -> None:
    """Their kernels believe no stamp, and are asked nothing."""
    assert messages.read(Session(key=b""), parts(Session(key=b""))).type == messages.REQUEST


async def test_a_message_is_sent_before_the_loop_comes_to_its_stream(ends: Any) -> None:
    """A page waits for the answer."""
    stream = ZMQStream(ends[0])
    messages.AtOnce(stream).send_multipart([b"now"])
    assert ends[1].recv_multipart(zmq.NOBLOCK) == [b"now"]


async def test_messages_keep_their_order(ends: Any) -> None:
    """Also where some of them wait for the loop, and where the socket takes no more for a while."""
    ends[0].sndhwm = ends[1].rcvhwm = 1
    stream = ZMQStream(ends[0])
    stream.send_multipart([b"0"])
    for number in range(1, 100):
        messages.AtOnce(stream).send_multipart([str(number).encode()])
    found: list[bytes] = []
    async with asyncio.timeout(60):
        while len(found) < 100:
            await asyncio.sleep(0)
            while ends[1].poll(0):
                found += ends[1].recv_multipart()
    assert found == [str(number).encode() for number in range(100)]


async def test_what_arrives_while_a_message_is_sent_is_heard(ends: Any) -> None:
    """The loop is told of it once, and sending may take that."""
    stream, heard = ZMQStream(ends[0]), asyncio.Queue[list[bytes]]()
    stream.on_recv(heard.put_nowait)
    for number in range(500):
        ends[1].send_multipart([b"%d" % number])
        messages.AtOnce(stream).send_multipart([b"x"])
        ends[1].recv_multipart()
        async with asyncio.timeout(60):
            assert await heard.get() == [b"%d" % number]
