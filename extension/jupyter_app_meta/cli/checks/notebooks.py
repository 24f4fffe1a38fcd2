"""What ``serve`` would say about its configuration and about a notebook or folder. Nothing is started."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator

from traitlets import TraitError
from voila.configuration import VoilaConfiguration

from ...dashboards.builder import Builder
from ...dashboards.files.machine import Machine
from ...dashboards.gateway import trial
from ...dashboards.gateway.options import gateway_options
from ...dashboards.setup import checks, runtime
from ...dashboards.setup.managers import looks_of
from ...errors import AppMetaError
from ...server.gateway.client import GatewayFailed
from ..serve import Serve
from .configuration import quiet, said


def problems(place: str | None, config: str | None, options: list[str]) -> Iterator[str]:
    """Yield why this cannot be served, or else a sentence for each notebook that no visitor could see."""
    with tempfile.TemporaryDirectory(dir=runtime.parent()) as empty, quiet() as records:
        try:
            builder = builder_of(place or empty, config, options)
            builder.check()
            voila = looks_of(builder.config)
            machine = _machine(builder, voila)
        except (AppMetaError, GatewayFailed) as error:
            found = [str(error)]
        except (TraitError, SystemExit) as error:
            found = [said(error, records)]
        else:
            places = [(mount.route, mount.place) for mount in builder.mounts]
            found = list(checks.warnings(places, machine))
    yield from found


def _machine(builder: Builder, voila: VoilaConfiguration) -> Machine:
    """Return the kernels, this machine's or those of the gateway, and the options for templates."""
    if (gateway := gateway_options(builder.config)) is None:
        manager = voila.kernel_spec_manager_class(config=builder.config)
        return Machine.of(manager, voila, builder.config)
    languages = {name: str(spec.get("language", "")).lower() for name, spec in trial.kernels(gateway).items()}
    return Machine(languages, {}, voila, builder.config)


def builder_of(place: str, config: str | None, options: list[str]) -> Builder:
    """Return the builder that ``serve`` would use; raises the same errors as ``serve``."""
    app = Serve(log=logging.getLogger(__name__))
    app.initialize([place, *([f"--config={config}"] if config else []), *options])
    return app.builder()
