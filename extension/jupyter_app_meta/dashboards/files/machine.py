"""Whether notebooks can be shown on this machine. Nothing is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from traitlets.config import Config
from voila.configuration import VoilaConfiguration

from ...errors import BadNotebook
from . import content, specs, templates


@dataclass(frozen=True, slots=True)
class Machine:
    """What notebooks need: kernels with their languages, kernels whose ``absent`` program is missing, templates.

    ``problems`` has what ``problem`` has found.
    """

    kernels: Mapping[str, str]
    absent: Mapping[str, str]
    voila: VoilaConfiguration
    config: Config
    problems: dict[Path, str] = field(default_factory=dict)
    _templates: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, kernels: KernelSpecManager, voila: VoilaConfiguration, config: Config) -> Machine:
        """Return what there is now."""
        return cls(specs.installed(kernels), specs.absent(kernels), voila, config)

    def problem(self, notebook: Path) -> str:
        """Return why a notebook cannot be shown; empty if nothing speaks against it."""
        if notebook not in self.problems and (found := self._problem(notebook)):
            self.problems[notebook] = found
        return self.problems.get(notebook, "")

    def _problem(self, notebook: Path) -> str:
        mapping = self.voila.language_kernel_mapping
        if said := specs.missing(notebook, self.kernels, mapping) or unreadable(notebook):
            return said
        kernel = specs.runnable(notebook, self.kernels, mapping) or ""
        if kernel in self.absent:
            return f"{notebook.name} needs the kernel {kernel}, whose program {self.absent[kernel]} does not exist."
        return self._problem_of_template(notebook)

    def _problem_of_template(self, notebook: Path) -> str:
        try:
            name = templates.named(specs.metadata(notebook), self.voila)
        except (BadNotebook, OSError):
            return ""
        if name and name not in self._templates:
            self._templates[name] = templates.broken(name, self.config)
        problem = self._templates.get(name)
        return f"{notebook.name} names the template {name!r}, which cannot be used: {problem}" if problem else ""


def unreadable(notebook: Path) -> str:
    """Return why a file cannot be read as a notebook; empty if it can, or is gone."""
    try:
        return _unreadable(notebook, notebook.stat().st_mtime_ns)
    except OSError:
        return ""


@lru_cache(maxsize=1000)
def _unreadable(notebook: Path, changed: int) -> str:
    try:
        found = content.read(notebook)
    except BadNotebook as error:
        return str(error)
    except (OSError, ValueError, RecursionError) as error:
        return f"{notebook.name} cannot be read as a notebook ({type(error).__name__}). Correct the file, or remove it."
    return "" if isinstance(found, dict) else f"{notebook.name} is not a notebook: its JSON is not an object."
