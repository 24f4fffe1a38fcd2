"""When a template is started, when again, and what it has of its server."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jupyter_app_meta.dashboards.forks import demand as demands
from jupyter_app_meta.dashboards.forks import strategy
from jupyter_app_meta.dashboards.forks import template as forks_template
from jupyter_app_meta.dashboards.forks.commands import CannotFork, Refused
from jupyter_app_meta.dashboards.forks.demand import Demand
from jupyter_app_meta.dashboards.forks.template import Template
from jupyter_app_meta.dashboards.load.traffic import Traffic
from jupyter_app_meta.dashboards.settings import Settings

NAMED = Demand(Settings(fork=True, fork_spares=0))


async def test_a_template_that_ends_soon_is_started_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook whose process ends by itself again and again does not keep the machine busy."""
    begun: list[DiesSoon] = []
    clock = 100.0
    monkeypatch.setattr(strategy, "time", SimpleNamespace(monotonic=lambda: clock))

    class DiesSoon:
        """A template whose process has ended as soon as it was usable."""

        is_usable, is_retired, has_ended, is_running = False, False, True, False

        def __init__(self, *_: object, **__: object) -> None:
            self.began = clock
            begun.append(self)

        async def start(self) -> None:
            """Be usable, for no time at all."""

        retire = close = start

    async def read() -> SimpleNamespace:
        return SimpleNamespace(version=1)

    monkeypatch.setattr(strategy, "Template", DiesSoon)
    services: Any = SimpleNamespace(traffic=Traffic(), log=logging.getLogger(), spawn=asyncio.ensure_future)
    forks = strategy.Forks(services, read, bool, list, demand=NAMED, space=None)  # type: ignore[arg-type]
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
    forks = strategy.Forks(services, read, bool, list, demand=NAMED, space=None)  # type: ignore[arg-type]
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

        is_usable, is_retired, has_ended, is_running, began = False, False, False, False, 0.0

        def __init__(self, services: object, blueprint: Any, *_: object, **__: object) -> None:
            self.name, self.blueprint = blueprint.version, blueprint

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
        strategy.Forks(services, reader(name), bool, list, demand=NAMED, space=None)  # type: ignore[arg-type]
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


class Slow:
    """A template whose notebook runs ahead until the test says so."""

    begun: list[Slow]
    is_usable, is_retired, has_ended, has_begun = False, False, False, False
    is_current = is_running = True
    has_forks = False

    def __init__(self, services: object, blueprint: Any, *_: object, **__: object) -> None:
        self.blueprint, self.began = blueprint, vars(strategy)["time"].monotonic()
        self.goes_on, self.is_closed, self.fails = asyncio.Event(), False, False
        self.begun.append(self)

    async def start(self) -> None:
        """Run ahead."""
        self.has_begun = True
        await self.goes_on.wait()
        if self.fails:
            raise CannotFork("a cell failed")
        self.is_usable = True

    async def look(self) -> None:
        """Look at no file."""

    async def close(self) -> None:
        """Note the end."""
        self.is_closed = True

    retire = close


class Stage:
    """A notebook that is run ahead by ``Slow``, with a clock and versions of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, demand: Demand = NAMED, **patches: object) -> None:
        self.clock, self.version = 100.0, 1
        Slow.begun = []
        changes = {"SWEEP": 0.001, "TURN": 0.001, "Template": Slow, **patches}
        for name, value in {**changes, "time": SimpleNamespace(monotonic=lambda: self.clock)}.items():
            monkeypatch.setattr(strategy, name, value)
        services: Any = SimpleNamespace(traffic=Traffic(), log=logging.getLogger(), spawn=asyncio.ensure_future)
        otherwise: list[int] = []
        self.forks = strategy.Forks(
            services, self._read, self._is_current, lambda: otherwise.append(1), demand=demand, space=None
        )
        self.otherwise = otherwise

    async def _read(self) -> Any:
        cells = [{"cell_type": "code", "source": "app_meta()"}]
        return SimpleNamespace(version=self.version, name="page", notebook={"cells": cells})

    def _is_current(self, blueprint: Any) -> bool:
        return bool(blueprint.version == self.version)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_server_is_ready_though_a_cell_takes_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for a minute, and not for longer."""
    stage = Stage(monkeypatch)
    stage.clock += 1000  # the server has lived for some time
    stage.forks.start()
    await until(lambda: bool(Slow.begun))
    stage.clock += strategy.READY
    assert not stage.forks.is_settled
    stage.clock += 1
    assert stage.forks.is_settled
    await stage.forks.close()
    assert Slow.begun[0].is_closed


async def test_a_notebook_that_changes_meanwhile_is_run_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the old version has not come to its first question, and perhaps never will."""
    stage = Stage(monkeypatch)
    stage.forks.start()
    await until(lambda: bool(Slow.begun))
    stage.version = 2
    await until(lambda: len(Slow.begun) == 2)
    old, new = Slow.begun
    assert old.is_closed
    assert new.blueprint.version == 2
    new.goes_on.set()
    await until(lambda: stage.forks.is_settled)
    assert not new.is_closed
    assert not stage.otherwise
    await stage.forks.close()


async def test_a_template_that_is_old_before_it_is_ready_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its pages start in another way, and the log says why."""
    stage = Stage(monkeypatch)
    stage.forks.start()
    await until(lambda: bool(Slow.begun))
    stage.clock += 3601
    await until(lambda: bool(stage.otherwise))
    assert Slow.begun[0].is_closed
    assert "because it runs ahead for more than 3600 seconds." in caplog.text
    await stage.forks.close()


async def test_the_next_template_is_started_before_the_end_of_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Visitors get forks of the old one until the new one is ready. If that fails, the old one is used to its end."""
    stage = Stage(monkeypatch)
    stage.forks.start()
    await until(lambda: bool(Slow.begun))
    Slow.begun[0].goes_on.set()
    await until(lambda: stage.forks.is_settled)
    stage.clock += 0.81 * 3600
    await until(lambda: len(Slow.begun) == 2)
    old, new = Slow.begun
    await asyncio.sleep(0.01)
    assert not old.is_closed
    new.fails = True
    new.goes_on.set()
    await until(lambda: new.is_closed)
    assert not old.is_closed and not stage.otherwise
    stage.clock += 3
    await until(lambda: len(Slow.begun) == 3)
    assert not old.is_closed
    Slow.begun[2].goes_on.set()
    await until(lambda: old.is_closed)
    assert not Slow.begun[2].is_closed
    await stage.forks.close()


async def test_templates_that_have_pages_end_with_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was replaced, and whose last page is still open, does not outlive a server within another program."""

    class Lingers(Slow):
        """A template that has pages."""

        async def retire(self) -> None:
            """Go on until the last page is closed."""

    stage = Stage(monkeypatch, Template=Lingers)
    stage.forks.start()
    for count in (1, 2, 3):
        await until(lambda count=count: len(Slow.begun) == count)  # type: ignore[misc]  # the default is bound at once
        Slow.begun[-1].goes_on.set()
        await until(lambda: Slow.begun[-1].is_usable)
        stage.version += 1
    await stage.forks.close()
    assert [template.is_closed for template in Slow.begun[:3]] == [True] * 3


async def test_no_template_is_started_without_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder may have more notebooks than there is room for. They are tried again."""
    is_short = True
    stage = Stage(monkeypatch, memory=SimpleNamespace(is_short=lambda: is_short))
    stage.forks.start()
    await until(lambda: stage.forks.is_settled)
    assert not Slow.begun[-1].has_begun
    assert "because little memory is free." in caplog.text
    is_short = False
    stage.clock += 3
    await until(lambda: Slow.begun[-1].has_begun)
    await stage.forks.close()


@pytest.mark.parametrize("has_forks", [False, True])
async def test_a_template_that_nobody_asked_for_takes_no_room_of_pages(
    monkeypatch: pytest.MonkeyPatch, has_forks: bool
) -> None:
    """A visitor may open each notebook of a folder twice. If pages come from it, it saves memory, and stays."""
    is_short, looks = False, list[int]()

    def current(self: Slow) -> bool:
        looks.append(1)
        return True

    monkeypatch.setattr(Slow, "is_current", property(current))
    stage = Stage(monkeypatch, Demand(Settings()), memory=SimpleNamespace(is_short=lambda: is_short))
    for _ in range(2):
        stage.forks.visited()
    await until(lambda: bool(Slow.begun))
    Slow.begun[0].goes_on.set()
    await until(lambda: Slow.begun[0].is_usable)
    Slow.begun[0].has_forks, is_short = has_forks, True
    before = len(looks)
    await until(lambda: Slow.begun[0].is_closed or len(looks) > before + 10)
    assert Slow.begun[0].is_closed is not has_forks
    await stage.forks.close()


async def test_a_page_that_ends_after_its_dashboard_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its notebook may have been removed meanwhile."""
    stage = Stage(monkeypatch, Demand(Settings()))
    stage.forks.visited()
    await stage.forks.close()
    stage.forks.visited()
    assert stage.forks._keeper is None


async def test_a_template_that_is_replaced_makes_the_fork_that_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it ends. Its visitor need not start cold."""
    made_one = asyncio.Event()

    class Forked:
        """A run whose fork is being made."""

        def __init__(self, *_: object, **__: object) -> None:
            pass

        async def started(self) -> None:
            """Wait for the fork."""
            await made_one.wait()

    monkeypatch.setattr(forks_template, "Run", Forked)
    services: Any = SimpleNamespace(spawn=asyncio.ensure_future, peers=SimpleNamespace(new_kernel_id=str))
    blueprint: Any = SimpleNamespace(folder=Path(), kernel_name="python3")
    made = Template(services, blueprint, None, lambda: None, set())
    made._beginning = SimpleNamespace(continued=list)  # type: ignore[assignment]  # what the run begins with
    made.forked()
    await made.retire()
    assert not made._commands._is_closed
    made_one.set()
    await until(lambda: made._commands._is_closed)


@pytest.mark.parametrize(
    ("error", "is_named", "pause"),
    [
        (CannotFork("a cell failed"), True, 2),
        (Refused("a thread runs"), True, 60),
        (CannotFork("a cell failed"), False, 2),
        (Refused("a thread runs"), False, 3600),
    ],
)
async def test_what_will_hardly_change_is_tried_later(
    monkeypatch: pytest.MonkeyPatch, error: Exception, is_named: bool, pause: float
) -> None:
    """A notebook that failed may succeed soon. One that has a thread will have it again."""

    class Fails(Slow):
        """A template that cannot be used."""

        async def start(self) -> None:
            """Fail."""
            raise error

    demand = Demand(Settings(fork=is_named or None))
    stage = Stage(monkeypatch, demand, Template=Fails)
    monkeypatch.setattr(demands, "IDLE", 7200.0)
    for _ in range(2):
        stage.forks.visited()
    stage.forks.start()
    await until(lambda: len(stage.otherwise) == 1)
    stage.clock += pause - 0.1
    for _ in range(10):
        await stage.forks.take()
        await asyncio.sleep(0.002)
    assert len(Slow.begun) == 1
    stage.clock += 0.2
    await until(lambda: len(Slow.begun) == 2)
    await stage.forks.close()


async def test_a_notebook_that_failed_very_often_still_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that runs for weeks must not begin to try it all the time."""

    class Fails(Slow):
        """A template that cannot be used."""

        async def start(self) -> None:
            """Fail."""
            raise Refused("a thread runs")

    stage = Stage(monkeypatch, Template=Fails)
    forks: Any = stage.forks
    forks._tried, forks._failures = stage.version, 1100
    stage.forks.start()
    await until(lambda: bool(stage.otherwise) or bool(stage.forks._trouble))
    assert not stage.forks._trouble and stage.forks._not_before > stage.clock
    await stage.forks.close()


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
