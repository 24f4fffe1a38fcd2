"""Which tab a page is in: what its script may say, and how long a page waits for that."""

from __future__ import annotations

import asyncio
import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_app_meta.state import tabs
from jupyter_app_meta.state.tabs import Tab, Told

ONE, OTHER = "1" * 32, "e" * 32


@pytest.mark.parametrize(
    ("body", "told"), [({"tab": ONE}, (ONE, None)), ({"tab": ONE, "copy_of": OTHER}, (ONE, OTHER))]
)
def test_script_says_its_tab(body: dict[str, str], told: tuple[str, str | None]) -> None:
    """The tab's id, and that of the tab whose copy it is."""
    assert Told.read(json.dumps(body).encode()) == Told(*told)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"[" * 60_000,
        b'"' + b"1" * 32 + b'"',
        b"{}",
        b'{"tab": null}',
        b'{"tab": 1}',
        b'{"tab": ["' + b"1" * 32 + b'"]}',
        b'{"tab": "' + b"1" * 31 + b'"}',
        b'{"tab": "' + b"1" * 32 + b'\\n"}',
        b'{"tab": "' + b"E" * 32 + b'"}',
        b'{"tab": "' + b"1" * 32 + b'", "copy_of": "' + b"1" * 32 + b'"}',
        b'{"tab": "' + b"1" * 32 + b'", "copy_of": 5}',
        b'{"tab": "' + b"1" * 32 + b'", "user": "bob"}',
    ],
)
def test_anything_else_is_refused(body: bytes) -> None:
    """A tab is 32 hexadecimal digits, and a request has nothing else."""
    with pytest.raises(ValueError):  # noqa: PT011 (json has texts of its own)
        Told.read(body)


@given(st.binary())
def test_no_body_does_harm(body: bytes) -> None:
    """Bytes are a tab or a ValueError."""
    try:
        told = Told.read(body)
    except ValueError:
        return
    assert re.fullmatch("[0-9a-f]{32}", told.tab)


async def test_tab_is_what_the_script_says() -> None:
    """What waits for the tab goes on as soon as the script has said it, and the first word counts."""
    tab = Tab()
    waiting = [asyncio.create_task(tab.known()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    assert tab.settle(ONE) and not tab.settle(OTHER)
    assert {await task for task in waiting} == {await tab.known()} == {ONE}


async def test_page_without_a_script_is_a_tab_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait counts from the page's beginning, and what comes later moves nothing."""
    monkeypatch.setattr(tabs, "PATIENCE", 0.05)
    tab, other = Tab(), Tab()
    own = await tab.known()
    assert re.fullmatch("[0-9a-f]{32}", own) and own != await other.known()
    assert not tab.settle(ONE)
    began = time.monotonic()
    assert await tab.known() == own
    assert time.monotonic() - began < 1


async def test_only_the_first_word_has_an_effect() -> None:
    """A page copies the state of another tab once, however often its script speaks."""
    tab, late = Tab(), Tab()
    assert [tab.take_turn() for _ in range(3)] == [True, False, False]
    late.settle()
    assert not late.take_turn()


async def test_wait_that_is_given_up_settles_nothing() -> None:
    """A request that was cancelled leaves the tab to the script."""
    tab = Tab()
    waiting = asyncio.create_task(tab.known())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not tab.is_settled and tab.settle(ONE)
