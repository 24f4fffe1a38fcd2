"""Python imports this first in each server of the tests where APP_META_TESTS_FORK is set: each dashboard forks kernels.

1. A dashboard that says nothing of forks has them, and as many ahead of its visitors as it would have warm kernels,
   because tests count kernels.
2. The first visitor waits for the template. Else many a page would start cold, by chance.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

PATIENCE = 60.0
"""Seconds for which a visitor waits for a template."""


def _fork_all(settings: ModuleType) -> None:
    init = settings.Settings.__init__

    def forked(self: Any, *arguments: Any, **options: Any) -> None:
        init(self, *arguments, **options)
        if not self.fork or not self.fork_spares:  # the default of a server, which knows no warm kernels, is ours too
            object.__setattr__(self, "fork", True)
            object.__setattr__(self, "fork_spares", self.warm)

    settings.Settings.__init__ = forked


def _wait_for_the_template(strategy: ModuleType) -> None:
    take = strategy.Forks.take

    async def taken(self: Any) -> Any:
        until = asyncio.get_running_loop().time() + PATIENCE
        while not self.is_settled and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.01)
        return await take(self)

    strategy.Forks.take = taken


CHANGES: dict[str, Callable[[ModuleType], None]] = {
    "jupyter_app_meta.dashboards.settings": _fork_all,
    "jupyter_app_meta.dashboards.forks.strategy": _wait_for_the_template,
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


sys.meta_path.insert(0, Changing())
