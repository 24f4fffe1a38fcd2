"""What a page may send is judged by its frame alone, and what it has under way is counted."""

from __future__ import annotations

import gc
import itertools
import json
import logging
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import pytest
from harness import FORMATS, V1, Format, pack
from hypothesis import given
from hypothesis import strategies as st

from jupyter_app_meta.server.messages.flights import SPARE, Account, Flight, Limits
from jupyter_app_meta.server.messages.frames import is_absurd
from jupyter_app_meta.server.messages.gate import UNREAD, Gate
from jupyter_app_meta.server.messages.incoming import ACCEPTED, PART_COST, Envelope, Lost, Refused, judge

HEADER = {"msg_id": "id", "msg_type": "comm_msg", "session": "s", "username": "u", "date": "", "version": "5.3"}
LIMITS = Limits(page=1000, visitor=1500, burst=100, rate=10, comms=3)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def message(**parts: Any) -> dict[str, Any]:
    """Return a message with some parts replaced."""
    content = {"comm_id": "c", "data": {}}
    return {"header": HEADER, "parent_header": {}, "metadata": {}, "content": content, "buffers": [], **parts}


def judged(frames: Format, channel: str = "shell", **parts: Any) -> Envelope:
    """Return what is known of a message with some parts replaced, in one format."""
    return judge(pack(message(**parts), channel, frames), V1 if frames == "v1" else None)


@pytest.mark.parametrize("frames", FORMATS)
@pytest.mark.parametrize("channel", ACCEPTED)
def test_accepted_types_pass(frames: Format, channel: str) -> None:
    """Each type that visitors may send passes on its channel, in each format."""
    for msg_type in ACCEPTED[channel]:
        found = judged(frames, channel, header={**HEADER, "msg_type": msg_type})
        assert (found.channel, found.msg_type, found.msg_id) == (channel, msg_type, "id")


@pytest.mark.parametrize("frames", ["v1", "binary"])
def test_cost_is_that_of_the_bytes_and_the_parts(frames: Format) -> None:
    """A message costs its bytes, and something for each part."""
    small, big = judged(frames), judged(frames, buffers=[b"x" * 1000, b""])
    assert big.cost - small.cost >= 1000 + 2 * PART_COST


@given(frame=st.binary() | st.text() | json_values.map(json.dumps), v1=st.booleans())
def test_any_frame_is_judged(frame: str | bytes, v1: bool) -> None:
    """Every message of a visitor is accepted, or refused by closing the socket with a code."""
    with suppress(Refused, Lost):
        judge(frame, V1 if v1 else None)


@given(header=st.dictionaries(st.sampled_from([*HEADER, "subshell_id"]), json_values), channel=st.text(max_size=8))
def test_any_header_is_judged(header: dict[str, Any], channel: str) -> None:
    """Each format has the same verdict, and what is accepted can be stamped."""
    verdicts = []
    for frames in FORMATS:
        try:
            found = judged(frames, channel, header={**HEADER, **header})
            verdicts.append("accepted")
            assert found.msg_id.isascii() and found.msg_type in ACCEPTED[found.channel]
        except Refused as refused:
            verdicts.append(str(refused.code))
    assert len(set(verdicts)) == 1


@pytest.mark.parametrize("subprotocol", [V1, None])
def test_overlapping_parts_are_absurd(subprotocol: str | None) -> None:
    """A frame whose parts are the same bytes again and again would be many times its size."""
    size, order = (8, "little") if subprotocol else (4, "big")
    offsets = [100, 5000] * 40
    head = b"".join(number.to_bytes(size, order) for number in (len(offsets), *offsets))  # type: ignore[arg-type]  # one of two
    assert is_absurd(head + b"x" * 10_000, subprotocol)
    plain = pack(message(buffers=[b"x" * 10_000] * 40), "shell", "v1" if subprotocol else "binary")
    assert not is_absurd(plain, subprotocol)


# --- what is under way -----------------------------------------------------------------------------------------------


def envelope(
    msg_id: str, cost: int = 100, msg_type: str = "comm_msg", comm_id: str = "c", channel: str = "shell"
) -> Envelope:
    """Return what is known of a message."""
    return Envelope(channel, msg_id, msg_type, comm_id, cost)


def flight(account: Account | None = None, clock: Any = lambda: 0.0) -> Flight:
    """Return a page's flight."""
    return Flight(LIMITS, account or Account(), clock)


def test_page_and_visitor_have_limits() -> None:
    """A page has so much under way, and all pages of a visitor together; a page that ends makes room."""
    account = Account()
    first, second = flight(account), flight(account)
    for number in range(10):
        first.begin("s", envelope(f"{number}"))
    with pytest.raises(Refused):
        first.begin("s", envelope("more"))
    for number in range(5):
        second.begin("s", envelope(f"{number}"))
    with pytest.raises(Refused):
        second.begin("s", envelope("more"))
    first.close()
    second.begin("s", envelope("again"))
    assert account.bytes == second.bytes == 600


def test_done_message_and_those_before_it_make_room() -> None:
    """A kernel that is done with a message is done with those that the socket sent before it."""
    page, socket = flight(), object()
    for name in "abcd":
        page.begin(socket, envelope(name))
    page.end("c", socket)
    assert page.bytes == 100
    page.end("a", socket)
    page.end("nosuch", socket)
    assert page.bytes == 100


def test_only_the_sender_hears_that_a_message_is_done() -> None:
    """Another socket's old news does not count; what a socket left behind is heard by any."""
    page, first, second = flight(), object(), object()
    page.begin(first, envelope("a"))
    page.end("a", second)
    page.end("a", None)
    assert page.bytes == 100
    page.leave(first)
    page.end("a", second)
    assert page.bytes == 0


def test_what_no_socket_heard_makes_room_in_the_end() -> None:
    """A kernel takes messages in turn: after four of another socket, sent later, it has done the three before."""
    account = Account()
    page, first, other, second = flight(account), object(), object(), object()
    for name in "abc":
        page.begin(first, envelope(name))
    page.begin(other, envelope("before"))
    page.leave(first)  # and the kernel says "idle" now
    page.end("before", other)
    for number in range(4):
        assert page.bytes == 300
        page.begin(second, envelope(f"control {number}", channel="control"))
        page.end(f"control {number}", second)
        page.begin(other, envelope(f"other {number}")) if number < 2 else None
        page.end(f"other {number}", other)
        page.begin(second, envelope(f"{number}"))
        page.end(f"{number}", second)
    assert page.bytes == account.bytes == 0
    page.begin(second, envelope("a"))
    page.end("a", second)
    assert page.bytes == 0


def test_what_a_busy_kernel_has_not_taken_stays_under_way() -> None:
    """However many sockets send and leave; one that says "idle" late changes nothing any more."""
    page = flight()
    for number in range(9):
        page.begin(number, envelope(f"{number}", cost=10))
        page.leave(number)
    page.begin("s", envelope("last", cost=10))
    assert page.bytes == 100
    page.end("3", "s")
    assert page.bytes == 90
    page.end("3", "s")
    page.end("last", "s")
    assert page.bytes == 80


def test_sockets_that_come_and_go_are_forgotten() -> None:
    """Also while a closed one's messages wait, of which the kernel has perhaps lost some."""
    page, first = flight(clock=itertools.count().__next__), object()
    for name in "ab":
        page.begin(first, envelope(name, cost=1))
    page.leave(first)
    for number in range(500):
        page.begin(socket := object(), envelope(f"{number}", cost=1))
        page.end(f"{number}", socket)
        page.leave(socket)
    assert page.bytes == 2
    assert sum(type(found).__name__ == "_Lane" for found in gc.get_objects()) < 200


def test_id_under_way_is_not_used_again() -> None:
    """Two messages of one id could not be told apart."""
    page = flight()
    page.begin("s", envelope("a"))
    with pytest.raises(Refused):
        page.begin("s", envelope("a"))


def test_rate_has_a_limit_and_recovers() -> None:
    """A burst passes, then so many a second."""
    now = [0.0]
    page = flight(clock=lambda: now[0])
    for number in range(100):
        page.begin("s", envelope(f"{number}", cost=1))
        page.end(f"{number}", "s")
    with pytest.raises(Refused):
        page.begin("s", envelope("more", cost=1))
    now[0] = 1.0
    page.begin("s", envelope("again", cost=1))


def test_bytes_that_are_lost_have_a_limit_and_recover() -> None:
    """Messages that are not passed on have together no more bytes than a page may have under way."""
    now = [0.0]
    page = flight(clock=lambda: now[0])
    for _ in range(9):
        page.lose(100)
    with pytest.raises(Refused):
        page.lose(100)
    now[0] = 2.0
    page.lose(50)


def test_comms_have_a_limit() -> None:
    """A page opens so many comms at a time; only its own that it closes make room."""
    page = flight()
    for name in "abc":
        page.begin("s", envelope(name, 1, "comm_open", name))
    page.begin("s", envelope("1", 1, "comm_close", "nosuch"))
    with pytest.raises(Refused):
        page.begin("s", envelope("2", 1, "comm_open", "d"))
    page.begin("s", envelope("3", 1, "comm_close", "a"))
    page.begin("s", envelope("4", 1, "comm_open", "d"))


def test_page_can_ask_its_busy_kernel_what_it_asks_as_it_connects() -> None:
    """A page whose kernel has as much as it may take can still come back: those questions have room of their own."""
    under_way = flight()
    under_way.begin(object(), envelope("full", LIMITS.page))
    with pytest.raises(Refused):
        under_way.begin(object(), envelope("more"))
    under_way.begin(object(), envelope("question", msg_type="kernel_info_request"))
    with pytest.raises(Refused):
        under_way.begin(object(), envelope("large", SPARE, msg_type="kernel_info_request"))


class Socket:
    """A socket's name for the gate; it notes with which code it was closed."""

    closed: int | None = None

    def close(self, code: int, reason: str) -> None:
        """Note the code."""
        self.closed = code


class Connection:
    """What a gate needs of a connection."""

    log = logging.getLogger(__name__)
    channels = ("shell",)
    subprotocol = None


@pytest.mark.parametrize("large", ["x" * 300, "é"])
def test_flood_of_lost_messages_closes_its_socket(large: str) -> None:
    """A few large messages that no kernel gets close the socket as many small ones do; a single one does not."""
    socket, page = Socket(), flight()
    gate = Gate(socket, Connection(), page, 0)
    frame = pack(message(content={"comm_id": large, "data": {}}), "shell", "text")
    assert not gate.admits(frame) and socket.closed is None
    for _ in range(LIMITS.page // len(frame)):
        gate.admits(frame)
    assert socket.closed == 1008 and page.bytes == 0


def test_output_of_any_size_is_shown_to_a_browser_that_reads() -> None:
    """One output may be larger than what may wait; a second one that has to wait behind it closes the socket."""
    socket = Socket()
    gate = Gate(socket, Connection(), flight(), 0)
    large = b"x" * (UNREAD + 1)
    assert gate.writes(large) and socket.closed is None
    gate.written(large, Future())
    assert not gate.writes(b"x") and socket.closed == 1013
