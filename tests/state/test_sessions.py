"""Who is looking, across servers: rows of open pages, and commands to the server that has one."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import Any

import pytest
from databases import empty_store

from jupyter_app_meta.errors import StateUnavailable, TooLarge
from jupyter_app_meta.state import sessions
from jupyter_app_meta.state.keys import Identity, Scope, Space
from jupyter_app_meta.state.sessions import Command, Filter, Session, Sessions, found, tell
from jupyter_app_meta.state.stores import servers
from jupyter_app_meta.state.stores.base import Store
from jupyter_app_meta.state.stores.open import open_store
from jupyter_app_meta.state.stores.servers import Lease

ALICE = Identity("hub", "hub", "user", "alice")


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb", "redis"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a store that is empty."""
    with empty_store(request.param, tmp_path_factory.mktemp("sessions")) as url:
        yield url


@pytest.fixture(scope="module")
def stores(url: str) -> Iterator[tuple[Store, Store]]:
    """The stores of two servers, which are one database."""
    pair = open_store(url), open_store(url)
    yield pair
    for store in pair:
        store.close()


@pytest.fixture
def pair(stores: tuple[Store, Store]) -> Iterator[tuple[Sessions, Sessions]]:
    """The sessions of two living servers, which no other test uses."""
    made = tuple(Sessions(store, uuid.uuid4().hex) for store in stores)
    leases = [Lease(store, own.server) for store, own in zip(stores, made, strict=True)]
    for lease in leases:
        lease.take()
    yield made[0], made[1]
    for own, lease in zip(made, leases, strict=True):
        own.shut()
        lease.end()


def page(place: str = "/sales", username: str = "alice", since: float = 1.0, identity: Identity = ALICE) -> Session:
    """A page that a server is about to open."""
    space = Space.run("/", place)
    return Session("", "", identity.text, username, "user", space.text, place, uuid.uuid4().hex, "tab", since)


def test_each_server_lists_the_pages_of_all(pair: tuple[Sessions, Sessions], stores: tuple[Store, Store]) -> None:
    """The oldest first, until they close; the command line needs no server for it."""
    one, two = pair
    late, early = one.open(page(since=2.0)), two.open(page(since=1.0))
    assert (early.server, late.server) == (two.server, one.server) and early.id != late.id
    assert one.list() == two.list() == found(stores[0]) == (early, late)
    two.close(early.id)
    two.close(early.id)
    one.close(early.id)
    assert one.list() == (late,)


def test_sessions_are_filtered(pair: tuple[Sessions, Sessions]) -> None:
    """By dashboard, and by person: a service of a user's name is another."""
    one, two = pair
    alice, service = (
        one.open(page()),
        two.open(page("/a", since=2.0, identity=Identity("hub", "hub", "service", "alice"))),
    )
    assert one.list(Filter(dashboard="/a")) == (service,)
    assert one.list(Filter(user="alice")) == (alice, service)
    assert one.list(Filter(user="hub:user:alice")) == (alice,)
    assert one.list(Filter("/a", "hub:user:alice")) == () == one.list(Filter(dashboard="/"))


def test_a_page_that_has_ended_is_not_ended_again(pair: tuple[Sessions, Sessions], stores: tuple[Store, Store]) -> None:
    """Its row may be there a moment longer. Its own server knows better, and other servers cannot know."""
    one, other = pair
    opened = one.open(page())
    assert not tell(stores[0], Command("end", opened.id), one.server)
    assert tell(stores[1], Command("end", opened.id), other.server)


def test_pages_of_a_killed_server_leave_the_list(
    pair: tuple[Sessions, Sessions], stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When its heartbeat is old. A server that was cut off has its pages back, and a new one of its name has none."""
    one, _ = pair
    killed = Sessions(stores[1], uuid.uuid4().hex)
    lease = Lease(stores[1], killed.server)
    monkeypatch.setattr(servers, "DEAD", 0.02)
    lease.take()
    opened = killed.open(page())
    while one.list():
        pass
    assert not one.tell(Command("end", opened.id))
    monkeypatch.setattr(servers, "DEAD", 60)
    lease.take()
    assert one.list() == (opened,)
    Sessions(stores[0], killed.server).begin()
    assert one.list() == ()
    killed.renew()
    assert one.list() == (opened,)
    killed.shut()
    killed.renew()
    assert one.list() == ()
    lease.end()


def test_rows_are_over_by_themselves(pair: tuple[Sessions, Sessions], monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that no server renews does not stay in the store; renewing brings it back."""
    one, two = pair
    monkeypatch.setattr(sessions, "KEPT", 0.02)
    opened = one.open(page())
    while two.list():
        pass
    monkeypatch.setattr(sessions, "KEPT", 60)
    one.renew()
    assert two.list() == (opened,)


def test_a_command_reaches_the_server_that_has_the_page(
    pair: tuple[Sessions, Sessions], stores: tuple[Store, Store]
) -> None:
    """Only that server, in order and once, whoever asks."""
    one, two = pair
    opened = one.open(page())
    said = Command("send", opened.id, "news", json.dumps({"a": "\ud800"})), Command("end", opened.id)
    assert two.tell(said[0]) and tell(stores[1], said[1])
    assert not two.tell(Command("end", "0" * 32))
    assert two.take() == ()
    assert one.take() == said
    assert one.take() == ()


def test_a_command_is_taken_once(pair: tuple[Sessions, Sessions]) -> None:
    """Also while several threads of the server take."""
    one, two = pair
    opened = one.open(page())
    for number in range(20):
        two.tell(Command("send", opened.id, str(number)))
    with ThreadPoolExecutor(4) as pool:
        taken = [command.name for part in pool.map(lambda _: one.take(), range(4)) for command in part]
    assert sorted(taken, key=int) == [str(number) for number in range(20)]


def test_a_notice_names_the_inbox(pair: tuple[Sessions, Sessions], stores: tuple[Store, Store]) -> None:
    """A server hears of a command by the store's feed, and need not look."""
    one, two = pair
    opened = one.open(page())
    heard: Queue[str | None] = Queue()
    feed = stores[0].feed(lambda notice: heard.put(notice.scope))
    try:
        assert two.tell(Command("end", opened.id))
        while heard.get(timeout=60) not in (one.inbox, None):
            pass
        assert one.take() == (Command("end", opened.id),)
    finally:
        feed.close()


def test_what_a_visitor_can_make_grow_is_bounded(
    pair: tuple[Sessions, Sessions], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows, commands, names, addresses and messages."""
    one, two = pair
    opened = one.open(page("/" + "x" * 9_000, "a" * 9_000))
    assert len(opened.page) == sessions.PAGE_LIMIT and len(opened.username) == 500
    assert two.list() == (opened,)
    for command in (Command("send", opened.id, "n" * 101), Command("send", opened.id, "n", "1" * 65_537)):
        with pytest.raises(TooLarge, match="of a message has at most"):
            two.tell(command)
    monkeypatch.setattr(sessions, "COMMANDS", 1)
    assert two.tell(Command("end", opened.id))
    with pytest.raises(TooLarge, match="commands wait for the server"):
        two.tell(Command("end", opened.id))
    monkeypatch.setattr(sessions, "ROWS", 1)
    with pytest.raises(TooLarge, match="at most 1 open pages"):
        one.open(page())
    assert one.list() == (opened,)


@pytest.mark.parametrize("text", ["", "1", "[]", "{}", '{"id": 1}', "[" * 9_000, '{"verb": "end", "session": 1}'])
def test_what_is_not_understood_is_left_out(
    pair: tuple[Sessions, Sessions], stores: tuple[Store, Store], text: str
) -> None:
    """A row or command of a newer server hides no other."""
    one, two = pair
    opened = one.open(page())
    for audience in ("sessions", "commands"):
        stores[1].apply(Scope(audience, json.dumps([one.server])), {}, {"odd": text}, (), None)
    changed = {**json.loads(opened.text), "since": "now", "id": "odd"}
    stores[1].apply(Scope("sessions", json.dumps([one.server])), {}, {"typed": json.dumps(changed)}, (), None)
    two.tell(Command("end", opened.id))
    assert two.list() == (opened,)
    assert one.take() == (Command("end", opened.id),)


def test_a_newer_servers_row_with_more_fields_is_read() -> None:
    """An unknown field is ignored."""
    row = page()
    assert Session.read(json.dumps({**json.loads(row.text), "new": 1})) == row


def test_a_page_that_closes_while_the_store_is_away_leaves_the_list(
    pair: tuple[Sessions, Sessions], stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is one that opened meanwhile forgotten. A command that was taken before the store went is not lost."""
    here, there = pair
    gone, stays = here.open(page()), here.open(page())
    with monkeypatch.context() as away:
        away.setattr(stores[0], "apply", refuse)
        with pytest.raises(StateUnavailable):
            here.close(gone.id)
        came = here.open(page())  # the store is not even asked
    here.renew()
    assert {row.id for row in there.list() if row.server == here.server} == {stays.id, came.id}
    assert there.tell(Command("end", stays.id)) and there.tell(Command("end", came.id))
    apply, asked = stores[0].apply, iter([True, False])

    def once(*given: Any, **named: Any) -> Any:
        return apply(*given, **named) if next(asked) else refuse()

    with monkeypatch.context() as away:
        away.setattr(stores[0], "apply", once)
        assert [command.session for command in here.take()] == [stays.id]
    assert [command.session for command in here.take()] == [came.id]


def refuse(*given: object, **named: object) -> None:
    """Raise what a store raises that is away."""
    raise StateUnavailable("away")
