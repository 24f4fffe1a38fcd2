"""Many changes at once: each kernel is told of each scope once, and the server has time for other work."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from jupyter_app_meta.server.links.pace import PARTS, Pace
from jupyter_app_meta.state.changes import KEYS
from jupyter_app_meta.state.live.events import Changed

WATCHERS, WRITES = 100, 200


class Loop:
    """A loop that runs what is due when the test says so, and kernels that take a moment for each event."""

    def __init__(self, takes: float = 0.0) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.told: list[tuple[str, Changed]] = []
        self.takes, self.is_there = takes, True
        self.pace = Pace(self.tell, self.soon)

    def soon(self, seconds: float, function: Callable[[], None]) -> bool:
        """Note what is due."""
        if self.is_there:
            self.due.append((seconds, function))
        return self.is_there

    def tell(self, kernel_id: str, event: Changed) -> None:
        """Note what a kernel is told."""
        time.sleep(self.takes)
        self.told.append((kernel_id, event))

    def turn(self) -> float:
        """Do what is due, and return how long that waited."""
        ((seconds, function),) = self.due
        self.due = []
        function()
        return seconds


def test_a_burst_is_told_once_to_each_watcher() -> None:
    """From whatever threads it comes, with the newest writer of each key; a kernel's two scopes stay apart."""
    loop = Loop()

    def write(number: int) -> None:
        for watcher in range(WATCHERS):
            loop.pace.put(f"k-{watcher}", Changed("scope", ("votes",), "alice"))
            loop.pace.put("k-0", Changed("another", (f"key {number % 3}",), "bob"))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(WRITES)))
    loop.pace.put("k-7", Changed("scope", ("votes", "more"), "carol"))
    assert loop.turn() == 0.0
    told = {(kernel_id, event.scope): event for kernel_id, event in loop.told}
    assert len(loop.told) == len(told) == WATCHERS + 1
    assert told["k-1", "scope"] == Changed("scope", ("votes",), "alice")
    assert told["k-7", "scope"] == Changed("scope", ("more", "votes"), "carol")
    assert told["k-0", "another"] == Changed("another", ("key 0", "key 1", "key 2"), "bob")


def test_telling_leaves_time_for_other_work() -> None:
    """After a round, the next one waits for several times as long as it took; what comes meanwhile is one round."""
    loop = Loop(takes=0.002)
    for number in range(10):
        loop.pace.put(f"k-{number}", Changed("scope", ("a",)))
    loop.turn()
    for _ in range(50):
        loop.pace.put("k-1", Changed("scope", ("b",)))
    assert loop.turn() >= (PARTS - 1) * 10 * 0.002
    assert [event.keys for _, event in loop.told[10:]] == [("b",)]
    loop.turn()
    assert loop.due == []  # nothing came, so the next change is told at once
    loop.pace.put("k-1", Changed("scope", ("c",)))
    assert loop.turn() == 0.0 and len(loop.told) == 12


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([(("a",), "alice"), (("b",), "bob"), (("a",), "bob")], [(("a", "b"), "bob")]),
        ([(("a",), "alice"), (("b",), "bob")], [(("a",), "alice"), (("b",), "bob")]),
        ([(("a",), "alice"), (None, "alice"), (("b",), "alice")], [(None, "alice")]),
        ([(("a",), "alice"), (None, None), (("b",), "alice")], [(None, None)]),
        ([((f"{number}",), "alice") for number in range(KEYS + 1)], [(None, "alice")]),
    ],
)
def test_what_several_changes_are_as_one(
    events: list[tuple[tuple[str, ...] | None, str | None]], told: list[tuple[tuple[str, ...] | None, str | None]]
) -> None:
    """Each writer's keys; without keys if one of them had none, or they are too many."""
    loop = Loop()
    for keys, by in events:
        loop.pace.put("k-1", Changed("scope", keys, by))
    loop.turn()
    assert [(event.keys, event.by) for _, event in loop.told] == told


def test_nothing_waits_without_a_loop() -> None:
    """Before the first kernel has a link, and it does not keep later changes from being told."""
    loop = Loop()
    loop.is_there = False
    loop.pace.put("k-1", Changed("scope", ("a",)))
    loop.is_there = True
    loop.pace.put("k-1", Changed("scope", ("b",)))
    loop.turn()
    assert [event.keys for _, event in loop.told] == [("b",)]
