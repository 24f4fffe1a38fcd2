"""Keeps a template of one dashboard's notebook, and a few forks ahead of their visitors.

1. A visitor gets a fork only if the notebook, the author's modules that it imports and the files that it has read are
   as they were when the template was made, and it is not older than its ``max_age``. Otherwise the page starts as
   without forks, and the template is replaced.
2. If a notebook cannot be forked, the log says once for each version and reason why. It is tried again later: after 2
   seconds, 4 seconds, and so on up to ``max_age``; so is a template that ended by itself soon after its start, or whose
   files changed. If the process has what cannot be forked, it will hardly be different soon: it is tried again after a
   minute, and so on; after an hour if the deployer did not say that it should be forked.
3. Forks ahead are made while no visitor waits for a page. A template is started at once, because all visitors wait less
   with it; one at a time, those of pages first that a visitor has opened, and with a low priority.
4. A cell may run for ever. It keeps neither other notebooks from running ahead nor the server from being ready, and its
   template is given up as soon as the notebook changes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from ...state.keys import Space
from ..files import imports
from ..load import memory
from ..runs.notebook import Blueprint, Version
from ..runs.pool import SWEEP
from ..runs.reasons import reason
from ..runs.run import Run
from ..services import Services
from .commands import CannotFork, Refused
from .demand import Demand
from .template import Template

TURN = 10.0
"""Seconds for which one notebook that is run ahead may keep others waiting."""

READY = 60.0
"""Seconds after which the server is ready although a notebook still runs ahead."""

RENEWAL = 0.8
"""The part of its time after which the next template is started, so that all visitors do not begin cold at its end."""

PAUSE, REFUSED_PAUSE = 1.0, 30.0
"""Half the seconds after which a notebook is tried again that failed, or was refused."""

UNWANTED_PAUSE = 3600.0
"""Seconds after which it is tried again if it was refused and the deployer did not say that it should be forked."""

MOST_FAILURES = 100
"""How many failures are counted. Python has no number for the pause after a thousand, which an old server may reach."""

SOON = 60.0
"""Seconds: a template that ended by itself within them waits before it is started again."""


class Forks:
    """Gives runs that are forked from a template. ``otherwise`` is called when the notebook cannot be forked."""

    def __init__(
        self,
        services: Services,
        read: Callable[[], Awaitable[Blueprint]],
        is_current: Callable[[Blueprint], bool],
        otherwise: Callable[[], None],
        *,
        demand: Demand,
        space: Space | None,
    ) -> None:
        self._services, self._read, self._is_current, self._otherwise = services, read, is_current, otherwise
        self._demand, self._space, self._max_age = demand, space, demand.max_age
        self._template: Template | None = None
        self._ahead: list[Run] = []
        self._retired: set[Template] = set()
        self._written: set[Path] = set()
        self._wanted = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._said: set[tuple[Version, str]] = set()
        self._tried: Version | None = None
        self._failures, self._not_before = 0, 0.0
        self._trouble = ""
        self._is_awaited = self._is_closed = False
        self._has_looked, self._began = False, time.monotonic()

    @property
    def is_settled(self) -> bool:
        """Whether it is known if the notebook can be forked, or that is not known for long, or need not be known."""
        is_late = self._keeper is not None and time.monotonic() - self._began > READY
        return self._has_looked or is_late or not self._demand.is_named

    def start(self) -> None:
        """Run the notebook ahead, and keep forks ahead, while that is wanted; idempotent."""
        if self._keeper is None and self._demand.is_there and not self._is_closed:
            self._began = time.monotonic()
            self._keeper = self._services.spawn(self._keep())

    def visited(self) -> None:
        """Note a visit: there may be enough of them now."""
        self._demand.visited()
        self.start()

    async def take(self) -> Run | None:
        """Return a run whose kernel was forked; None if there is no template, or the fork failed."""
        await self._look_elsewhere()
        template = self._usable()
        self._wanted.set()
        if template is None:
            self._is_awaited = True
            return None
        while self._ahead:
            run = self._ahead.pop(0)
            if run.is_usable and await run.is_alive():
                return run
            self._services.spawn(run.close())
        return await self._forked(template)

    async def _forked(self, template: Template) -> Run | None:
        """Return a new fork; None if there could be none, which is logged."""
        run = template.forked()
        try:
            await run.started()
        except BaseException as error:
            self._services.spawn(run.close())
            if not isinstance(error, Exception):
                raise
            self._services.log.warning(
                "%s: a kernel could not be forked (%s). The page starts as without forks.", run.blueprint.name, error
            )
            return None
        return run

    async def _look_elsewhere(self) -> None:
        if self._template and self._template.is_usable:
            await self._template.look()

    def _usable(self) -> Template | None:
        template = self._template
        return template if template and template.is_usable and self._is_fresh(template) else None

    def _is_fresh(self, template: Template) -> bool:
        is_young = time.monotonic() - template.began < self._max_age
        return is_young and template.is_current and self._is_current(template.blueprint)

    async def _keep(self) -> None:
        while True:
            self._wanted.clear()
            try:
                await self._look()
                self._trouble = ""
            except Exception as error:  # a file cannot be read as a notebook, or a file system is away for a moment
                self._tell(type(error).__name__)
            self._has_looked = True
            try:
                async with asyncio.timeout(SWEEP):
                    await self._wanted.wait()
            except TimeoutError:
                pass

    def _tell(self, trouble: str) -> None:
        """Log what keeps the notebook from being read, once until it can be read again."""
        if trouble != self._trouble:
            self._services.log.warning("Could not maintain a template (%s).", trouble)
        self._trouble = trouble

    async def _look(self) -> None:
        """Replace a template that cannot be used any more, or not for long, and fork ahead; end one that is idle."""
        await self._look_elsewhere()
        template = self._usable()
        if not self._demand.is_there or (template and self._gives_way(template)):
            await self._retire()
            return
        if template is None or time.monotonic() - template.began > RENEWAL * self._max_age:
            await self._replace()
        while (template := self._usable()) and len(self._ahead) < self._demand.spares:
            async with self._services.traffic.ahead():
                if (run := await self._forked(template)) is None:
                    break
                self._ahead.append(run)

    def _gives_way(self, template: Template) -> bool:
        """Whether a template that was made by default, and from which no page comes now, takes the room of pages."""
        return not (self._demand.is_named or template.has_forks) and memory.is_short()

    async def _replace(self) -> None:
        """Start a new template, unless this version of the notebook failed a moment ago."""
        blueprint = await self._read()
        if not self._demand.is_named and not imports.asks(blueprint.notebook):
            await self._retire()
            return
        if self._template and (self._template.has_ended or not self._template.is_current):
            if time.monotonic() - self._template.began < SOON:
                self._pause()
            else:
                self._failures = 0
            await self._retire()
        if blueprint.version == self._tried and time.monotonic() < self._not_before:
            return
        if blueprint.version != self._tried:
            self._tried, self._failures = blueprint.version, 0
        must_ask = not self._demand.is_named
        new = Template(self._services, blueprint, self._space, self._wanted.set, self._written, must_ask=must_ask)
        try:
            is_current = await self._started(new)
        except BaseException as error:
            await new.close()
            if not isinstance(error, Exception):
                raise
            self._give_up(blueprint, error)
            return
        if self._template and time.monotonic() - self._template.began > SOON:
            self._failures = 0
        if is_current:
            await self._retire(new)
            self._is_awaited = False
        else:
            await new.close()
            await self._retire()
            self._wanted.set()

    async def _started(self, new: Template) -> bool:
        """Run a notebook ahead; return False if it has changed meanwhile. If it takes long, the next one begins."""
        starting: asyncio.Future[None] | None = None
        try:
            async with self._services.traffic.next(lambda: self._is_awaited):
                if memory.is_short():  # a folder may have more notebooks than there is room for their templates
                    raise CannotFork("little memory is free")
                starting = asyncio.ensure_future(new.start())
                await asyncio.wait((starting,), timeout=TURN)
            while not starting.done():
                if not self._is_current(new.blueprint):
                    return False
                if time.monotonic() - new.began > self._max_age:
                    raise CannotFork(f"it runs ahead for more than {self._max_age:g} seconds")
                await asyncio.wait((starting,), timeout=SWEEP)
            await starting
        finally:
            if starting is not None:
                starting.cancel()
        return True

    def _pause(self, *, refused: bool = False) -> None:
        """Wait longer with each failure of one version."""
        self._failures = min(self._failures + 1, MOST_FAILURES)
        pause = (REFUSED_PAUSE if refused else PAUSE) * 2.0**self._failures
        is_unwanted = refused and not self._demand.is_named  # each try runs the notebook once more
        self._not_before = time.monotonic() + (UNWANTED_PAUSE if is_unwanted else min(pause, self._max_age))

    def _give_up(self, blueprint: Blueprint, error: Exception) -> None:
        """Say why a notebook cannot be forked, once, and let its pages start in another way."""
        self._pause(refused=isinstance(error, Refused))
        why = str(error) if isinstance(error, CannotFork) else reason(error)
        if (blueprint.version, why) not in self._said:
            self._said = {(version, said) for version, said in self._said if version == blueprint.version}
            self._said.add((blueprint.version, why))
            self._services.log.log(
                self._demand.level, "%s: its kernels cannot be forked, because %s.", blueprint.name, why
            )
        if self._usable() is None:
            self._otherwise()

    async def _retire(self, new: Template | None = None) -> None:
        """Let the present template, and the forks ahead, give way to a new one, which is used from now on."""
        template, self._template = self._template, new
        ahead, self._ahead = self._ahead, []
        try:
            await asyncio.gather(*(run.close() for run in ahead), return_exceptions=True)
        finally:  # also if the server is closed meanwhile
            if template:
                self._retired = {*filter(lambda one: one.is_running, self._retired), template}
                await template.retire()

    async def close(self) -> None:
        """End the template and the forks ahead. Those that have visitors are closed as pages."""
        self._is_closed = True  # a page that ends later counts as a visit, too
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait((self._keeper,))
        await self._retire()
        await asyncio.gather(*(template.close() for template in self._retired))
