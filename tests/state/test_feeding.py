"""The thread of a feed, while listeners come and go."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from queue import Queue
from typing import Any

from jupyter_app_meta.errors import StateUnavailable
from jupyter_app_meta.state.stores.base import Notice
from jupyter_app_meta.state.stores.feeding import Feed, Seen

NOTICE = Notice("scope", None)


class Between:
    """A lock. Once, another thread's work comes right after it was let go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.work: Any = None

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        work, self.work = self.work, None
        if work is not None:
            work()


def test_a_listener_that_comes_while_the_last_one_goes_hears() -> None:
    """The thread that ends with the last listener is not taken for the next one's."""

    def source(stopped: threading.Event) -> Iterator[Notice | None]:
        while not stopped.wait(0.01):
            yield NOTICE

    feed, lock, heard = Feed(source), Between(), Queue[Notice]()
    feed._lock = lock  # type: ignore[assignment]  # the moment between two steps
    first = feed.listen(lambda notice: None)
    lock.work = lambda: feed.listen(heard.put)
    first.close()
    while not heard.empty():
        heard.get()
    try:
        assert [heard.get(timeout=60) for _ in range(3)] == [NOTICE] * 3
    finally:
        feed.close()


def test_an_own_write_while_a_poll_is_read_is_told_to_nobody() -> None:
    """Neither by that poll, which has seen the own write before, nor by the next one."""
    seen = Seen(window=0)
    seen.begin([("other", 10)])
    seen.own("scope", 0, 11)
    seen.own("scope", 11, 12)  # the poll has looked before this
    assert seen.fresh([("scope", 11)]) == []
    assert seen.fresh([("scope", 12)]) == []
    assert seen.fresh([("scope", 13)]) == ["scope"]


def test_an_own_write_on_top_of_one_that_is_not_known_is_told() -> None:
    """What another process wrote in between is not missed, whether a poll has seen it or only what came after it."""
    seen = Seen(window=0)
    seen.begin([("scope", 10)])
    seen.own("scope", 11, 12)
    assert seen.fresh([("scope", 11)]) == ["scope"]
    seen.own("scope", 13, 14)
    assert seen.fresh([("scope", 14)]) == ["scope"]


def test_a_write_that_another_made_in_place_of_an_own_one_that_failed_is_told() -> None:
    """Also if it has the revision that the own write would have had, as after a clock was set back."""
    seen = Seen(window=0)
    seen.begin([("scope", 10)])
    with suppress(StateUnavailable), seen.unless_undone():
        seen.own("scope", 10, 11)
        raise StateUnavailable("The disk is full.")
    assert seen.fresh([("scope", 11)]) == ["scope"]
