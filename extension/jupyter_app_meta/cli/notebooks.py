"""What ``serve`` would say about its configuration and about a notebook or folder. Nothing is started."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator

from traitlets import TraitError

from ..dashboards.builder import Builder
from ..dashboards.files import specs
from ..dashboards.setup import checks, runtime
from ..dashboards.setup.managers import looks_of
from ..errors import AppMetaError
from .configuration import quiet, said
from .serve import Serve


def problems(place: str | None, config: str | None, options: list[str]) -> Iterator[str]:
    """Yield why this cannot be served, or else a sentence for each notebook that no visitor could see."""
    with tempfile.TemporaryDirectory(dir=runtime.parent()) as empty, quiet() as records:
        try:
            builder = builder_of(place or empty, config, options)
            builder.check()
            voila = looks_of(builder.config)
        except (AppMetaError, TraitError, SystemExit) as error:
            found = [str(error) if isinstance(error, AppMetaError) else said(error, records)]
        else:
            kernels = specs.installed(voila.kernel_spec_manager_class(config=builder.config))
            places = [(mount.route, mount.place) for mount in builder.mounts]
            found = list(checks.warnings(places, kernels, voila.language_kernel_mapping))
    yield from found


def builder_of(place: str, config: str | None, options: list[str]) -> Builder:
    """Return the builder that ``serve`` would use; raises the same errors as ``serve``."""
    app = Serve(log=logging.getLogger(__name__))
    app.initialize([place, *([f"--config={config}"] if config else []), *options])
    return app.builder()
