"""What every store does: one contract, held by real databases."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from queue import Queue

import pytest
from databases import empty_store, open_any
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from texts import KEYS, VALUES, put, texts, until

from jupyter_app_meta.errors import Conflict
from jupyter_app_meta.state.keys import Scope
from jupyter_app_meta.state.stores.base import Notice, Store, Where

ROUNDS = 15
WRITER = Path(__file__).with_name("writer.py")


@pytest.fixture(scope="module", params=["sqlite", "encrypted", "sqlalchemy", "postgresql", "mariadb", "redis"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a store that is empty."""
    with empty_store(request.param, tmp_path_factory.mktemp("stores")) as url:
        yield url


def keep(scope: Scope) -> float | None:
    """Keep what is brief for a moment, anything else for a day."""
    return 0.05 if scope.audience == "brief" else 86_400


@pytest.fixture(scope="module")
def store(url: str) -> Iterator[Store]:
    """A store object of this server."""
    opened = open_any(url, keep)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def other(url: str) -> Iterator[Store]:
    """A store object of another server."""
    opened = open_any(url, keep)
    yield opened
    opened.close()


@pytest.fixture
def scope() -> Scope:
    """A scope that no other test uses."""
    return Scope("visitor", f'["d","run","/{uuid.uuid4().hex}"]', '["hub","cookie","user","alice"]')


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(kept=st.dictionaries(KEYS, VALUES.map(json.dumps), max_size=5))
def test_any_text_under_any_key_comes_back_to_the_letter(store: Store, kept: dict[str, str]) -> None:
    """NUL, half surrogates, case, trailing spaces, the empty key and Lua's pitfalls: all are told apart and kept."""
    scope = Scope("visitor", uuid.uuid4().hex)
    store.apply(scope, {}, kept, (), None)
    assert texts(store, scope) == kept
    assert {key: entry.text for key, entry in store.read(scope.id, [*kept, "absent"]).items()} == kept
    assert store.readable(scope.id, None) == store.read(scope.id, None)


def test_keys_that_databases_confuse_are_different_keys(store: Store, scope: Scope) -> None:
    """Case, spaces at the end, accents, prefixes of the store's own and nothing at all."""
    keys = ("", " ", "a", "A", "a ", "á", "v:a", "#", "\x00", "\ud800", "x:", "%", "😀")
    kept = {key: json.dumps(key) for key in keys}
    store.apply(scope, {}, kept, (), None)
    assert texts(store, scope) == kept
    store.apply(scope, {}, {}, ["A", "", "v:a"], None)
    assert texts(store, scope) == {key: text for key, text in kept.items() if key not in {"A", "", "v:a"}}


def test_a_large_value_comes_back(store: Store, scope: Scope) -> None:
    """64 KiB and a thousand keys at once."""
    kept = {"large": json.dumps("x" * 65_536)} | {f"key {number}": "1" for number in range(999)}
    store.apply(scope, {}, kept, (), None)
    assert texts(store, scope) == kept


def test_a_glance_is_what_is_read(store: Store, scope: Scope) -> None:
    """A store that can answer at once has the same answer: of some keys, of all, and after each change."""
    for number in range(3):
        store.apply(scope, {}, {"a": f"{number}", f"k {number}": '"x"'}, (), None)
        for keys in (("a",), ("a", "absent"), ("absent",), (), None):
            read = store.read(scope.id, keys)
            assert store.glance(scope.id, keys) in (None, read)
    store.apply(scope, {}, {f"k {number}": "1" for number in range(100)}, (), None)
    assert store.glance(scope.id, None) is None
    store.erase(Where(scope=scope.id))
    assert not store.glance(scope.id, None)


def test_versions_only_grow_through_deletion_and_erasure(store: Store, scope: Scope) -> None:
    """What is deleted and made again is never taken for what it was."""
    versions = [put(store, scope, k="1"), put(store, scope, k="1")]
    store.apply(scope, {}, {}, ["k"], None)
    versions.append(put(store, scope, k="1"))
    store.erase(Where(scope=scope.id))
    versions.append(put(store, scope, k="1"))
    versions.append(store.add(scope, "k", 0).version)
    assert versions == sorted(set(versions)) and versions[0] >= 1


def test_apply_changes_all_or_nothing(store: Store, scope: Scope) -> None:
    """An expectation that fails, of a key that is there, absent or deleted, leaves everything as it was."""
    version = put(store, scope, there="1", too="2")
    for expects in ({"there": version + 1}, {"there": 0}, {"absent": version}, {"too": version, "there": 1}):
        with pytest.raises(Conflict) as conflict:
            store.apply(scope, expects, {"there": "9", "new": "9"}, ["too"], None)
        assert conflict.value.key in expects
        assert texts(store, scope) == {"there": "1", "too": "2"}
    store.apply(scope, {"there": version, "absent": 0}, {"new": "3"}, ["too"], None)
    assert texts(store, scope) == {"there": "1", "new": "3"}
    assert store.apply(scope, {"too": 0}, {}, (), None) == {}


def test_what_is_over_is_absent(store: Store, scope: Scope) -> None:
    """By the store's clock: for reads, expectations, sums and exports. A plain write takes the time away."""
    put(store, scope, ttl=0.1, brief="7", counted="7", renewed="7")
    put(store, scope, renewed="8", stays="1")
    until(lambda: "brief" not in store.read(scope.id, None))
    assert texts(store, scope) == {"renewed": "8", "stays": "1"}
    assert store.read(scope.id, ["brief"]) == {}
    assert {row.key for row in store.export(Where(scope=scope.id))} == {"renewed", "stays"}
    assert store.add(scope, "counted", 1).text == "1"
    assert store.apply(scope, {"brief": 0}, {"brief": "2"}, (), None)
    assert texts(store, scope)["brief"] == "2"


def ends(store: Store, scope: Scope) -> dict[str, float | None]:
    """Return when each entry of a scope ends."""
    return {row.key: row.expires for row in store.export(Where(scope=scope.id))}


def test_add_leaves_the_end_of_an_entry_alone(store: Store, scope: Scope) -> None:
    """A counter of the last minute ends with its minute, to the microsecond, whatever the clock of the server says."""
    put(store, scope, ttl=60, whole="1", broken="1.5")
    before, now = ends(store, scope), time.time()
    store.add(scope, "whole", 1)
    store.add(scope, "broken", 1)
    assert ends(store, scope) == before
    assert all(expires is not None and now < expires < now + 61 for expires in before.values()) and len(before) == 2


def test_a_text_is_replaced_if_it_has_the_version(store: Store, scope: Scope) -> None:
    """Its end stays; an entry that was absent or is over has version 0, and the new one has no end."""
    brief, lasting = put(store, scope, ttl=60, brief="1"), put(store, scope, lasting="1")
    put(store, scope, ttl=0.05, over="1")
    until(lambda: "over" not in store.read(scope.id, None))
    before = ends(store, scope)
    for key, version in (("brief", lasting), ("lasting", 0), ("absent", lasting), ("over", lasting)):
        with pytest.raises(Conflict) as conflict:
            store.replace(scope, key, version, "9")
        assert conflict.value.key == key
    assert texts(store, scope) == {"brief": "1", "lasting": "1"}
    versions = {
        key: store.replace(scope, key, version, f'"{key}"')
        for key, version in (("brief", brief), ("lasting", lasting), ("absent", 0), ("over", 0))
    }
    assert {key: entry.version for key, entry in store.read(scope.id, None).items()} == versions
    assert texts(store, scope) == {key: f'"{key}"' for key in versions}
    assert ends(store, scope) == {**before, "absent": None, "over": None}


@pytest.mark.parametrize(
    ("text", "amount", "total"),
    [
        (None, 5, "5"),
        (None, 0.5, "0.5"),
        ("1", -3, "-2"),
        ("1.0", 1, "2.0"),
        ("1", 1.0, "2.0"),
        (str(2**60), 1, str(2**60 + 1)),
        (str(-(2**60)), -1, str(-(2**60) - 1)),
        (str(2**63 - 1), 1, str(2**63)),
        (str(10**30), 1, str(10**30 + 1)),
        ("5", 10**30, str(10**30 + 5)),
        ("0.1", 0.2, "0.30000000000000004"),
    ],
)
def test_sums_are_exact(store: Store, scope: Scope, text: str | None, amount: float, total: str) -> None:
    """Ints whatever their size, floats as Python has them."""
    if text is not None:
        put(store, scope, n=text)
    entry = store.add(scope, "n", amount)
    assert entry.text == total and store.read(scope.id, ["n"]) == {"n": entry}


@pytest.mark.parametrize("text", ['"5"', "true", "null", "[1]", "{}"])
def test_only_numbers_are_added_to(store: Store, scope: Scope, text: str) -> None:
    """The refusal names the key and never the value, and nothing has changed."""
    put(store, scope, n=text)
    for amount in (1, 0.5):
        with pytest.raises(TypeError, match=r"add\('n'\) needs a number"):
            store.add(scope, "n", amount)
    assert texts(store, scope) == {"n": text}


def test_a_sum_must_be_finite(store: Store, scope: Scope) -> None:
    """JSON has no infinity."""
    put(store, scope, n="1e308")
    with pytest.raises(OverflowError):
        store.add(scope, "n", 1e308)


def test_erasing_a_person_leaves_the_neighbours(store: Store, scope: Scope) -> None:
    """A person on one dashboard, a person everywhere, one scope; never everything."""
    alice, bob = (f'["hub","cookie","user","{name} {uuid.uuid4().hex}"]' for name in ("alice", "bob"))
    here, there = scope.space, scope.space + "2"
    kept = [Scope("visitor", *parts) for parts in ((here, alice), (there, alice), (here, bob))]
    shared = Scope("shared", here)
    for one in (*kept, shared):
        put(store, one, a="1", b="2")
    assert store.erase(Where(space=here, identity=alice)) == 2
    assert [len(texts(store, one)) for one in (*kept, shared)] == [0, 2, 2, 2]
    assert store.erase(Where(identity=alice)) == 2
    assert [len(texts(store, one)) for one in (*kept, shared)] == [0, 0, 2, 2]
    assert store.erase(Where(identity=alice)) == 0 and list(store.export(Where(identity=alice))) == []
    put(store, kept[0], a="again")
    assert [row.text for row in store.export(Where(identity=alice))] == ["again"]
    assert store.erase(Where(identity=alice)) == 1
    assert store.erase(Where(audience="shared", space=here)) == 2
    assert len(texts(store, kept[2])) == 2
    with pytest.raises(ValueError, match="everything"):
        store.erase(Where())


def test_an_export_is_what_was_put(store: Store, scope: Scope) -> None:
    """Of a person, and of the whole store: with the scope's parts, for a copy elsewhere."""
    tab = Scope("session", scope.space, f'["{uuid.uuid4().hex}"]', "tab 1")
    version = put(store, tab, b="2", a='"\\u0000"')
    rows = list(store.export(Where(identity=tab.identity)))
    assert [(row.scope, row.key, row.text, row.version, row.expires) for row in rows] == [
        (tab, "a", '"\\u0000"', version, None),
        (tab, "b", "2", version, None),
    ]
    assert set(rows) <= set(store.export(Where()))
    outline = store.outline(Where(identity=tab.identity))
    assert [replace(row, text="") for row in outline] == [replace(row, text="") for row in rows]


def test_a_sweep_removes_what_is_over(store: Store, scope: Scope) -> None:
    """Scopes that were not used for as long as they are kept, and entries past their time; the others stay."""
    brief = Scope("brief", scope.space)
    put(store, brief, k="1")
    put(store, scope, ttl=0.01, gone="1")
    put(store, scope, stays="1")

    def swept() -> bool:
        store.sweep()
        return not store.read(brief.id, None) and "gone" not in store.read(scope.id, None)

    until(swept)
    assert list(store.export(Where(scope=brief.id))) == []
    assert texts(store, scope) == {"stays": "1"}


def test_a_feed_tells_what_others_changed(store: Store, other: Store, scope: Scope) -> None:
    """After the change can be read, for each way to change; an own write is told to the others alone."""
    heard: list[Notice] = []
    read: Queue[dict[str, str]] = Queue()
    theirs, ours = scope, Scope("shared", scope.space)

    def hear(notice: Notice) -> None:
        heard.append(notice)
        if notice.scope == theirs.id:
            read.put(texts(store, theirs))

    feed = store.feed(hear)
    try:
        put(store, ours, k="1")
        put(other, theirs, k="1")
        assert read.get(timeout=60) == {"k": "1"}
        other.add(theirs, "k", 1)
        assert read.get(timeout=60) == {"k": "2"}
        # An own write in between must not hide another's.
        other.apply(theirs, {}, {}, ["k"], None)
        put(store, theirs, ours="1")
        assert "k" not in read.get(timeout=60)
        other.erase(Where(scope=theirs.id))
        until(lambda: not read.empty() and read.get(timeout=60) == {})
    finally:
        feed.close()
    assert ours.id not in {notice.scope for notice in heard}
    assert all(notice.keys is None or notice.keys <= {"k"} for notice in heard)


def test_two_processes_of_two_threads_count_exactly(store: Store, url: str, scope: Scope) -> None:
    """By compare-and-set and by sums; nothing of another thread is lost, and the feed tells of other processes."""
    heard: Queue[Notice] = Queue()
    feed = store.feed(heard.put)
    parts = json.dumps([scope.audience, scope.space, scope.identity])
    command = [sys.executable, str(WRITER), url, parts, str(ROUNDS)]
    writers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for writer in writers:
            assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
        for number, writer in enumerate(writers):
            assert writer.stdin is not None
            print(f"process {number} thread ", file=writer.stdin, flush=True)
        for writer in writers:
            writer.communicate(timeout=120)
            assert writer.returncode == 0
        assert heard.get(timeout=60).scope == scope.id
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
        feed.close()
    kept, total = texts(store, scope), str(2 * 2 * ROUNDS)
    assert (kept.pop("changed"), kept.pop("added")) == (total, total)
    assert len(kept) == 4


def test_a_second_server_finds_the_schema(url: str, store: Store) -> None:
    """And a store that is closed can be closed again."""
    store.check()
    second = open_any(url)
    assert second.check() == store.check()
    second.close()
    second.close()
