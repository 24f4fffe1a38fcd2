"""The packages that serving dashboards needs: checked by name and version, before any of them is imported."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from typing import NamedTuple

from .errors import RequirementMissing

NEEDED = {"jupyter_server": "2.18", "voila": "0.5.13", "ipywidgets": "8", "ipykernel": "7.4"}
"""The distributions, and the oldest version of each that works."""

INSTALL = "pip install 'jupyter-app-meta[dashboards]'"


class Problem(NamedTuple):
    """What is wrong with a package."""

    sentence: str
    is_missing: bool


def require() -> None:
    """Raise RequirementMissing for the first package that is missing or too old."""
    for problem in problems():
        raise RequirementMissing(problem.sentence)


def problems() -> Iterator[Problem]:
    """Yield what is wrong with each package that is missing or too old."""
    for name, oldest in NEEDED.items():
        version = _version(name)
        if version is None:
            yield Problem(f"{name} is missing: {INSTALL}", is_missing=True)
        elif version and is_older(version, oldest):
            remedy = f"{INSTALL} (`pip check` names a package that wants the older one)"
            yield Problem(f"dashboards need {name} {oldest} or newer, not {version}: {remedy}", is_missing=False)


def is_older(version: str, oldest: str) -> bool:
    """Whether a version comes before another; a part that is not a number counts as 0."""
    return _numbers(version) < _numbers(oldest)


def _version(name: str) -> str | None:
    """Return a package's version, or an empty string if its metadata lacks it; None if the package is missing."""
    try:
        if find_spec(name) is None:
            return None
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
    except (ImportError, ValueError):
        return None


def _numbers(version: str) -> tuple[int, ...]:
    found = [int(number) for number in re.findall(r"\d+", re.split(r"[+-]|(?:a|b|rc|\.dev|\.post)\d*", version)[0])]
    return tuple([*found, 0, 0, 0][:3])
