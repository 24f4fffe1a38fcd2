"""The parts of a server: its managers, its stamping context and its identity provider."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import zmq.asyncio
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server.auth.identity import IdentityProvider, PasswordIdentityProvider
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from traitlets import TraitError
from traitlets.config import Application, Config
from voila.configuration import VoilaConfiguration

from ... import frame
from ...errors import DashboardError
from ...model import HTTPRequest
from ...providers.base import VisitorProvider
from ...server.app import AppMetaExtension
from ...server.context import StampingContext
from ...server.gateway.client import Gateway
from ...server.links.granting import Places
from ...server.links.kept import Kept
from ...server.messages.incoming import ACCEPTED
from ...server.reports import ears, logs
from ...server.reports.incidents import Incidents
from .. import hooks
from ..commands.allowed import Allowed
from ..commands.service import PageCommands
from ..files import looks
from ..gateway.options import gateway_options
from ..gateway.orphans import Orphans
from ..gateway.provisioner import behind
from ..gateway.specs import GatewaySpecs
from ..load.limits import Limits
from ..load.occupancy import Occupancy
from ..mounts import Mount
from ..peers import Peers
from ..runs.kept import Kernels
from ..services import Options, Services, Tasks
from ..visits import Visits
from .runtime import LONGEST
from .served import served

ALLOWED = tuple(sorted(ACCEPTED["shell"]))
"""The types of messages that a visitor's browser may send to a kernel, on any channel."""

OF_EDITORS = ("@jupyter-notebook/lab-extension", "jupyterlab-jupytext")
"""Extensions of editors that come with packages which servers have. On pages they fail and write to the console."""

RECONNECT = 20
"""Milliseconds between two attempts to reach a kernel that is starting. Visitors would notice ZeroMQ's default, 100."""


_silent = logging.getLogger(f"{__name__}.silent")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


class Base(NamedTuple):
    """The base URL of a server, and the one with which its pages are rendered, if that is another one."""

    url: str
    of_pages: str = ""


def services(
    config: Config,
    log: logging.Logger,
    base: Base,
    folder: Path,
    secret: bytes,
    limits: Limits,
    peers: Peers,
    realm: str,
    allowed: Allowed,
) -> Services:
    """Return what all dashboards of one server share; connection files are in ``folder``.

    ``realm`` is what tells the users of the server's identity provider from those of another. ``allowed`` is what
    notebooks may do to pages.
    """
    extension = AppMetaExtension(config=config, log=log)
    check(extension)
    logs.guard(log, Application.instance().log if Application.initialized() else None)
    hook = extension.meta()  # a wrong option is refused before anything is opened
    options = Options(config, base.url, looks_of(config), limits.found(), hook, base.of_pages)
    visits = Visits()
    specs = _specs(options, folder, log)
    kernels = _kernels(options, specs, visits, folder, peers, extension.state_timeout, log)
    sockets = zmq.asyncio.Context()
    sockets.setsockopt(zmq.RECONNECT_IVL, RECONNECT)
    for context in (sockets, kernels.context):
        context.setsockopt(zmq.RCVHWM, 0)  # beyond a limit, ZeroMQ would silently drop what kernels publish
    incidents = Incidents(log, shows=options.voila.show_tracebacks)
    ears.listen(kernels, incidents)
    peers.keep(
        extension,
        Places(extension.state_deployment or base.url, extension.state_realm or realm),
        secret,
        kernels,
        visits.tab,
        PageCommands(visits, allowed),
    )
    return Services(
        options=options,
        log=log,
        kernels=kernels,
        peers=peers,
        context=_context(extension, kernels, visits, secret, peers.state),
        visits=visits,
        sockets=sockets,
        incidents=incidents,
        occupancy=Occupancy(options.limits, visits, log),
        tasks=Tasks(log),
    )


def peers(config: Config, tag: str, log: logging.Logger, base_url: str, mounts: Iterable[Mount]) -> Peers:
    """Return the store that a server shares, with its name ``tag`` in it; raises what ``Peers.open`` does."""
    extension = AppMetaExtension(config=config, log=log)
    extension.refuse_unknown_options()
    return Peers.open(extension, tag, served(extension, base_url, mounts))


def _specs(options: Options, folder: Path, log: logging.Logger) -> KernelSpecManager:
    """Return the manager of kernelspecs: this machine's, or those of the gateway that kernels run behind."""
    if (found := gateway_options(options.config, log)) is None:
        local: KernelSpecManager = options.voila.kernel_spec_manager_class(config=options.config, log=log)
        return local
    gateway = Gateway(found, log)
    return GatewaySpecs(gateway, Orphans(gateway, folder), config=options.config, log=log)


def _kernels(
    options: Options,
    specs: KernelSpecManager,
    visits: Visits,
    folder: Path,
    peers: Peers,
    patience: float,
    log: logging.Logger,
) -> Kernels:
    """Return the manager of kernels, whose connection files are in ``folder``. ``patience`` is ``state_timeout``."""
    kernels = Kernels(
        visits,
        peers.new_kernel_id,
        config=_kernels_config(options.config, folder),
        log=log,
        connection_dir=str(folder),
        kernel_spec_manager=specs,
        allowed_message_types=list(ALLOWED),
        allow_tracebacks=options.voila.show_tracebacks,
    )
    if isinstance(specs, GatewaySpecs):
        far, make = partial(behind, specs.gateway, specs.orphans, patience), kernels.kernel_manager_factory
        kernels.kernel_manager_factory = lambda *given, **named: far(make(*given, **named))
    return kernels


def check_config(config: Config, log: logging.Logger) -> AppMetaExtension:
    """Return the options of ``AppMetaExtension``; raises for an option that ``services`` would refuse."""
    extension = AppMetaExtension(config=config, log=log)
    check(extension)
    extension.meta()
    extension.refuse_unknown_options()
    extension.policy()
    looks_of(config)
    return extension


def check(extension: AppMetaExtension) -> None:
    """Raise DashboardError if any client could write the header that names visitors."""
    if extension.user_header and not extension.trusted_proxies:
        raise DashboardError(
            "AppMetaExtension.user_header names visitors, so it needs AppMetaExtension.trusted_proxies: the networks "
            "of the proxies that set it, such as ['10.0.0.0/8']."
        )


def looks_of(config: Config) -> VoilaConfiguration:
    """Return Voila's options for pages; raises DashboardError for a template or theme that is not installed."""
    voila = VoilaConfiguration(config=_voila_config(config))
    looks.check(voila)
    return voila


def _voila_config(config: Config) -> Config:
    """Return Voila's configuration with our own defaults, which leave ``?theme=`` and ``?template=`` to the author."""
    own = config.get("VoilaConfiguration", {})
    defaults = {
        "template": frame.NAME,
        **({"theme": looks.AUTO} if own.get("template", frame.NAME) == frame.NAME else {}),
        "allow_theme_override": "NOTEBOOK",
        "allow_template_override": "NOTEBOOK",
        "extension_denylist": [*OF_EDITORS],
    }
    return Config({"VoilaConfiguration": {**defaults, **own}})


def _kernels_config(config: Config, folder: Path) -> Config:
    """Return the configuration of kernels. They open no port. A crashed kernel stays dead, like its page."""
    own = dict(config.get("KernelManager", {}))
    if os.name == "posix" and len(str(folder)) < LONGEST:
        own.setdefault("transport", "ipc")
    changed = Config(config)
    changed["KernelManager"] = Config({**own, "autorestart": False})
    return changed


def _context(
    extension: AppMetaExtension,
    kernels: AsyncMappingKernelManager,
    visits: Visits,
    secret: bytes,
    kept: Kept | None,
) -> StampingContext:
    extension.refuse_unknown_options()
    extension.announce()

    async def meta(kernel_id: str, request: HTTPRequest) -> Mapping[str, Any]:
        visit = visits.get(kernel_id)
        return await hooks.meta_of(visit.settings.meta if visit else None, request, extension.log)

    def exists(kernel_id: str) -> bool:  # a fork has its visit before it is one of the manager's kernels
        return kernel_id in kernels or visits.get(kernel_id) is not None

    grants = kept.grants if kept else None
    context = extension.stamping_context(exists, secret, meta=meta, grants=grants)
    if kept and context.audit:
        kept.service.forgotten = context.audit.forgot
    return context


def provider(
    given: IdentityProvider | type[IdentityProvider] | None, token: str | None, config: Config, log: logging.Logger
) -> IdentityProvider:
    """Return the identity provider: the deployer's, one with a token, or one that admits every visitor."""
    if isinstance(given, IdentityProvider):
        return given
    options: dict[str, Any] = {} if token is None else {"token": token}
    if given is None and token is None and not has_secret(config):
        options["token"] = ""  # by default a dashboard server admits every visitor
    made = (given or PasswordIdentityProvider)(config=config, log=log, **options)
    if made.has_trait("allow_password_change"):
        made.set_trait("allow_password_change", False)  # a new password would be written into a configuration file
    return made


def check_provider(given: object, config: Config) -> None:
    """Raise DashboardError if one of our identity providers cannot be made with this configuration."""
    if not isinstance(given, type) or not issubclass(given, VisitorProvider):
        return
    try:
        given(config=config, log=_silent)
    except TraitError as error:
        raise DashboardError(str(error)) from error


def has_secret(config: Config) -> bool:
    """Whether the configuration, or the environment, has a token or password."""
    sections = (config.get(name, {}) for name in ("IdentityProvider", "PasswordIdentityProvider"))
    named = any(section.get("token") or section.get("hashed_password") for section in sections)
    return named or any(os.environ.get(name) for name in ("JUPYTER_TOKEN", "JUPYTER_TOKEN_FILE"))
