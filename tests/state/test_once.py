"""Requests are done once, and not too fast."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from jupyter_app_meta.state.once import ANSWERS, Busy, Once
from jupyter_app_meta.state.rates import Bucket


def test_a_request_in_work_is_not_begun_again() -> None:
    """The second sending of a request is silent until the first is done; other requests go on."""
    once, begun, go = Once(), threading.Event(), threading.Event()

    def slow() -> dict[str, Any]:
        begun.set()
        assert go.wait(30)
        return {"n": 1}

    first = threading.Thread(target=once.do, args=("a", slow))
    first.start()
    assert begun.wait(30)
    assert once.do("a", dict) is None
    assert once.do("b", lambda: {"n": 2}) == {"n": 2}
    go.set()
    first.join()
    assert once.do("a", dict) == {"n": 1}


def test_a_kernel_has_so_many_requests_in_work() -> None:
    """One more is refused, and there is room again afterwards."""
    once = Once()

    def nested(depth: int) -> dict[str, Any]:
        if depth < ANSWERS:
            once.do(f"id-{depth}", lambda: nested(depth + 1), keeps=False)
        else:
            with pytest.raises(Busy):
                once.do("one more", dict)
        return {}

    nested(0)
    assert once.do("one more", lambda: {"n": 1}) == {"n": 1}


def test_answers_are_kept_for_a_while() -> None:
    """The latest answers are kept, and a request that failed unexpectedly may be sent again."""
    once = Once()
    for number in range(ANSWERS + 1):
        once.do(str(number), lambda: {"n": 1})
    assert once.do("1", dict) == {"n": 1}
    assert once.do("0", dict) == {}
    with pytest.raises(ZeroDivisionError):
        once.do("x", lambda: {"n": 1 // 0})
    assert once.do("x", lambda: {"n": 5}) == {"n": 5}


def test_a_kernel_that_asks_too_fast_waits() -> None:
    """A burst passes, then each request waits its turn; a pause is credited, up to the burst."""
    bucket = Bucket(rate=200, burst=10)
    assert [bucket.delay(5.0) for _ in range(10)] == pytest.approx([0.0] * 10)
    assert [bucket.delay(5.0) for _ in range(3)] == pytest.approx([0.005, 0.01, 0.015])
    assert bucket.delay(5.02) == pytest.approx(0.0)
    assert [bucket.delay(100.0) for _ in range(11)] == pytest.approx([0.0] * 10 + [0.005])
    for rate, burst in ((0.0, 1), (-1.0, 1), (float("nan"), 1), (1.0, 0)):
        with pytest.raises(ValueError, match="rate"):
            Bucket(rate, burst)
