"""What ``serve`` would say of a notebook or a folder of them; nothing is started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager

from ..dashboards import checks, specs
from ..dashboards.routes import SUFFIX, Route


def problems(place: Path) -> Iterator[str]:
    """Yield a sentence for each notebook that no visitor could see, and for a place that cannot be served."""
    if not place.is_dir() and not (place.is_file() and place.suffix == SUFFIX):
        yield f"{place} must be a notebook ({SUFFIX}) or a folder."
        return
    yield from checks.warnings([(Route.of("/"), place)], specs.installed(KernelSpecManager()), {})
