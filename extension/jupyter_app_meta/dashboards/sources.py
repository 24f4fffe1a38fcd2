"""Where a route's dashboards come from: one notebook, or a directory of notebooks.

start()           starts the warm kernels
canonical(params) returns the parameters in the one form that hooks and cells get
is_plain(params)  says whether these parameters of a URL could mean a dashboard at all
address(params)   returns the one path of the URL with these parameters
file(params)      returns the notebook with these parameters, and opens nothing
find(params)      returns the dashboard with these parameters, or None
entries()         lists the dashboards whose path needs no parameter, or has examples
sweep()           notices new and vanished notebooks
is_settled        says whether the warm kernels that were there at the start have run ahead
close()           ends the runs that have no visitor
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

from . import paths
from .dashboard import Dashboard
from .files import listing
from .mounts import Mount
from .paths import Route
from .services import Services
from .settings import Settings


class Entry(NamedTuple):
    """A dashboard in the index. ``is_available`` says whether it can be opened now."""

    path: str
    params: dict[str, str]
    notebook: Path
    settings: Settings
    is_available: bool = True


class Before(tuple[Mount, ...]):
    """The mounts whose URLs come before those of one mount.

    What is at their URLs is not at that mount, however a URL is spelled. Else ``/%73ales`` or ``/sales.ipynb`` in a
    directory at ``/`` would evade the rule of a mount at ``/sales``.
    """

    __slots__ = ()

    @classmethod
    def of(cls, mount: Mount, mounts: Iterable[Mount]) -> Before:
        """Return those that come before this one."""
        return cls(one for one in mounts if one.order < mount.order)

    def have(self, segments: Sequence[str]) -> bool:
        """Whether these decoded segments are a URL of one of them."""
        return any(one.route.means(segments, is_folder=one.dynamic) for one in self)


class Fixed:
    """The one dashboard of a path."""

    is_folder = False

    def __init__(self, services: Services, route: Route, notebook: Path, settings: Settings, before: Before) -> None:
        self.settings, self.route, self.directory, self._before = settings, route, notebook.parent, before
        self.dashboard = Dashboard(services, notebook, settings, route.path)

    def shows(self, path: str) -> bool:
        """Whether the notebook is at this address. A path with parameters cannot be told from a file's."""
        return path.rstrip("/") == self.route.path

    async def start(self) -> None:
        """Start the warm kernels."""
        self.dashboard.start()

    @property
    def is_settled(self) -> bool:
        """Whether the warm kernels have run ahead."""
        return self.dashboard.is_settled

    def is_source(self, file: Path) -> bool:
        """Whether this file is the notebook, also under another name of it."""
        try:
            return self.dashboard.notebook.samefile(file)
        except OSError:
            return False

    def find(self, params: Mapping[str, str]) -> Dashboard | None:
        """Return the dashboard, while its notebook exists."""
        return self.dashboard if self.dashboard.notebook.is_file() else None

    def file(self, params: Mapping[str, str]) -> Path | None:
        """Return the notebook."""
        return self.dashboard.notebook

    def address(self, params: Mapping[str, str]) -> str:
        """Return the one path of the URL with these parameters."""
        return self.route.address(params)

    def canonical(self, params: dict[str, str]) -> dict[str, str]:
        """Return the parameters unchanged."""
        return params

    def is_plain(self, params: Mapping[str, str]) -> bool:
        """Whether each parameter stands for one segment, and the URL is not another mount's."""
        return all(map(paths.is_segment, params.values())) and not self._before.have(self.route.filled(params))

    async def entries(self) -> list[Entry]:
        """List the dashboard; if its path has parameters, the deployer's examples of it."""
        if not self.dashboard.notebook.is_file():
            return []
        shown = self.settings.examples if self.route.has_parameters else ({},)
        pages = ((unquote(self.route.address(params)), dict(params)) for params in shown)
        return [Entry(path, params, self.dashboard.notebook, self.settings) for path, params in pages]

    async def sweep(self) -> None:
        """Do nothing: a path stays, even if its notebook vanishes."""

    async def close(self) -> None:
        """End the runs that have no visitor."""
        await self.dashboard.close()


class Folder:
    """The dashboards of a directory. They may appear, change and vanish."""

    is_folder = True

    def __init__(self, services: Services, route: Route, directory: Path, settings: Settings, before: Before) -> None:
        self._services, self.route, self.directory, self.settings = services, route, directory, settings
        self._before = before
        self._dashboards: dict[Path, Dashboard] = {}
        self._started = False

    async def start(self) -> None:
        """Run the notebooks ahead that exist now; a later call adds new notebooks."""
        self._started = True
        if self.settings.runs_ahead:
            for name in await self._names():
                self.find({"name": name})

    @property
    def is_settled(self) -> bool:
        """Whether the warm kernels of all notebooks have run ahead."""
        return self._started and all(dashboard.is_settled for dashboard in self._dashboards.values())

    async def _names(self) -> list[str]:
        """Return the names of the notebooks, from a walk that does not block the server."""
        names = await asyncio.to_thread(listing.names, self.directory)
        return [name for name in names if not self._is_elsewhere({"name": name})]

    def find(self, params: Mapping[str, str]) -> Dashboard | None:
        """Return the dashboard of a name."""
        notebook = listing.find(self.directory, params["name"])
        if notebook is None:
            return None
        if notebook not in self._dashboards:
            place = f"{self.route.path.rstrip('/')}/{paths.short(params['name'])}"
            self._dashboards[notebook] = Dashboard(self._services, notebook, self.settings, place)
            if self._started:
                self._dashboards[notebook].start()
        return self._dashboards[notebook]

    def file(self, params: Mapping[str, str]) -> Path | None:
        """Return the notebook of a name, if the name could be that of a notebook that may be served."""
        return listing.find(self.directory, params["name"]) if self.is_plain(params) else None

    def address(self, params: Mapping[str, str]) -> str:
        """Return the one path of the URL with these parameters."""
        above = self.route.address(params).rstrip("/")
        return f"{above}/{quote(paths.short(params['name']), safe=f'/{paths.PLAIN}')}"

    def canonical(self, params: dict[str, str]) -> dict[str, str]:
        """Return the parameters with the notebook's one name, so that a suffix cannot evade a rule about names."""
        return {**params, "name": paths.short(params["name"])}

    def is_plain(self, params: Mapping[str, str]) -> bool:
        """Whether the name could be that of a notebook that may be served, and each other parameter one segment."""
        others = (value for name, value in params.items() if name != "name")
        return paths.is_plain(params["name"]) and all(map(paths.is_segment, others)) and not self._is_elsewhere(params)

    def _is_elsewhere(self, params: Mapping[str, str]) -> bool:
        """Whether the URL of a name is that of another mount."""
        return self._before.have((*self.route.filled(params), *params["name"].split("/")))

    async def entries(self) -> list[Entry]:
        """List the notebooks, unless their path has parameters."""
        return [] if self.route.has_parameters else await asyncio.to_thread(self._shown)

    def _shown(self) -> list[Entry]:
        found = [(name, listing.find(self.directory, name)) for name in listing.names(self.directory)]
        base = self.route.path.rstrip("/")
        return [
            Entry(f"{base}/{name}", {"name": name}, path, self.settings)
            for name, path in found
            if path and not (paths.is_reserved(f"{base}/{name}") or self._is_elsewhere({"name": name}))
        ]

    def shows(self, path: str) -> bool:
        """Whether a notebook of the directory is at this address."""
        below = f"{self.route.path.rstrip('/')}/"
        name = unquote(path.removeprefix(below)) if path.startswith(below) else ""
        return bool(name) and listing.find(self.directory, name) is not None

    def is_source(self, file: Path) -> bool:
        """Return False: the notebooks of a directory look like notebooks."""
        return False

    async def sweep(self) -> None:
        """Drop the dashboards whose notebooks have vanished."""
        for notebook in [path for path in self._dashboards if not path.is_file()]:
            await self._dashboards.pop(notebook).close()
        if self._started:
            await self.start()

    async def close(self) -> None:
        """End the runs that have no visitor."""
        await asyncio.gather(*(dashboard.close() for dashboard in self._dashboards.values()))


Source = Fixed | Folder


def opened(services: Services, mounts: Sequence[Mount]) -> list[Source]:
    """Return the dashboards of each mount."""
    return [_opened(services, mount, Before.of(mount, mounts)) for mount in mounts]


def _opened(services: Services, mount: Mount, before: Before) -> Source:
    """Return the dashboards of a mount. Its own ``meta`` adds fields to requests, or else the server's does."""
    meta = services.options.request_hook if mount.settings.meta is None else mount.settings.meta
    settings = replace(mount.settings, meta=meta)
    return (Folder if mount.dynamic else Fixed)(services, mount.route, mount.place, settings, before)
