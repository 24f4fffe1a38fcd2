"""Checks before a server listens: every notebook is checked by name, and one kernel is started on trial."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ...errors import DashboardError
from ...server.gateway.client import GatewayFailed
from .. import paths
from ..files import listing, specs, texts
from ..files.machine import Machine
from ..runs.kernel import Kernel
from ..services import Services
from .options import expect

Place = tuple[paths.Route, Path]
"""A route, and the notebook or directory that it serves."""

TRIAL = 60
"""Within this many seconds the first kernel must answer."""


def warnings(places: Iterable[Place], machine: Machine) -> Iterator[str]:
    """Yield a sentence for each notebook that cannot be opened: its name is reserved, or it cannot be shown."""
    for route, place in places:
        if place.is_dir():
            yield from (f"Not served below {route.path}: {problem}" for problem in listing.unshown(place))
        for name, notebook in _notebooks(place):
            path = f"{route.path.rstrip('/')}/{name}"
            if place.is_dir() and paths.is_reserved(path):
                yield f"{notebook.name} is not served: {path} is an address of the server's own. Rename the notebook."
            elif problem := machine.problem(notebook):
                yield f"{path if place.is_dir() else route.path} cannot be shown: {problem}"


def examples(given: Sequence[Mapping[str, str]], route: paths.Route) -> None:
    """Raise DashboardError unless each example has a value for each parameter of a path, and for nothing else."""
    expect("examples", given, route)
    for example in given:
        if set(example) != route.parameters or not all(map(paths.is_segment, example.values())):
            names = ", ".join(sorted(route.parameters)) or "no parameters"
            raise DashboardError(
                f"examples of {route.path} must have one segment for each parameter of the path ({names})."
            )


def can_fork(fork: bool | None) -> None:
    """Raise DashboardError if kernels are to be forked on another system than Linux."""
    if fork and sys.platform != "linux":
        raise DashboardError(f"fork needs Linux, and this is {sys.platform}: leave it out, and use warm.")


def readable(notebook: Path) -> None:
    """Raise BadNotebook for a text that cannot be read as a notebook. An .ipynb file is read when it is opened."""
    if texts.is_text(notebook):
        texts.load(notebook)


def announce(places: Iterable[Place], services: Services) -> None:
    """Log the warnings about these places. Those about a gateway's kernels wait until the gateway has been asked."""
    if isinstance(services.specs, specs.Remote) and not services.specs.is_known:
        return
    machine = Machine.of(services.specs, services.options.voila, services.options.config)
    for warning in warnings(places, machine):
        services.log.warning("%s", warning)
    services.unavailable.update(machine.problems)


async def try_kernels(places: Iterable[Place], services: Services) -> None:
    """Start a kernel and end it; raises DashboardError if none of the notebooks' kernels starts."""
    await _ask(places, services)
    problems: list[str] = []
    for name, folder in _kernels(places, services).items():
        problem = await _try_kernel(name, folder, services)
        if problem is None:
            break
        problems.append(problem)
    else:
        if problems:
            raise DashboardError(" ".join(problems))
    for problem in problems:  # notebooks with other kernels can be served
        services.log.error("%s", problem)


async def _ask(places: Iterable[Place], services: Services) -> None:
    """Ask a gateway for its kernels; raises DashboardError if it does not answer."""
    if not isinstance(services.specs, specs.Remote) or services.specs.is_known:
        return
    try:
        await specs.asked(services.specs)
    except GatewayFailed as error:
        raise DashboardError(str(error)) from None
    announce(places, services)


async def _try_kernel(name: str, folder: Path, services: Services) -> str | None:
    """Return a sentence that says why a kernel does not start; None if it starts."""
    kernel = None
    try:
        async with asyncio.timeout(TRIAL):
            kernel = await Kernel.start(services, name, folder, ahead=False)
            await kernel.ready(lambda: TRIAL)
            await kernel.answer("shell")  # a kernel that is ended while it works writes a complaint
    except GatewayFailed as error:
        return f"The kernel {name} does not start. {error}"
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        return f"The kernel {name} does not start ({reason}). To see why: jupyter console --kernel {name}"
    finally:
        if kernel is not None:
            await kernel.close(busy=False)
    return None


def _kernels(places: Iterable[Place], services: Services) -> dict[str, Path]:
    """Return the kernels of the notebooks that can be run, each with the folder of one of them."""
    kernels, mapping = specs.installed(services.specs), services.options.voila.language_kernel_mapping
    found: dict[str, Path] = {}
    for _, place in places:
        for _, notebook in _notebooks(place):
            if name := specs.runnable(notebook, kernels, mapping):
                found.setdefault(name, notebook.parent)
    return found


def _notebooks(place: Path) -> Iterator[tuple[str, Path]]:
    """Yield the notebooks of a place by name."""
    if not place.is_dir():
        yield place.stem, place
        return
    for name in listing.names(place):
        if notebook := listing.find(place, name):
            yield name, notebook
