"""From a kernel's message to the store and back."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from jupyter_app_meta.browser import Browser
from jupyter_app_meta.errors import TooLarge
from jupyter_app_meta.state import grants
from jupyter_app_meta.state.grants import LIFETIME, Claims
from jupyter_app_meta.state.keys import Identity, Space, scope_of
from jupyter_app_meta.state.live.events import Changed
from jupyter_app_meta.state.operations import (
    Add,
    Apply,
    Clear,
    Forget,
    Operation,
    Read,
    Request,
    Watch,
    write_request,
)
from jupyter_app_meta.state.paging.operations import AskBrowser, Redirect, SetCookie, SetQuery, SetTitle, TellPage
from jupyter_app_meta.state.rules import Rules
from jupyter_app_meta.state.service import Service
from jupyter_app_meta.state.stores.base import Store, Where
from jupyter_app_meta.state.stores.open import open_store
from jupyter_app_meta.state.values import Limits

KEY = grants.derive_key(b"a secret that servers share")
SALES = Space.run("prod", "/sales")
ALICE, BOB = (Identity("hub", "hub", "user", name) for name in ("alice", "bob"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Yield a store in a file of its own."""
    store = open_store(f"sqlite:///{tmp_path / 'state.db'}")
    yield store
    store.close()


class Server:
    """A service on a store, with a clock that stands still, and the messages of its kernels."""

    def __init__(self, store: Store, **limits: int) -> None:
        self.now = 1_800_000_000.0
        self.revoked: dict[Identity, float] = {}
        self.is_forgetful = False
        self.told: list[tuple[str, Changed]] = []
        preferences = frozenset(("theme", "size"))
        rules = Rules(
            KEY,
            lambda: self.now,
            self.revoked.get,
            Limits(**limits),
            preferences,
            revoke=self.revoke,
            lately=self.lately,
        )
        self.service = Service(store, rules, lambda *event: self.told.append(event), logging.getLogger("state"))
        self._ids = count()

    def lately(self, who: Identity) -> float | None:
        """Know of all revocations without asking the store, unless nothing is known."""
        if self.is_forgetful:
            raise LookupError
        return self.revoked.get(who)

    def revoke(self, who: Identity) -> None:
        """Refuse what this visitor has until now."""
        self.revoked[who] = self.now
        self.now += 1

    def grant(self, who: Identity | None = ALICE, kernel_id: str = "k-1", tab: str | None = "t-1") -> str:
        """Return a good grant."""
        return grants.mint(KEY, Claims(kernel_id, SALES, who, tab, "l-1"), self.now)

    def content(self, operation: Operation, audience: str = "visitor", grant: str | None = None) -> dict[str, Any]:
        """Return the content of a request."""
        request = Request(f"id-{next(self._ids)}", grant or self.grant(), audience, operation)
        content: dict[str, Any] = json.loads(json.dumps(write_request(request)))
        return content

    def send(self, content: object, kernel_id: str = "k-1") -> dict[str, Any]:
        """Return the answer to a message, as the kernel reads it."""
        answer: dict[str, Any] = json.loads(json.dumps(self.service.answer(kernel_id, content)))
        return answer

    def ask(self, operation: Operation, audience: str = "visitor", grant: str | None = None) -> Any:
        """Return the result of an operation that is done."""
        return self.send(self.content(operation, audience, grant))["ok"]

    def watch(self, kernel_id: str, audience: str = "visitor", who: Identity | None = ALICE) -> str:
        """Watch from a kernel, and return how its events call what it watches."""
        content = self.content(Watch(), audience, self.grant(who, kernel_id))
        return str(self.send(content, kernel_id)["ok"])

    def refusal(self, operation: Operation, audience: str = "visitor", grant: str | None = None) -> tuple[str, str]:
        """Return the error of an operation that is not done."""
        answer = self.send(self.content(operation, audience, grant))
        return answer["error"], answer["text"]


def put(key: str, text: str, **more: Any) -> Apply:
    """Return an operation that writes one key."""
    return Apply(puts={key: text}, **more)


def test_what_is_written_is_read(store: Store) -> None:
    """Each operation reaches the store, and others are told after it."""
    server = Server(store)
    name = server.watch("k-2")
    versions = server.ask(Apply(puts={"a": "1", "b": '"x"'}))
    assert server.ask(Read()) == {"a": ["1", versions["a"]], "b": ['"x"', versions["b"]]}
    assert [*server.ask(Read(("b", "c")))] == ["b"]
    assert server.ask(Add("a", 2))[0] == "3"
    assert server.ask(Apply(drops=("b",))) == {}
    assert server.ask(Clear()) == 1
    assert server.ask(Read()) == {}
    changed = [("a", "b"), ("a",), ("b",), None]
    assert server.told == [("k-2", Changed(name, keys, "alice")) for keys in changed]


def test_a_small_read_needs_no_wait(store: Store) -> None:
    """The event loop has the same answer as a thread. What is refused, or not known at once, it leaves to a thread."""
    server, bobs = Server(store), Server(store).grant(BOB)
    read, foreign = server.content(Read(("a",))), server.content(Read(), grant=bobs)
    server.ask(put("a", "1"))
    assert server.service.glance("k-1", read) is None  # it was not read before
    answer = server.send(read)
    assert server.service.glance("k-1", read) == answer and answer["ok"]["a"][0] == "1"
    others: tuple[object, ...] = (server.content(put("a", "2")), server.content(Clear()), {"op": "read"}, [], None)
    for content in others:
        assert server.service.glance("k-1", content) is None
    assert server.service.glance("k-2", read) is None
    assert server.service.glance("k-1", foreign) is None
    server.is_forgetful = True
    assert server.service.glance("k-1", read) is None
    server.is_forgetful = False
    server.revoke(ALICE)
    assert server.service.glance("k-1", read) is None


def test_a_small_read_of_a_tab_needs_no_wait_once_the_tab_is_known(store: Store) -> None:
    """Until then a thread waits for it. A tab has its own state."""
    server = Server(store)
    grant = server.grant(tab=None)
    write, read = server.content(put("a", "1"), "session", grant), server.content(Read(), "session", grant)
    for content in (write, read):
        server.service.answer("k-1", content, "t-2")
    assert server.service.glance("k-1", read) is None
    assert server.service.glance("k-1", read, "t-2") == server.service.answer("k-1", read, "t-2")
    assert server.service.glance("k-1", read, "t-3") is None  # nothing was read there before


def test_each_audience_is_its_own(store: Store) -> None:
    """What one person writes is read by the audience, and by no other person."""
    server = Server(store)
    other_tab, bob, nobody = server.grant(tab="t-2"), server.grant(BOB), server.grant(None, tab=None)
    for audience in ("session", "visitor", "shared"):
        server.ask(put("a", "1"), audience)
    assert [bool(server.ask(Read(), name, other_tab)) for name in ("session", "visitor", "shared")] == [
        False,
        True,
        True,
    ]
    assert [bool(server.ask(Read(), name, bob)) for name in ("session", "visitor", "shared")] == [False, False, True]
    assert server.ask(Read(), "shared", nobody)
    assert {server.refusal(Read(), name, nobody)[0] for name in ("session", "visitor")} == {"NoVisitor"}


@pytest.mark.parametrize("audience", ["visitor", "session", "preferences", "shared"])
def test_a_visitor_forgets_no_other(store: Store, audience: str) -> None:
    """Whatever audience the message names: the visitor's own tabs and state are erased, and nothing of anybody else."""
    server = Server(store)
    bob, nobody = server.grant(BOB), server.grant(None, tab=None)
    for grant in (None, bob):
        for name in ("session", "visitor"):
            server.ask(put("a", "1"), name, grant)
    server.ask(put("a", "1"), "shared")
    assert server.refusal(Forget(), audience, nobody)[0] == "NoVisitor"
    assert server.ask(Forget(), audience) == 2
    assert [len(server.ask(Read(), name)) for name in ("session", "visitor", "shared")] == [0, 0, 1]
    assert [len(server.ask(Read(), name, bob)) for name in ("session", "visitor", "shared")] == [1, 1, 1]


def test_forget_revokes_grants_and_tells_who_watches(store: Store) -> None:
    """A grant from before is refused from then on, a new one is good, and each tab of the visitor is told."""
    server = Server(store)
    old = server.grant()
    names = [server.watch("k-2", audience) for audience in ("visitor", "session")]
    server.watch("k-3", "visitor", BOB)
    server.ask(Forget(), grant=old)
    assert [(kernel_id, event.keys) for kernel_id, event in server.told] == [("k-2", None)] * 2
    assert {event.scope for _, event in server.told} == {*names}
    error, text = server.refusal(Read(), grant=old)
    assert (error, "Reload the page" in text) == ("StateUnavailable", True)
    assert server.ask(Read()) == {}


def test_a_revoked_visitor_is_told_nothing_until_there_is_a_new_grant(store: Store) -> None:
    """The watches are told once more, those of other visitors stay; with a new grant they are told that they missed."""
    server = Server(store)
    name, bobs = server.watch("k-2", "shared"), server.watch("k-3", "shared", BOB)
    server.service.revoke(ALICE)
    assert server.told == [("k-2", Changed(name))]
    server.ask(put("a", "1"), "shared")
    assert server.told[1:] == [("k-3", Changed(bobs, ("a",), "alice"))]
    server.service.renewed(grants.read(KEY, server.grant(ALICE, "k-2"), "k-2", server.now))
    assert server.told[2:] == [("k-2", Changed(name))]
    server.ask(put("a", "2"), "shared")
    assert ("k-2", Changed(name, ("a",), "alice")) in server.told[3:]
    server.service.revoke(ALICE)
    server.service.ended("k-2")
    assert not server.service.changes._silent


def test_an_expired_grant_says_what_to_do(store: Store) -> None:
    """A cell that has run for more than a day is told to begin anew."""
    server = Server(store)
    old = server.grant()
    server.now += LIFETIME
    assert "24 hours after its message. Run the cell again" in server.refusal(Read(), grant=old)[1]


def test_a_conflict_names_its_key(store: Store) -> None:
    """A write that expects what is not so changes nothing, and no kernel is told."""
    server = Server(store)
    server.watch("k-2")
    server.ask(put("a", "1"))
    answer = server.send(server.content(Apply({"a": 0}, {"a": "2", "b": "2"})))
    assert (answer["error"], answer["key"]) == ("Conflict", "a")
    assert [entry[0] for entry in server.ask(Read()).values()] == ["1"]
    assert len(server.told) == 1


def test_bad_grants_are_refused(store: Store) -> None:
    """Forged, of another kernel, expired, revoked: each says what to do, and repeats nothing of the grant."""
    server = Server(store)
    good, old = server.grant(), server.grant()
    server.now += LIFETIME
    late = server.grant()
    server.revoked[BOB] = server.now
    bad = {"forged": good[:-2] + "AA", "expired": old, "revoked": server.grant(BOB)}
    bad["of another kernel"] = server.grant(kernel_id="k-2")
    for reason, grant in bad.items():
        error, text = server.refusal(put("a", "1"), "shared", grant)
        assert (error, reason in text, grant in text) == ("StateUnavailable", True, False), text
    assert server.ask(Read(), "shared", late) == {}


def test_a_request_is_done_once(store: Store) -> None:
    """The same request again has the same answer; another kernel's request with that id is another request."""
    server = Server(store)
    content = server.content(Add("votes", 1), "shared")
    assert server.send(content) == server.send(content)
    assert server.send({**content, "grant": server.grant(kernel_id="k-2")}, "k-2")["ok"][0] == "2"
    server.service.ended("k-1")
    assert server.send(content)["ok"][0] == "3"


def test_limits_refuse_before_the_store_is_asked(store: Store) -> None:
    """Each limit is kept to the last byte, and a refused write has changed nothing."""
    server = Server(store, key=5, value=10, keys=3, scope=20)
    server.ask(Apply(puts={"a": '"12345678"', "bcdef": '"1234567"'}))
    assert server.refusal(put("abcdef", "1"))[0] == "TooLarge"
    assert server.refusal(put("a", '"123456789"'))[0] == "TooLarge"
    assert server.refusal(put("c", "12"))[0] == "TooLarge"
    server.ask(put("c", "1"))
    error, text = server.refusal(Add("d", 1))
    assert (error, "['keys'] allows 3" in text) == ("TooLarge", True)
    server.ask(put("d", "1", drops=("c",)))
    assert {*server.ask(Read())} == {"a", "bcdef", "d"}


def test_what_another_server_adds_counts_at_once(store: Store) -> None:
    """A second server that writes to the scope, and one that empties it, is noticed by the next write."""
    server, scope = Server(store, keys=2), scope_of("visitor", SALES, ALICE)
    server.ask(put("a", "1"))
    store.apply(scope, {}, {"b": "1"}, (), None)
    assert server.refusal(put("c", "1"))[0] == "TooLarge"
    store.erase(Where(scope=scope.id))
    server.ask(put("c", "1"))


def test_a_copy_is_whole_or_nothing(store: Store) -> None:
    """A tab that is over its limits, or that has state of its own, is left as it is."""
    server = Server(store)
    old, new = (scope_of("session", SALES, ALICE, tab) for tab in ("t-1", "t-2"))
    server.ask(Apply(puts={"a": "1", "b": "1"}), "session")
    with pytest.raises(TooLarge):
        Server(store, keys=1).service.copy(old, new)
    assert store.read(new.id, None) == {}
    store.apply(new, {}, {"c": "1"}, (), None)
    server.service.copy(old, new)
    assert {*store.read(new.id, None)} == {"c"}
    store.erase(Where(scope=new.id))
    store.apply(old, {}, {"d": "1"}, (), 60)
    server.now = time.time()  # by which the store tells what is over
    server.service.copy(old, new)
    assert {*store.read(new.id, None)} == {"a", "b", "d"}


def test_a_scope_above_a_lowered_limit_can_shrink(store: Store) -> None:
    """What is there stays readable and can be made smaller."""
    Server(store).ask(Apply(puts={"a": '"123"', "b": '"123"'}))
    server = Server(store, scope=4)
    assert server.refusal(put("a", '"1234"'))[0] == "TooLarge"
    server.ask(put("a", '"1"'))
    server.ask(Apply(drops=("b",)))


@pytest.mark.parametrize("text", ["NaN", "[1, 2]", '{"a":1,"a":2}', "", '"\\ud800"'])
def test_a_text_that_no_kernel_half_writes_is_refused(store: Store, text: str) -> None:
    """A kernel that is not ours cannot store what the others could not read."""
    server = Server(store)
    assert server.refusal(put("a", text), "shared")[0] == "Unstorable"
    assert server.ask(Read(), "shared") == {}


def test_preferences_are_those_that_the_deployer_named(store: Store) -> None:
    """Other keys and other values are refused, and the error lists the keys that there are."""
    server = Server(store)
    server.ask(put("theme", '"dark"'), "preferences")
    assert server.ask(Add("size", 2), "preferences")[0] == "2"
    assert "allows: size, theme" in server.refusal(put("token", "1"), "preferences")[1]
    assert server.refusal(Add("token", 1), "preferences")[0] == "Unstorable"
    for text in ("[]", "{}", "null", f'"{"x" * 201}"', "9" * 201):
        assert server.refusal(put("theme", text), "preferences")[0] == "Unstorable"


def test_adding_to_a_text_says_so(store: Store) -> None:
    """The error of `add` reaches the author as the TypeError that it is."""
    server = Server(store)
    server.ask(put("a", '"x"'))
    assert server.refusal(Add("a", 1))[0] == "TypeError"


def test_what_is_not_understood_is_answered(store: Store) -> None:
    """A message with an id hears why; one without an id hears nothing."""
    server = Server(store)
    answer = server.send({**server.content(Clear()), "more": 1})
    assert (answer["error"], "same release" in answer["text"]) == ("StateError", True)
    silent: tuple[object, ...] = (None, [], {}, {"id": ""}, {"op": "read"})
    for content in silent:
        assert server.service.answer("k-1", content) is None


def test_an_error_of_the_server_stays_in_its_log(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """The author hears that it failed; the log has the kind of error and no value."""

    def fail(*args: object) -> None:
        raise RuntimeError("a secret")

    service = Service(store, Rules(KEY, lambda: 0.0, lambda identity: None), fail, logging.getLogger("state"))
    claims = Claims("k-1", SALES, ALICE, "t")
    service.changes.watch(replace(claims, kernel_id="k-2"), scope_of("visitor", SALES, ALICE))
    content = Server(store).content(put("a", "1"), grant=grants.mint(KEY, claims, 0.0))
    answer = service.answer("k-1", content)
    assert isinstance(answer, dict) and answer["text"] == "The server could not do it; its log says why."
    assert "RuntimeError" in caplog.text and "a secret" not in caplog.text


class Pages:
    """Notes what is asked of pages."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []

    def browser(self, kernel_id: str) -> Browser:
        """Return a browser that is that kernel's."""
        return Browser(timezone=f"Etc/{kernel_id}")

    def tell(self, kernel_id: str, command: object) -> None:
        """Note a command."""
        self.told.append((kernel_id, command))


def test_kernel_reaches_its_own_page_only(store: Store) -> None:
    """Code that has another kernel's grant, a forged, an old or a revoked one sets no cookie and learns nothing."""
    server = Server(store)
    pages, cookie = Pages(), TellPage(SetCookie("region", "emea"))
    server.service._rules = replace(server.service._rules, pages=pages)
    theirs = server.grant(BOB, "k-2")
    for operation in (cookie, AskBrowser()):
        for grant in (theirs, server.grant(BOB) + "x", "x"):
            assert server.send(server.content(operation, grant=grant))["error"] == "StateUnavailable"
        assert server.send(server.content(operation, grant=server.grant()), "k-2")["error"] == "StateUnavailable"
    old = server.grant()
    server.revoke(ALICE)
    assert server.send(server.content(cookie, grant=old))["error"] == "StateUnavailable"
    server.now += LIFETIME + 1
    assert server.send(server.content(cookie, grant=theirs), "k-2")["error"] == "StateUnavailable"
    assert pages.told == []
    assert server.send(server.content(cookie))["ok"] is None
    assert server.send(server.content(AskBrowser()))["ok"]["timezone"] == "Etc/k-1"
    assert pages.told == [("k-1", cookie.command)]


def test_kernel_of_an_editor_has_no_page(store: Store) -> None:
    """On a server of notebooks, no message sets a cookie, whichever code has written it."""
    server = Server(store)
    for command in (SetCookie("region", "emea"), Redirect("/"), SetTitle("x"), SetQuery({})):
        assert server.send(server.content(TellPage(command)))["error"] == "NoPage"
