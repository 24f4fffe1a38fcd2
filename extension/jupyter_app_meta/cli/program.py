"""How our program reads configuration: from its own file, and from one that all of Jupyter's programs share."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

from jupyter_core.application import JupyterApp
from traitlets import default
from traitlets.config import Config

from ..server import hooks
from ..server.reports import operator


class Program(JupyterApp):
    """A program that tells its own sections of a shared ``jupyter_config`` file from those of other programs."""

    _shared: frozenset[str] = frozenset()

    def _load_config(self, cfg: Config, *arguments: Any, **options: Any) -> None:
        for option in ("authorize", "lifespan"):
            hooks.keep(cfg, "Serve", option)
        super()._load_config(cfg, *arguments, **options)

    def update_config(self, config: Config) -> None:
        """Note what ``jupyter_config`` says, because that file is for all of Jupyter's programs."""
        files = {Path(name).stem for name in self.loaded_config_files}
        if files == {"jupyter_config"}:
            self._shared |= set(config) - set(self.cli_config)
        super().update_config(config)

    def without_others(self, read: Collection[str]) -> Config:
        """Return the configuration without shared sections of other programs. Misspelt sections of ours stay."""
        others = self._shared - set(read)
        if others:
            self.log.info("Not read here, because they are for other programs: %s.", ", ".join(sorted(others)))
        return Config({name: given for name, given in self.config.items() if name not in others})

    _log_formatter_cls = logging.Formatter  # type: ignore[assignment]  # traitlets names the class that it uses

    @default("log_format")
    def _log_format_default(self) -> str:
        return operator.FORM

    def _log_level_default(self) -> int:
        return logging.INFO
