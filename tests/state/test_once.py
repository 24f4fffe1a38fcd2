"""Requests are done once, and not too fast."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from jupyter_app_meta.server.links.rates import Bucket, Rates
from jupyter_app_meta.state.once import ANSWERS, Busy, Once


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


RATES = Rates(rate=200, burst=10, slowest=50, seconds=2.0, longest=1.0)


def test_a_kernel_that_asks_too_fast_waits() -> None:
    """A burst passes, then each request waits its turn; a pause is credited, up to the burst."""
    bucket = Bucket(RATES)
    assert [bucket.delay(5.0) for _ in range(10)] == pytest.approx([0.0] * 10)
    assert [bucket.delay(5.0) for _ in range(3)] == pytest.approx([0.005, 0.01, 0.015])
    assert bucket.delay(5.02) == pytest.approx(0.0)
    assert [bucket.delay(100.0) for _ in range(11)] == pytest.approx([0.0] * 10 + [0.005])


def _asks(bucket: Bucket, now: float, count: int, pause: float = 0.0) -> float:
    """Ask so often, each time after the answer and a pause; return when the last answer has come."""
    for _ in range(count):
        now += bucket.delay(now) + pause
    return now


def test_a_kernel_that_goes_on_asking_too_fast_becomes_slower_until_it_asks_less() -> None:
    """It falls from 200 questions a second to 50 in two seconds, and is back in two seconds of few questions."""
    bucket = Bucket(RATES)
    first = _asks(bucket, 0.0, 50)
    assert 150 < 40 / first < 200
    later = _asks(bucket, first, 400)
    assert _asks(bucket, later, 50) - later == pytest.approx(1.0)
    calm = _asks(bucket, later + 1.0, 100, pause=0.025)
    again = _asks(bucket, calm, 60) - calm
    assert 150 < 50 / again < 200


def test_a_kernel_that_asks_less_never_waits() -> None:
    """However long it goes on, a little less than the rate is not too much."""
    bucket, now = Bucket(RATES), 0.0
    for _ in range(5000):
        assert bucket.delay(now) == 0
        now += 1 / 190


def test_no_answer_waits_longer_than_its_kernel() -> None:
    """Many threads of a kernel that ask at once are not kept until they give up, and what they owe has an end."""
    bucket = Bucket(RATES)
    assert max(bucket.delay(number / 1000) for number in range(10_000)) == pytest.approx(1.0)
    assert bucket.delay(12.0) == 0


@pytest.mark.parametrize("wrong", [{"rate": 10}, {"slowest": 0.0}, {"burst": 0}, {"seconds": 0.0}, {"longest": 0.0}])
def test_rates_that_would_refuse_are_refused(wrong: dict[str, Any]) -> None:
    """A rate of nothing would let a kernel wait for ever."""
    with pytest.raises(ValueError, match="rate"):
        replace(RATES, **wrong)
