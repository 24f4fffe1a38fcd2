"""Python imports this first in the programs of tests where APP_META_TESTS_FORK is set: each dashboard forks kernels.

1. A dashboard that does not say ``fork=False`` has forks, and as many ahead of its visitors as it would have warm
   kernels, because tests count kernels.
2. A visitor waits for the template of the notebook's present version. Otherwise pages would start cold, by chance.
3. How each page's kernel began, and why it was not forked, is a line of the file ``starts`` beside this one. The tests
   read it (``forked_or_not.py``).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import wraps
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

PATIENCE = 60.0
"""Seconds for which a visitor waits for a template."""

AS_WARM = 0
"""The number of spares of a dashboard that says nothing of them: as many as it has warm kernels."""

UNASKED = "its dashboard says fork=False"


def _fork_by_default(builder: ModuleType) -> None:
    builder.create_app.__kwdefaults__.update(fork_spares=AS_WARM)
    settings = builder.Builder._settings

    def forking(self: Any, *arguments: Any) -> Any:
        made = settings(self, *arguments)
        made = replace(made, fork=True) if made.fork is None else made
        return replace(made, fork_spares=made.warm) if made.fork and made.fork_spares == AS_WARM else made

    builder.Builder._settings = forking


def _fork_by_default_in_asgi(builder: ModuleType) -> None:
    builder.create_asgi_app.__kwdefaults__.update(fork_spares=AS_WARM)


def _fork_by_default_in_serve(serve: ModuleType) -> None:
    builder = serve.Serve.builder

    def forking(self: Any) -> Any:
        if "fork_spares" not in self.config.get("Serve", {}):
            self.fork_spares = AS_WARM
        return builder(self)

    serve.Serve.builder = forking


def _wait_for_the_template(strategy: ModuleType) -> None:
    take, give_up = strategy.Forks.take, strategy.Forks._give_up

    def given_up(self: Any, blueprint: Any, error: Exception) -> None:
        self.why = blueprint.version, str(error) or type(error).__name__
        give_up(self, blueprint, error)

    async def taken(self: Any) -> Any:
        until = asyncio.get_running_loop().time() + PATIENCE
        while not (self._usable() or _why_not(self)) and asyncio.get_running_loop().time() < until:
            self._is_awaited = True
            self._wanted.set()
            await asyncio.sleep(0.01)
        return await take(self)

    strategy.Forks.take, strategy.Forks._give_up = taken, given_up


def _why_not(forks: Any) -> str:
    """Return why the present version of a notebook cannot be forked; empty if that is not known."""
    if forks._trouble:
        return f"it cannot be read ({forks._trouble})"
    version, why = getattr(forks, "why", (None, ""))
    with suppress(OSError):
        if version and forks._is_current(SimpleNamespace(version=version)):
            return str(why)
    return ""


def _trouble(forks: Any) -> str:
    return "a fork failed" if forks._usable() else "its template was not ready"


def _note_starts(dashboard: ModuleType) -> None:
    take = dashboard.Dashboard._taken

    @wraps(take)
    async def taken(self: Any) -> Any:
        run, start = await take(self)
        why = _why_not(self._forks) or _trouble(self._forks) if self._forks else UNASKED
        noted = {"start": start, "page": self._place, "why": "" if start == "forked" else why}
        with Path(__file__).with_name("starts").open("a") as starts:
            starts.write(json.dumps(noted) + "\n")
        return run, start

    dashboard.Dashboard._taken = taken


CHANGES: dict[str, Callable[[ModuleType], None]] = {
    "jupyter_app_meta.dashboards.builder": _fork_by_default,
    "jupyter_app_meta.asgi.builder": _fork_by_default_in_asgi,
    "jupyter_app_meta.cli.serve": _fork_by_default_in_serve,
    "jupyter_app_meta.dashboards.forks.strategy": _wait_for_the_template,
    "jupyter_app_meta.dashboards.dashboard": _note_starts,
}


class Changing:
    """Finds the modules that are changed as soon as they are imported."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the module's spec, whose loader changes it."""
        if name not in CHANGES or not (spec := PathFinder.find_spec(name, path, target)) or not spec.loader:
            return None
        load = spec.loader.exec_module

        def changed(module: ModuleType) -> None:
            load(module)
            CHANGES[name](module)

        spec.loader.exec_module = changed  # type: ignore[method-assign]
        return spec


if os.environ.get("APP_META_TESTS_FORK"):
    sys.meta_path.insert(0, Changing())
