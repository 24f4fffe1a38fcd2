"""What is served at which path: a notebook or a directory; and which of them cannot be served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ..errors import DashboardError
from .paths import SUFFIXES, Route
from .settings import Settings


@dataclass(frozen=True, slots=True)
class Mount:
    """A notebook, or a directory of them, at a path."""

    route: Route
    place: Path
    settings: Settings
    dynamic: bool

    @property
    def order(self) -> tuple[bool, int, tuple[bool, ...]]:
        """Sorts mounts by whose URLs come first."""
        return self.route.order(is_folder=self.dynamic)


def check_paths(mounts: Sequence[Mount], index: Route | None) -> None:
    """Raise DashboardError if two places have the same URLs, or if there is no place at all."""
    taken: dict[tuple[str, bool], Mount] = {}
    for mount in mounts:
        before = taken.setdefault((mount.route.shape, mount.dynamic), mount)
        if before is not mount:
            _refuse_both(before, mount)
    for page, directory in product(mounts, mounts):
        if directory.dynamic and not page.dynamic and page.route.hides(directory.route):
            raise DashboardError(
                f"{page.place.name} at {page.route.path} hides the notebooks of {directory.place.name} at "
                f"{directory.route.path}: give one of them another path."
            )
    if index and index.has_parameters:
        raise DashboardError(f"The index is at {index.path}: it must have no parameters.")
    if index and (clash := taken.get((index.shape, False))):
        raise DashboardError(f"{clash.place.name} and the index are both at {index.path}.")
    if not mounts:
        raise DashboardError("There is nothing to serve: add a notebook with with_app or with_dynamic_directory.")


def _refuse_both(one: Mount, other: Mount) -> None:
    if one.route == other.route:
        where = f"{one.place.name} and {other.place.name} are both at {one.route.path}"
    else:
        where = f"{one.place.name} at {one.route.path} and {other.place.name} at {other.route.path} have the same URLs"
    raise DashboardError(f"{where}: give one of them another path.")


def check_place(mount: Mount) -> None:
    """Raise DashboardError for a place that does not exist, or is of the wrong kind."""
    if mount.dynamic and "{name}" in mount.route.segments:
        raise DashboardError(
            f"{mount.route.path} has a parameter called name, which is the name of the notebook: rename the parameter."
        )
    if mount.dynamic and not mount.place.is_dir():
        raise DashboardError(f"{mount.place} is not a directory: {mount.route.path} cannot be served.")
    if not mount.dynamic and not mount.place.is_file():
        what = "is a directory: use with_dynamic_directory" if mount.place.is_dir() else "does not exist"
        raise DashboardError(f"{mount.place} {what}: {mount.route.path} cannot be served.")
    if not mount.dynamic and mount.place.suffix not in SUFFIXES:
        kinds = ", ".join(SUFFIXES)
        raise DashboardError(f"{mount.place} is not a notebook ({kinds}): {mount.route.path} cannot be served.")
