"""A long URL is cut before it is judged, and no half of a credential is left of it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_app_meta.dashboards.web import access, cuts
from jupyter_app_meta.policy import Policy

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJDQU5BUlkifQ.CANARYCANARYCANARYCANARY"
LONG = {
    "many parameters": "/x?" + "a=1&" * 15_000,
    "many names": "/x?" + "&".join(f"n{number}=v{number}" for number in range(6000)),
    "many segments": "/a" * 30_000,
    "many parameters of a path": "/" + ";a=1" * 15_000,
    "one value": "/x?q=" + "a@" * 30_000,
    "nested URLs": "/x?q=" + "http://a@" * 7000,
}


@pytest.mark.parametrize("case", LONG)
def test_long_url_costs_the_log_little(case: str) -> None:
    """A URL of 60 kB takes no longer than one of 4 kB (it took hundreds of milliseconds)."""
    policy = Policy()

    def took(text: str) -> float:
        times = []
        for _ in range(5):
            start = time.thread_time()
            access.url(text, policy)
            times.append(time.thread_time() - start)
        return min(times)

    assert took(LONG[case]) < 3 * took(LONG[case][: cuts.JUDGED]) + 0.005


@given(st.integers(0, len(JWT)), st.sampled_from(["/x/", "/x?q=", "/x?a=1&next=https%3A%2F%2Fh%2F%3Fa%3D", "/x?"]))
def test_cut_in_a_credential_leaves_none_of_it(place: int, before: str) -> None:
    """Wherever in a token the URL is cut, the log has no part of it."""
    filler = "a/" * cuts.JUDGED if "?" not in before else "b=1&" * cuts.JUDGED
    start = f"/{filler}" if "?" not in before else f"/y?{filler}"
    lead = start[: cuts.JUDGED - place - len(before)].rstrip("/?&=b1") + before.replace("/x?", "&").replace("/x", "")
    shown = access.url(lead + JWT + "&more=" + "z" * 100, Policy())
    assert "eyJ" not in shown and "CANARY" not in shown


def test_userinfo_that_is_cut_is_masked() -> None:
    """A password that reaches beyond the cut is not shown."""
    assert "CANARY" not in access.url("http://user:" + "CANARY" * 1000 + "@host/", Policy())


def test_state_of_a_login_is_masked_where_its_code_is_cut_off() -> None:
    """The ``state`` beside a ``code`` is a credential, also where the code stands behind the cut."""
    url = "/x?state=canary&" + "a=1&" * 2000 + "code=2"
    assert "canary" not in access.url(url, Policy())
