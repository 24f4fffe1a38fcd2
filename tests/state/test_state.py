"""State as an author uses it: in a process's memory, and through the service on a store. Both answer the same."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from jupyter_app_meta.errors import Conflict, StateError, TooLarge, Unstorable
from jupyter_app_meta.kernel.state.asking import check_size
from jupyter_app_meta.kernel.state.mapping import TRIES, State
from jupyter_app_meta.kernel.state.memory import Memory
from jupyter_app_meta.kernel.state.transaction import Transaction
from jupyter_app_meta.state import grants
from jupyter_app_meta.state.grants import Claims
from jupyter_app_meta.state.keys import Identity, Space
from jupyter_app_meta.state.operations import Done, Operation, Read, Request, read_answer, write_request
from jupyter_app_meta.state.rules import Rules
from jupyter_app_meta.state.service import Service
from jupyter_app_meta.state.stores.open import open_store

KEY = grants.derive_key(b"a secret that servers share")
CLAIMS = Claims("k-1", Space.run("prod", "/sales"), Identity("hub", "hub", "user", "alice"), "t-1", "l-1")


class Asked:
    """Asks a service as a kernel does, through the texts of messages."""

    def __init__(self, service: Service) -> None:
        self._service, self._ids = service, count()
        self._grant = grants.mint(KEY, CLAIMS, 0.0)

    def __call__(self, operation: Operation) -> Any:
        """Return the result, or raise the error that the author sees."""
        check_size(operation)
        request = Request(f"id-{next(self._ids)}", self._grant, "visitor", operation)
        content = self._service.answer("k-1", json.loads(json.dumps(write_request(request))))
        answer = read_answer(json.loads(json.dumps(content)))
        if isinstance(answer, Done):
            return answer.result
        raise answer.exception()


@pytest.fixture(params=["memory", "service"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[State]:
    """Yield an empty state, once in memory and once through a service and its store."""
    if request.param == "memory":
        yield State(Memory())
        return
    store = open_store(f"sqlite:///{tmp_path / 'state.db'}")
    rules = Rules(KEY, lambda: 1.0, lambda identity: None)
    yield State(Asked(Service(store, rules, lambda *event: None, logging.getLogger("state"))))
    store.close()


def test_state_is_a_mapping(state: State) -> None:
    """It reads, writes, counts, lists and deletes as a dict does."""
    state["a"] = {"n": [1, 2.0, None]}
    state.update({"b": 1}, c="x")
    assert state["a"] == {"n": [1, 2.0, None]}
    assert (len(state), sorted(state), "b" in state, "z" in state) == (3, ["a", "b", "c"], True, False)
    assert sorted(state.keys()) == ["a", "b", "c"] and dict(state.items()) == dict(state.snapshot())
    assert 1 in state.values()
    assert (state.get("z"), state.get("z", 5), state.get("b", 5)) == (None, 5, 1)
    del state["a"]
    assert (state.pop("b"), state.pop("b", None)) == (1, None)
    state["c"] = "x"
    assert state.popitem() == ("c", "x") and len(state) == 0
    with pytest.raises(KeyError):
        state.popitem()
    state["c"] = "x"
    assert state.setdefault("c", 1) == "x" and state.setdefault("d", [1]) == [1] == state["d"]
    state.clear()
    assert dict(state) == {}


def test_a_missing_key_is_a_key_error(state: State) -> None:
    """Reading and deleting say which key."""
    with pytest.raises(KeyError, match="'z'"):
        state["z"]
    with pytest.raises(KeyError, match="'z'"):
        del state["z"]
    with pytest.raises(KeyError, match="'z'"):
        state.pop("z")


def test_what_is_read_is_read_only(state: State) -> None:
    """A nested change would be lost, so it is refused, also in a copy of all values."""
    state["cart"] = [{"n": 1}]
    with pytest.raises(TypeError, match=r"state\.change\(key, function\)"):
        state["cart"].append(1)
    with pytest.raises(TypeError, match="read-only"):
        state["cart"][0]["n"] = 2
    with pytest.raises(TypeError, match="read-only"):
        state.snapshot()["x"] = 1  # type: ignore[index]  # what a type checker refuses too
    assert state["cart"] == [{"n": 1}]


def test_a_snapshot_is_a_value(state: State) -> None:
    """It can be written as JSON, copied, pickled and stored, as each value that comes from state."""
    state.update({"a": [1], "b": {"c": 1.0}})
    snapshot = state.snapshot()
    assert json.loads(json.dumps(snapshot)) == snapshot == copy.deepcopy(snapshot)
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot  # our own
    state["before"] = snapshot
    assert state["before"] == {"a": [1], "b": {"c": 1.0}}


def test_an_update_is_all_or_nothing(state: State) -> None:
    """One value that cannot be stored keeps all others out."""
    with pytest.raises(Unstorable, match="of type tuple"):
        state.update({"a": 1, "b": (1,)})
    with pytest.raises(TooLarge, match="'value'"):
        state.update({"a": 1, "b": "x" * 65536})
    with pytest.raises(TooLarge, match="'key'"):
        state["k" * 201] = 1
    assert len(state) == 0


def test_a_key_that_no_server_reads_is_missing_and_too_large(state: State) -> None:
    """A longer key than any deployer may allow is a limit like others, and not a fault of the server."""
    key = "k" * 20_000
    assert key not in state and state.get(key, 5) == 5 and state.pop(key, 6) == 6
    for write in (lambda: state.set(key, 1), lambda: state.add(key), lambda: state.setdefault(key, 1)):
        with pytest.raises(TooLarge, match=r"20000 characters, and AppMetaExtension\.state_limits\['key'\]"):
            write()
    with pytest.raises(TooLarge, match=r"state_limits\['keys'\]"):
        state.update(dict.fromkeys(map(str, range(10_001)), 1))
    with pytest.raises(TooLarge, match=r"state_limits\['value'\]"):
        state["a"] = "x" * (16 * 1024 * 1024)
    assert len(state) == 0


def test_adding_is_exact(state: State) -> None:
    """A missing key counts as 0; ints stay exact, floats stay floats."""
    assert [state.add("n"), state.add("n", 2**60), state.add("n", -1)] == [1, 2**60 + 1, 2**60]
    assert repr(state.add("f", 1.0)) == "1.0" == repr(state["f"])
    state["text"] = "x"
    for key, amount in (("text", 1), ("n", "1"), ("n", True), ("n", None)):
        with pytest.raises(TypeError):
            state.add(key, amount)  # type: ignore[arg-type]  # what a type checker refuses too
    with pytest.raises(TypeError, match=r"add\('text'\) needs a number, and the value is a str: set a number first"):
        state.add("text")
    with pytest.raises(OverflowError):
        state.add("n", 2**63)
    with pytest.raises(Unstorable):
        state.add("n", float("nan"))


def test_a_change_is_atomic(state: State) -> None:
    """Threads that change the same key lose nothing; the function sees the default first."""

    def work() -> None:
        for _ in range(10):
            state.change("cart", lambda cart: [*cart, 1], default=[])

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert state["cart"] == [1] * 30


def test_a_change_that_is_always_late_gives_up(state: State) -> None:
    """Other code that writes each time in between makes it a Conflict, and not an endless loop."""
    calls = count()

    def function(value: Any) -> Any:
        state["a"] = next(calls)
        return "never"

    with pytest.raises(Conflict) as late:
        state.change("a", function)
    assert late.value.key == "a"
    assert state["a"] == TRIES - 1


def test_each_pair_is_taken_once(state: State) -> None:
    """Threads that take pairs by `popitem` never take the same one, and none is lost."""
    state.update({str(number): number for number in range(30)})

    def work(_: int) -> list[tuple[str, Any]]:
        return [state.popitem() for _ in range(10)]

    with ThreadPoolExecutor(3) as pool:
        taken = [pair for pairs in pool.map(work, range(3)) for pair in pairs]
    assert sorted(number for _, number in taken) == list(range(30)) and len(state) == 0


def test_async_names_are_those_of_state(state: State) -> None:
    """Each public name of a state is one of `aio`, too."""
    names = {name for name in dir(State) if not name.startswith("_")} - {"aio"}
    assert {name for name in names if not hasattr(state.aio, name)} == set()
    assert state.aio.kept == state.kept


def test_async_state_is_not_walked_without_await(state: State) -> None:
    """``in`` and ``for`` would count from 0 for ever; they say what to write instead."""
    aio: Any = state.aio
    with pytest.raises(TypeError, match=r"await state\.aio\.keys\(\)"):
        "a" in aio  # noqa: B015  # it raises
    with pytest.raises(TypeError, match="not iterable"):
        list(aio)
    assert asyncio.run(aio.pop("a", default=5)) == 5
    with pytest.raises(KeyError):
        asyncio.run(aio.pop("a"))


def test_a_function_that_fails_changes_nothing(state: State) -> None:
    """Its error passes, and the value is as it was."""
    state["a"] = 1
    with pytest.raises(ZeroDivisionError):
        state.change("a", lambda value: value / 0)
    with pytest.raises(Unstorable):
        state.change("a", lambda value: {value})
    assert state["a"] == 1


def test_a_transaction_is_all_or_nothing(state: State) -> None:
    """Its writes are seen inside at once, and outside at the end."""
    state.update({"credits": 7, "old": 1})
    with state.transaction() as t:
        t["credits"] -= 5
        t["orders"] = [*t.get("orders", []), "tea"]
        del t["old"]
        assert (t["credits"], sorted(t), len(t), "old" in t) == (2, ["credits", "orders"], 2, False)
        assert state["credits"] == 7
    assert dict(state) == {"credits": 2, "orders": ["tea"]}

    def fail() -> None:
        with state.transaction() as t:
            t["credits"] = 0
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert state["credits"] == 2


@pytest.mark.parametrize(
    "read", [lambda t: t["a"], lambda t: t.get("new"), lambda t: "new" in t, len, lambda t: t.pop("a")]
)
def test_a_transaction_notices_what_has_changed(state: State, read: Any) -> None:
    """A key that it read, and an absent one, must still be so at the end."""
    state["a"] = 1
    transaction = state.transaction()
    transaction.__enter__()
    read(transaction)
    transaction["b"] = 2
    state.update({"a": 1, "new": 1})
    with pytest.raises(Conflict):
        transaction.__exit__(None)
    assert "b" not in state


@pytest.mark.parametrize("read", [len, list, lambda t: dict(t.items()), lambda t: t.clear()])
def test_a_transaction_that_lists_notices_what_was_added(state: State, read: Any) -> None:
    """Code that counts or lists the keys has also read that there is no other one."""
    state["a"] = 1
    transaction = state.transaction()
    transaction.__enter__()
    read(transaction)
    transaction["b"] = 2
    state["new"] = 1
    with pytest.raises(Conflict) as conflict:
        transaction.__exit__(None)
    assert (conflict.value.key, dict(state)) == ("new", {"a": 1, "new": 1})


def test_a_transaction_that_looks_for_too_many_keys_says_so(state: State) -> None:
    """A key that cannot be stored is absent; more keys than a message can name are a limit."""
    with state.transaction() as t:
        assert t.get("k" * 20_000) is None
        t["b"] = 2
    assert dict(state) == {"b": 2}
    if not isinstance(state._ask, Memory):
        many = state.transaction()
        many.__enter__()
        many["b"] = sum(str(number) in many for number in range(10_001))
        with pytest.raises(TooLarge, match=r"state_limits\['keys'\]"):
            many.__exit__(None)


def test_a_transaction_ignores_what_it_did_not_read(state: State) -> None:
    """A write alone expects nothing, and a block that only reads never conflicts."""
    state["a"] = 1
    with state.transaction() as t:
        t["b"] = 2
        state["a"] = 5
    with state.transaction() as t:
        assert t["b"] == 2
        state["b"] = 3
    assert dict(state) == {"a": 5, "b": 3}


def test_a_transaction_is_used_once_and_in_a_block(state: State) -> None:
    """The errors say how it is used."""
    transaction = state.transaction()
    with pytest.raises(StateError, match="in a block"):
        transaction["a"]
    with transaction:
        pass
    with pytest.raises(StateError, match="used once"), transaction:
        pass


def test_a_transaction_that_is_over_loses_no_write(state: State) -> None:
    """What is written after its block would not be stored, so it is refused; nothing is read as if it were absent."""
    with state.transaction() as t:
        t["a"] = 1
    uses: tuple[Any, ...] = (
        lambda: t.update(b=2),
        lambda: t["a"],
        lambda: t.pop("a"),
        lambda: len(t),
        lambda: "a" in t,
    )
    for use in uses:
        with pytest.raises(StateError, match="is over"):
            use()
    assert dict(state) == {"a": 1}


def test_a_time_to_live_ends(state: State) -> None:
    """A value with a ttl is there, and a plain write takes the ttl away."""
    state.set("a", 1, ttl=3600)
    state.set("b", 1, ttl=timedelta(hours=1))
    assert sorted(state) == ["a", "b"]
    wrong: tuple[Any, ...] = (0, -1, True, "5", float("inf"), timedelta(0), 1e10, 10**400, timedelta.max)
    for ttl in wrong:
        with pytest.raises((TypeError, ValueError), match="ttl must be"):
            state.set("a", 2, ttl=ttl)
    assert state["a"] == 1


def test_memory_forgets_by_its_clock() -> None:
    """A value vanishes when its time is over; adding keeps the time, and writing ends it."""
    now = 0.0
    state = State(Memory(clock=lambda: now))
    state.update({"a": 1, "b": 1, "c": 1}, ttl=10)
    state.add("a")
    state["b"] = 2
    now = 10.0
    assert dict(state) == {"b": 2}
    assert state.change("c", lambda value: value, default="fresh") == "fresh"


def test_memory_is_changed_by_its_own_process_only() -> None:
    """A function that watches it is never called, and may be closed."""
    watch = State(Memory()).on_change(lambda change: pytest.fail("called"))
    watch.close()
    watch.close()


def test_the_classes_are_found_where_the_package_is() -> None:
    """For annotations in an author's own code."""
    from jupyter_app_meta import kernel

    assert (kernel.state.State, kernel.state.Transaction) == (State, Transaction)
    with pytest.raises(AttributeError, match="no attribute 'Stat'"):
        kernel.state.Stat  # type: ignore[attr-defined]  # noqa: B018  # it raises


def test_only_a_function_can_watch(state: State) -> None:
    """A key in its place would be noticed at the first change only."""
    wrong: Any = "votes"
    with pytest.raises(TypeError, match="needs a function, not str"):
        state.on_change(wrong)


def test_nothing_is_shown_by_accident(state: State) -> None:
    """The repr, which a notebook saves, has no value; keys must be text everywhere."""
    state["secret"] = "value"
    assert "value" not in repr(state) and "secret" not in repr(state)
    number: Any = 5
    for use in (lambda: number in state, lambda: state.get(number), lambda: state.add(number)):
        with pytest.raises(Unstorable, match="keys of state are str"):
            use()


def test_an_answer_in_another_form_is_not_believed() -> None:
    """A state never takes a strange answer for an empty one."""
    state = State(lambda operation: [] if isinstance(operation, Read) else None)
    with pytest.raises(ValueError, match="does not have its form"):
        state.get("a", "default")
