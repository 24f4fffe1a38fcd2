"""When a template is started, when again, and what it has of its server."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from jupyter_app_meta.dashboards.forks import strategy
from jupyter_app_meta.dashboards.load.traffic import Traffic


async def test_a_template_that_ends_soon_is_started_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook whose process ends by itself again and again does not keep the machine busy."""
    begun: list[DiesSoon] = []
    clock = 100.0
    monkeypatch.setattr(strategy, "time", SimpleNamespace(monotonic=lambda: clock))

    class DiesSoon:
        """A template whose process has ended as soon as it was usable."""

        is_usable, is_retired, has_ended = False, False, True

        def __init__(self, *_: object) -> None:
            self.began = clock
            begun.append(self)

        async def start(self) -> None:
            """Be usable, for no time at all."""

        retire = close = start

    async def read() -> SimpleNamespace:
        return SimpleNamespace(version=1)

    monkeypatch.setattr(strategy, "Template", DiesSoon)
    services: Any = SimpleNamespace(traffic=Traffic(), log=logging.getLogger(), spawn=asyncio.ensure_future)
    forks = strategy.Forks(services, read, bool, list, space=None, spares=0, max_age=3600)  # type: ignore[arg-type]
    forks.start()
    for expected in (1, 2, 3):
        for _ in range(100):
            forks.start()
            await forks.take()
            await asyncio.sleep(0)
        assert len(begun) == expected
        clock += 2.0**expected + 0.1
    await forks.close()


async def test_a_notebook_that_cannot_be_read_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It does not keep its server from being ready, nor fill the log."""
    monkeypatch.setattr(strategy, "SWEEP", 0)
    reads: list[int] = []

    async def read() -> SimpleNamespace:
        reads.append(1)
        raise ValueError("it is not a notebook")

    services: Any = SimpleNamespace(traffic=Traffic(), log=logging.getLogger(), spawn=asyncio.ensure_future)
    forks = strategy.Forks(services, read, bool, list, space=None, spares=0, max_age=3600)  # type: ignore[arg-type]
    forks.start()
    while len(reads) < 3:
        assert await forks.take() is None
        await asyncio.sleep(0)
    assert forks.is_settled
    await forks.close()
    assert [record.getMessage() for record in caplog.records] == ["Could not maintain a template (ValueError)."]


async def test_a_notebook_that_takes_for_ever_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next template is started after a while; both end when they are closed."""
    monkeypatch.setattr(strategy, "TURN", 0.01)
    begun: list[str] = []
    ended: list[str] = []

    class TakesForEver:
        """A template whose notebook goes on and on."""

        is_usable, is_retired, has_ended, began = False, False, False, 0.0

        def __init__(self, services: object, blueprint: Any, *_: object) -> None:
            self.name = blueprint.version

        async def start(self) -> None:
            """Run a cell without an end."""
            begun.append(self.name)
            await asyncio.Event().wait()

        async def close(self) -> None:
            """Note the end."""
            ended.append(self.name)

    monkeypatch.setattr(strategy, "Template", TakesForEver)
    services: Any = SimpleNamespace(traffic=Traffic(), log=logging.getLogger(), spawn=asyncio.ensure_future)

    def reader(name: str) -> Any:
        async def read() -> SimpleNamespace:
            return SimpleNamespace(version=name)

        return read

    both = [
        strategy.Forks(services, reader(name), bool, list, space=None, spares=0, max_age=3600)  # type: ignore[arg-type]
        for name in ("one", "other")
    ]
    for forks in both:
        forks.start()
    async with asyncio.timeout(60):
        while len(begun) < 2:
            await asyncio.sleep(0)
    for forks in both:
        await forks.close()
    assert begun == ended == ["one", "other"]


FORKS = """
import os
from jupyter_app_meta.dashboards.forks.processes import lifeline
reading, writing = made = os.pipe()
os.pipe = lambda: made
assert lifeline() == reading

def ends_well(code):
    if child := os.fork():
        return os.waitpid(child, 0)[1] == 0
    try:
        code()
    except BaseException:
        os._exit(1)
    os._exit(0)

def in_a_fork():
    assert not os.path.exists(f"/proc/self/fd/{writing}"), "still open"
    os.dup2(os.open("/dev/null", os.O_RDONLY), writing)
    assert ends_well(lambda: os.fstat(writing)), "closed what was not ours"

assert ends_well(in_a_fork)
"""


def test_forks_of_a_server_do_not_hold_its_pipe() -> None:
    """A process that an application forks does not keep kernels alive, and its own forks keep their own files."""
    ran = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
