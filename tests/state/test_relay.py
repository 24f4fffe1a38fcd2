"""Messages between pages: who hears what, on one server and across two, and what a flood does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from jupyter_app_meta.state import grants
from jupyter_app_meta.state.forms import MESSAGE_DATA, Misunderstood
from jupyter_app_meta.state.grants import Claims
from jupyter_app_meta.state.keys import Identity, Scope, Space
from jupyter_app_meta.state.live import outbox, relay
from jupyter_app_meta.state.live.allowance import Allowance
from jupyter_app_meta.state.live.events import Event, Sent, read_event, write_event
from jupyter_app_meta.state.live.outbox import Letter, Outbox
from jupyter_app_meta.state.operations import Listen, Operation, Request, Send, Unlisten, read_request, write_request
from jupyter_app_meta.state.revoked import Revoked
from jupyter_app_meta.state.rules import Rules
from jupyter_app_meta.state.service import Service
from jupyter_app_meta.state.stores.base import RESYNC, Entry, Store
from jupyter_app_meta.state.stores.open import open_store

KEY = grants.derive_key(b"a secret that servers share")
SALES, STOCK = (Space.run("prod", path) for path in ("/sales", "/stock"))
ALICE, BOB = (Identity("hub", "hub", "user", name) for name in ("alice", "bob"))


class Server:
    """A service with a store object of its own, and what its kernels hear."""

    def __init__(self, store: Store) -> None:
        self.store, self.revoked = store, Revoked(store)
        self.told: list[tuple[str, Event]] = []
        rules = Rules(KEY, time.time, self.revoked.not_before)
        self.service = Service(store, rules, lambda *event: self.told.append(event), logging.getLogger("state"))
        self._ids = count()

    def ask(
        self,
        operation: Operation,
        audience: str = "session",
        kernel_id: str = "k-1",
        who: Identity | None = ALICE,
        tab: str = "t-1",
        space: Space = SALES,
    ) -> Any:
        """Return the result of an operation, or the name of its error."""
        grant = grants.mint(KEY, Claims(kernel_id, space, who, tab, "l-1"), time.time())
        content = write_request(Request(f"id-{next(self._ids)}", grant, audience, operation))
        answer = self.service.answer(kernel_id, content)
        assert isinstance(answer, dict)
        return answer["error"] if "error" in answer else answer["ok"]

    def heard(self) -> list[tuple[str, str]]:
        """Return which kernels have heard what since the last call."""
        told, self.told = self.told, []
        return sorted((kernel_id, event.data) for kernel_id, event in told if isinstance(event, Sent))


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """Two servers on one store."""
    with ExitStack() as stack:
        stores = [stack.enter_context(closing(open_store(f"sqlite:///{tmp_path}/state.db"))) for _ in range(2)]
        servers = [Server(store) for store in stores]
        for server in servers:
            stack.callback(server.service.close)
        yield servers[0], servers[1]


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until the other server has heard."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def pages(server: Server) -> None:
    """Open two tabs of Alice, one of Bob, and a page whose visitor is not known; all of them listen."""
    assert isinstance(server.ask(Listen()), str)
    server.ask(Listen(), kernel_id="k-2", tab="t-2")
    server.ask(Listen(), kernel_id="k-3", who=BOB, tab="t-3")
    server.ask(Listen(), "shared", kernel_id="k-4", who=None)
    server.ask(Listen(), kernel_id="k-5", space=STOCK)


def test_a_message_reaches_its_audience(two: tuple[Server, Server]) -> None:
    """The tab, the person's tabs, or everybody on the dashboard: the page that sends as well."""
    server, _ = two
    pages(server)
    for audience, kernels in (
        ("session", ["k-1"]),
        ("visitor", ["k-1", "k-2"]),
        ("shared", ["k-1", "k-2", "k-3", "k-4"]),
    ):
        assert server.ask(Send("news", '"hello"'), audience) is None
        assert server.heard() == [(kernel, '"hello"') for kernel in kernels]


def test_code_that_listens_no_more_hears_nothing(two: tuple[Server, Server]) -> None:
    """It has closed its functions, or its kernel has another process."""
    server, _ = two
    pages(server)
    server.ask(Unlisten(), kernel_id="k-2", tab="t-2")
    server.service.restarted("k-3")
    server.ask(Send("news", "1"), "shared")
    assert server.heard() == [("k-1", "1"), ("k-4", "1")]


def test_two_people_in_one_kernel_have_two_names(two: tuple[Server, Server]) -> None:
    """Each event names the visitor whose functions are meant."""
    server, _ = two
    hers, his = server.ask(Listen()), server.ask(Listen(), who=BOB, tab="t-3")
    server.ask(Send("news", "1"), "visitor", who=BOB, tab="t-3")
    assert server.told == [("k-1", Sent(his, "news", "1"))] and hers != his


def test_a_message_reaches_the_pages_of_another_server(two: tuple[Server, Server]) -> None:
    """Once each, in their order, and none from before the page listened."""
    here, there = two
    here.ask(Send("news", '"too early"'), "shared")
    pages(there)
    for number in range(3):
        here.ask(Send("news", str(number)), "visitor")
        here.ask(Send("news", str(number)), "shared", who=BOB)
    eventually(lambda: len(there.told) >= 18)
    there.service.relay.heard(RESYNC)
    heard = [event.data for kernel, event in there.told if kernel == "k-1" and isinstance(event, Sent)]
    assert heard == ["0", "0", "1", "1", "2", "2"] and len(there.told) == 18
    assert not here.told


def test_a_frozen_store_holds_up_no_grant(two: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch) -> None:
    """While messages are read from it, kernels end and grants are made, which the event loop does."""
    here, _ = two
    pages(here)
    let, reading = threading.Event(), threading.Event()

    def frozen(*_: object) -> dict[str, Entry]:
        reading.set()
        let.wait(120)
        return {}

    monkeypatch.setattr(here.store, "readable", frozen)
    feed = threading.Thread(target=here.service.relay.heard, args=(RESYNC,))
    end = threading.Thread(target=here.service.restarted, args=("k-3",))
    grant = threading.Thread(target=here.service.renewed, args=(Claims("k-1", SALES, ALICE, "t-1"),))
    feed.start()
    assert reading.wait(60)
    try:
        for work in (end, grant):
            work.start()
            work.join(60)
            assert not work.is_alive()
        assert feed.is_alive()
    finally:
        let.set()
        feed.join()


def test_an_administrator_reaches_one_visitor_of_a_kernel(two: tuple[Server, Server]) -> None:
    """The answer says whether any code of that visitor listens."""
    server, _ = two
    pages(server)
    tell = server.service.relay.tell
    assert tell("k-1", ALICE.text, "notice", '"closing"')
    assert not tell("k-1", BOB.text, "notice", "1") and not tell("k-9", None, "notice", "1")
    assert server.heard() == [("k-1", '"closing"')]


def test_a_revoked_visitor_hears_nothing_more_of_their_own(two: tuple[Server, Server]) -> None:
    """Until the page has a new grant."""
    server, _ = two
    server.ask(Listen())
    time.sleep(0.002)  # the grants of a millisecond are revoked together
    server.revoked.revoke(ALICE)
    assert server.service.relay.tell("k-1", ALICE.text, "notice", "1") is True  # an administrator's message still comes
    server.told.clear()
    time.sleep(0.002)
    server.ask(Send("news", "1"), "visitor", kernel_id="k-2", tab="t-2")
    assert server.heard() == []
    for who in (BOB, ALICE):
        server.service.renewed(Claims("k-1", SALES, who, "t-1", "l-1", time.time() + grants.LIFETIME))
        server.ask(Send("news", "2"), "visitor", kernel_id="k-2", tab="t-2")
        assert server.heard() == ([("k-1", "2")] if who is ALICE else [])


def test_nothing_is_known_of_consoles_that_have_ended(two: tuple[Server, Server]) -> None:
    """Each has a space of its own. What was sent in the last seconds still counts, and other spaces stay."""
    server, _ = two
    server.ask(Listen(), kernel_id="k-0")
    for number in range(20):
        space, kernel_id = Space.edit("prod", f"kernel:{number}"), f"k-{number + 1}"
        server.ask(Listen(), kernel_id=kernel_id, space=space)
        server.ask(Send("news", "1"), kernel_id=kernel_id, space=space)
    relayed, now = server.service.relay, time.monotonic()
    assert len(relayed._outboxes) == 21
    for number in range(20):
        server.service.ended(f"k-{number + 1}")
    assert len(relayed._outboxes) == 21  # what these have sent is still in the store
    for box in relayed._outboxes.values():
        box._clock = lambda: now + outbox.KEPT + 60
    for allowance in relayed._rates.values():
        allowance._clock = lambda: now + 60
    server.service.ended("k-20")
    assert [*relayed._outboxes] == [SALES.text] and not relayed._rates and len(relayed._claims) == 1


def test_a_flood_is_refused(two: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one kernel: above its rate. Of many: above what all pages of a dashboard may hear. Others go on."""
    server, _ = two
    monkeypatch.setattr(relay, "RATE", 0.001)
    answers = [server.ask(Send("news", "1")) for _ in range(relay.BURST + 5)]
    assert answers == [None] * relay.BURST + ["TooLarge"] * 5
    assert server.ask(Send("news", "1"), kernel_id="k-2") is None
    monkeypatch.setattr(relay, "HEARD", 0.001)
    monkeypatch.setattr(relay, "HEARD_BURST", 2)
    answers = [server.ask(Send("news", "1"), kernel_id=f"p-{n}", space=STOCK) for n in range(4)]
    assert answers == [None, None, "TooLarge", "TooLarge"]


def test_messages_cannot_fill_a_store(two: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept for other servers has a bound, and the next message removes what is over."""
    now = 0.0
    box = Outbox(two[0].store, SALES.text, lambda: now)
    monkeypatch.setattr(outbox, "BYTES", 1000)
    letter = Letter("0" * 64, "news", "x" * 300)
    box.put(letter)
    box.put(letter)
    with pytest.raises(ValueError, match="at most 1000 bytes"):
        box.put(letter)
    now = outbox.KEPT
    box.put(letter)
    assert len(two[0].store.read(box.id, None)) == 1


def test_what_is_not_a_message_is_passed_over(two: tuple[Server, Server]) -> None:
    """A newer server, or a hand in the database, may have written it."""
    box = Outbox(two[0].store, SALES.text)
    assert box.take(None) == []
    box.begin()
    good = Letter("0" * 64, "news", "1")
    texts = ["", "[]", "[" * 9000, '{"to": 1, "name": "a", "data": "1"}', good.text]
    two[1].store.apply(Scope("messages", SALES.text), {}, {str(n): text for n, text in enumerate(texts)}, (), 60)
    assert (box.take(None), box.take(None)) == ([good], [])


def test_listeners_of_a_kernel_have_a_bound(two: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch) -> None:
    """One who listens already may listen again."""
    monkeypatch.setattr(relay, "LISTENERS", 2)
    server, _ = two
    for tab, accepted in (("a", True), ("b", True), ("c", False), ("a", True)):
        assert (server.ask(Listen(), tab=tab) != "TooLarge") is accepted


@pytest.mark.parametrize("name", ["", "x" * 101, "\ud800", 5, None])
def test_a_name_that_is_not_one_is_refused(name: Any) -> None:
    """By the server, whatever a kernel's half sends, and by the kernel."""
    request = write_request(Request("id-1", "grant", "session", Send("name", "1")))
    with pytest.raises(Misunderstood):
        read_request({**request, "name": name})
    with pytest.raises(Misunderstood):
        read_event({**write_event(Sent("scope", "name", "1")), "name": name})
    with pytest.raises(Misunderstood):
        read_request({**request, "data": "x" * (MESSAGE_DATA + 1)})


def test_data_that_is_not_a_value_is_refused(two: tuple[Server, Server]) -> None:
    """The text is verified as that of a value that is stored."""
    assert two[0].ask(Send("news", "NaN")) == "Unstorable"


def test_an_allowance_is_a_burst_and_a_rate() -> None:
    """More than a burst is let through when all of it is left."""
    now = 0.0
    allowance = Allowance(10, 5, lambda: now)
    assert [allowance.spend() for _ in range(6)] == [True] * 5 + [False]
    now = 0.25
    assert [allowance.spend() for _ in range(3)] == [True, True, False]
    assert not allowance.spend(100)
    now = 10
    assert allowance.spend(100) and not allowance.spend()
