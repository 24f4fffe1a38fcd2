"""The installed templates and themes of pages, so that a misspelt name is refused at the start."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path

from jupyter_core.paths import jupyter_path
from voila.configuration import VoilaConfiguration
from voila.paths import collect_static_paths, collect_template_paths
from voila.utils import get_voila_labextensions_path

from ... import frame
from ...errors import DashboardError

APPS = ["voila", "nbconvert"]
"""The programs whose templates are used."""

AUTO = "auto"
"""The theme of the visitor's own system. Only our own template has it."""

THEMES = ("light", "dark", "JupyterLab Light", "JupyterLab Dark")
"""The themes that all of Voila's templates have."""


def check(voila: VoilaConfiguration) -> None:
    """Raise DashboardError for a template or theme that is not installed."""
    _expect("template", voila.template, templates())
    if not any(brings_theme(Path(folder)) for folder in get_voila_labextensions_path(voila.extra_labextensions_path)):
        known = (AUTO, *THEMES) if voila.template == frame.NAME else THEMES
        _expect("theme", voila.theme, known)  # otherwise it may be a theme whose name only the browser knows


def templates() -> list[str]:
    """Return the names of the templates: Voila's, the installed ones and our own."""
    folders = (Path(root, "templates") for root in jupyter_path("voila"))
    found = (path.name for folder in folders if folder.is_dir() for path in folder.iterdir() if path.is_dir())
    return sorted({*(name for name in found if name != "base"), frame.NAME})


def paths(template: str) -> list[str]:
    """Return the folders in which the parts of a template are sought."""
    if template != frame.NAME:
        return list(collect_template_paths(APPS, template))
    return [str(frame.FOLDER), *collect_template_paths(APPS, frame.BASE)]


def static_paths(template: str) -> list[str]:
    """Return the folders of the files to which a template links."""
    return list(collect_static_paths(APPS, frame.BASE if template == frame.NAME else template))


def brings_theme(folder: Path) -> bool:
    """Whether a folder of JupyterLab's extensions has an extension with a theme."""
    return any(_has_theme(path) for path in _packages(folder))


def _packages(folder: Path) -> Iterator[Path]:
    yield from folder.glob("*/package.json")
    yield from folder.glob("@*/*/package.json")


def _has_theme(package: Path) -> bool:
    try:
        return bool(json.loads(package.read_text("utf-8"))["jupyterlab"].get("themePath"))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return False


def _expect(option: str, given: str, known: Iterable[str]) -> None:
    names = list(known)
    if given in names:
        return
    near = get_close_matches(given, names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"installed are {', '.join(names)}."
    raise DashboardError(f"VoilaConfiguration.{option} must name an installed {option}, not {given!r}; {hint}")
