"""The order of work: visitors first, and kernels that run ahead one after the other."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from jupyter_app_meta.dashboards.load import traffic
from jupyter_app_meta.dashboards.load.traffic import Traffic


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a moment be a short one."""
    monkeypatch.setattr(traffic, "SETTLE", 0.05)


async def ends(work: Coroutine[Any, Any, Any], within: float) -> bool:
    """Whether this ends within so many seconds."""
    done, _ = await asyncio.wait([task := asyncio.ensure_future(work)], timeout=within)
    task.cancel()
    return bool(done)


async def test_it_is_quiet_where_nobody_waits() -> None:
    """Without pages it is quiet after a moment."""
    began = time.monotonic()
    await Traffic().quiet()
    assert 0.04 < time.monotonic() - began < 60


async def test_a_page_is_waited_for() -> None:
    """While a page is rendered it is not quiet; a moment after the last one it is."""
    roads = Traffic()
    with roads.page(), roads.page():
        assert roads.rendering == 2
        assert not await ends(roads.quiet(), 0.2)
    assert roads.rendering == 0
    assert await ends(roads.quiet(), 60)


async def test_pages_that_overlap_are_counted() -> None:
    """The end of one page does not make it quiet while another is rendered."""
    roads = Traffic()
    first, second = roads.page(), roads.page()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert roads.rendering == 1
    assert not await ends(roads.quiet(), 0.2)
    second.__exit__(None, None, None)
    assert await ends(roads.quiet(), 60)


async def test_page_that_comes_within_the_moment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that is about to go on waits again if another visitor arrives."""
    monkeypatch.setattr(traffic, "SETTLE", 1.0)  # a busy machine may be late
    roads = Traffic()
    waiting = asyncio.ensure_future(roads.quiet())
    await asyncio.sleep(0)
    with roads.page():
        await asyncio.sleep(1.2)
        assert not waiting.done()
    await asyncio.wait_for(waiting, 60)


async def test_page_that_fails_is_counted_off() -> None:
    """A page that ends with an error, or is cancelled, no longer keeps others waiting."""
    roads = Traffic()
    with pytest.raises(RuntimeError), roads.page():
        raise RuntimeError

    async def rendered() -> None:
        with roads.page():
            await asyncio.sleep(10)

    assert not await ends(rendered(), 0.02)
    await asyncio.sleep(0)
    assert roads.rendering == 0
    assert await ends(roads.quiet(), 60)


async def test_endless_visitors_are_not_waited_for_endlessly(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, work ahead goes on even if pages keep coming; a cancelled wait stays cancelled."""
    monkeypatch.setattr(traffic, "PATIENCE", 0.2)
    roads = Traffic()
    with roads.page():
        began = time.monotonic()
        await roads.quiet()
        assert 0.15 < time.monotonic() - began < 60
        waiting = asyncio.ensure_future(roads.quiet())
        await asyncio.sleep(0.02)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_kernels_ahead_start_one_after_the_other() -> None:
    """No two are started ahead at the same time, and each waits until it is quiet."""
    roads, log = Traffic(), []

    async def start(name: str) -> None:
        async with roads.ahead():
            log.append(f"{name} begins")
            await asyncio.sleep(0.02)
            log.append(f"{name} ends")

    with roads.page():
        work = asyncio.gather(start("a"), start("b"), start("c"))
        await asyncio.sleep(0.15)
        assert log == []
    await asyncio.wait_for(work, 60)
    assert log == ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]


async def test_failed_start_ahead_lets_the_next_one_pass() -> None:
    """A start that fails, or is given up while it waits, does not block those after it."""
    roads = Traffic()
    with pytest.raises(OSError, match="no kernel"):
        async with roads.ahead():
            raise OSError("no kernel")
    with roads.page():

        async def start() -> None:
            async with roads.ahead():
                pass

        assert not await ends(start(), 0.05)
    async with asyncio.timeout(60), roads.ahead():
        pass


async def test_visitors_start_a_few_at_a_time_and_do_not_wait_for_work_ahead() -> None:
    """As many kernels as there are processors, two at least, are started for visitors at once; the next waits."""
    roads, room = Traffic(), max(2, os.cpu_count() or 1)
    running, most = 0, 0

    async def start() -> None:
        nonlocal running, most
        async with roads.start():
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1

    async with roads.ahead():
        with roads.page():
            await asyncio.wait_for(asyncio.gather(*(start() for _ in range(3 * room))), 60)
    assert (most, running) == (room, 0)


async def test_what_a_visitor_waits_for_comes_first() -> None:
    """Of many notebooks that wait, the one that a visitor has opened runs ahead next; the others keep their order."""
    roads, order, opened = Traffic(), [], set[str]()

    async def work(name: str) -> None:
        async with roads.next(lambda: name in opened):
            order.append(name)
            await asyncio.sleep(0)

    working = [asyncio.create_task(work(name)) for name in "abcde"]
    await asyncio.sleep(0)
    opened.add("d")
    working[1].cancel()
    await asyncio.wait(working)
    assert order == ["a", "d", "c", "e"]
    await work("f")
    assert order[-1] == "f"
