"""Which options of a configuration have an effect on a dashboard server. An option without effect is refused by name.

1. A section is read if one of our classes, or a class of jupyter_server, of Voila or of the deployer, has that name.
2. An option that is read has an effect, or is in ``REFUSED`` with what to use instead.
3. The default value of an option is accepted, because it asks for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.provisioning.factory import KernelProvisionerFactory
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from jupyter_client.session import Session
from jupyter_events import EventLogger
from jupyter_server.auth.authorizer import AllowAllAuthorizer
from jupyter_server.auth.identity import PasswordIdentityProvider
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager, ServerKernelManager
from nbconvert import preprocessors
from traitlets import TraitError, TraitType
from traitlets.config import Config, Configurable
from traitlets.config.loader import DeferredConfig, LazyConfigValue
from traitlets.utils.importstring import import_item
from voila.configuration import VoilaConfiguration
from voila.execute import VoilaExecutor
from voila.exporter import VoilaExporter

from ...errors import DashboardError
from ...server.app import OPTIONS, AppMetaExtension
from ..gateway.options import gateway_options

OWN = ("Serve", "JupyterApp", "Application")
"""Sections of the command itself, which checks them."""

_NOTEBOOK = "it is for whole notebooks, but here notebooks run cell by cell"
_KERNEL = "each notebook names its kernel, and Serve.warm starts kernels ahead"
_DIED = "a kernel that has died is not started again: its page is loaded again"
_START = "arguments of a kernel belong in its kernelspec"

REFUSED: dict[type[Configurable], dict[str, str]] = {
    VoilaConfiguration: {
        "attempt_fix_notebook": "a notebook never runs on a kernel other than its own",
        "classic_tree": "leave it out: this server has its own index page",
        "default_pool_size": "use warm",
        "extension_language_mapping": "leave it out: .ipynb, .py and .md files are served",
        "file_blacklist": "use VoilaConfiguration.file_denylist",
        "file_whitelist": "use VoilaConfiguration.file_allowlist",
        "http_header_envs": "use AppMetaExtension.headers_allow; cells read app_meta().request.headers",
        "multi_kernel_manager_class": "leave it out: it is the class of Voila's own command",
        "preheat_kernel": "use warm",
        "prelaunch_hook": "use authorize",
        "progressive_rendering": "use warm; pages are sent piece by piece in any case",
    },
    VoilaExecutor: {
        "cell_error_instruction": "use on_error, or VoilaConfiguration.show_tracebacks",
        "display_data_priority": "the template chooses what is shown",
        "extra_arguments": _START,
        "ipython_hist_file": _START,
        "kernel_manager_class": "use MultiKernelManager.kernel_manager_class",
        "kernel_name": _KERNEL,
        **dict.fromkeys(("on_notebook_complete", "on_notebook_error", "on_notebook_start"), _NOTEBOOK),
        "show_tracebacks": "use VoilaConfiguration.show_tracebacks",
        "shutdown_kernel": "a kernel ends with its page",
        "store_widget_state": _NOTEBOOK,
        "timeout_func": "use VoilaExecutor.timeout",
    },
    AsyncMappingKernelManager: {
        "allow_tracebacks": "use VoilaConfiguration.show_tracebacks",
        "allowed_message_types": "visitors may send only messages of widgets",
        "default_kernel_name": _KERNEL,
        "root_dir": "kernels run in the folder of their notebook",
        "shared_context": "all kernels share one context",
        "use_pending_kernels": "a page waits for its kernel",
    },
    GatewayClient: {"kernelspecs_resource_endpoint": "pages show no pictures of kernels"},
    PasswordIdentityProvider: {
        "allow_password_change": "visitors cannot change the password; set PasswordIdentityProvider.hashed_password",
        "updatable_fields": "visitors cannot change who they are",
    },
    AppMetaExtension: dict.fromkeys(
        set(AppMetaExtension.class_trait_names(config=True)) - set(OPTIONS), "it belongs to a Jupyter server"
    ),
}
"""Options without effect, and what to do instead."""

ELSEWHERE = {
    "ExecutePreprocessor": "use VoilaExecutor",
    "KernelRestarter": _DIED,
    "IOLoopKernelRestarter": _DIED,
    "AsyncIOLoopKernelRestarter": _DIED,
    "ServerApp": "it is for `jupyter server`",
    "Voila": "it is for Voila's own command",
    "VoilaServerExtension": "it is for `jupyter server`",
    "Server": "did you mean Serve?",
}
"""Sections without effect, and what to do instead."""

SERVE = (
    *("port", "ip", "base_url", "open_browser", "token", "allow_origin", "allow_origin_pat", "port_retries"),
    *("cookie_secret", "cookie_secret_file", "identity_provider_class", "trust_xheaders"),
)
"""Options of jupyter_server and Voila that ``Serve`` has under the same name."""

ONLY: dict[tuple[type[Configurable], str], tuple[object, ...]] = {
    (VoilaConfiguration, "allow_theme_override"): ("NOTEBOOK", "NO"),
    (VoilaConfiguration, "allow_template_override"): ("NOTEBOOK", "NO"),
    (ServerKernelManager, "autorestart"): (False,),
}
"""Options of which only some values have an effect, and those values."""

FOREIGN = (
    *("IPython", "ipykernel", "jupyter_app_meta", "jupyter_client", "jupyter_core", "jupyter_events", "jupyter_server"),
    *("jupyterlab", "jupyterlab_server", "nbclient", "nbconvert", "nbformat", "notebook", "notebook_shim"),
    *("traitlets", "voila"),
)
"""Packages whose classes are known. Any other configurable class is the deployer's own."""


def check(config: Config, provider: object = None) -> None:
    """Raise DashboardError for the first option that would have no effect, or does not exist."""
    gateway_options(config)
    sections = read(provider, config)
    for name, given in config.items():
        if name in OWN or not isinstance(given, Mapping):
            continue
        if name not in sections:
            _refuse_section(name, given, sections)
            continue
        for option, value in given.items():
            _check_option(name, option, value, sections[name])
    _check_password(config, provider)


def read(provider: object, config: Config) -> dict[str, list[type[Configurable]]]:
    """Return the sections that are read, each with the classes that read it."""
    _import_classes(config)
    kind = provider if isinstance(provider, type) else type(provider) if provider else PasswordIdentityProvider
    parts: list[type[Any]] = [
        *(AppMetaExtension, kind, AllowAllAuthorizer, AsyncMappingKernelManager, KernelSpecManager),
        *(ServerKernelManager, AsyncKernelClient, Session, KernelProvisionerFactory, LocalProvisioner),
        *(VoilaConfiguration, VoilaExecutor, VoilaExporter, ZMQChannelsWebsocketConnection, EventLogger, GatewayClient),
        *(cls for cls in vars(preprocessors).values() if isinstance(cls, type) and cls.__name__ not in ELSEWHERE),
        *_own(Configurable),
    ]
    found: dict[str, list[type[Configurable]]] = {}
    for part in parts:
        for cls in part.__mro__:
            if issubclass(cls, Configurable) and cls.class_trait_names(config=True):
                found.setdefault(cls.__name__, []).append(part)
    return {name: classes for name, classes in found.items() if name not in (*OWN, *ELSEWHERE)}


def _import_classes(config: Config) -> None:
    """Import the deployer's classes that options name, so that their sections are known."""
    for section in config.values():
        for option, value in section.items() if isinstance(section, Mapping) else ():
            if option.endswith("_class") and isinstance(value, str):
                with suppress(Exception):  # the check of its option says later what is wrong
                    import_item(value)


def _own(cls: type[Configurable]) -> Iterator[type[Configurable]]:
    """Yield the bases that come from the deployer's own modules, which may read any option."""
    for below in cls.__subclasses__():
        if below.__module__.partition(".")[0] not in FOREIGN:
            yield below
        yield from _own(below)


def _refuse_section(name: str, given: Mapping[str, Any], sections: Iterable[str]) -> None:
    option = next(iter(given), "")
    where = f"{name}.{option}" if option else name
    if name in ("ServerApp", "Voila") and option in SERVE:
        raise DashboardError(f"{where} has no effect here: use Serve.{option}.")
    if name in ELSEWHERE:
        raise DashboardError(f"{where} has no effect here: {ELSEWHERE[name]}.")
    near = get_close_matches(name, (*sections, *OWN), 1, 0.7)
    hint = f"did you mean {near[0]}?" if near else "leave it out."
    raise DashboardError(f"{where}: this command reads no such section; {hint}")


def _check_option(section: str, option: str, value: object, classes: list[type[Configurable]]) -> None:
    trait = next((cls.class_traits(config=True).get(option) for cls in classes if _has(cls, section, option)), None)
    if trait is None:
        names = {name for cls in classes for name in cls.class_trait_names(config=True)}
        near = get_close_matches(option, names, 1)
        hint = f"did you mean {near[0]!r}?" if near else "`--help-all` lists the options."
        raise DashboardError(f"{section}.{option}: there is no such option; {hint}")
    told = [REFUSED.get(cls, {}).get(option) or _refused_of_bases(cls, option) for cls in classes]
    if all(told) and not _is_default(trait, value):
        raise DashboardError(f"{section}.{option} has no effect here: {told[0]}.")
    allowed = next((ONLY[cls, option] for cls in classes if (cls, option) in ONLY), None)
    if allowed and _valued(trait, value) not in allowed:
        expected = " or ".join(map(repr, allowed))
        raise DashboardError(f"{section}.{option} must be {expected} here: another value has no effect.")


def _has(cls: type[Configurable], section: str, option: str) -> bool:
    """Whether this class reads the option: it is the class that the section is named after, or a subclass of it."""
    named = next(base for base in cls.__mro__ if base.__name__ == section)
    return issubclass(named, Configurable) and option in named.class_trait_names(config=True)


def _refused_of_bases(cls: type[Configurable], option: str) -> str | None:
    return next((REFUSED[base][option] for base in cls.__mro__ if option in REFUSED.get(base, {})), None)


def _is_default(trait: TraitType[Any, Any], value: object) -> bool:
    return bool(_valued(trait, value) == trait.default())


def _valued(trait: TraitType[Any, Any], value: object) -> object:
    """Return the value that a text of the command line means; return any other value unchanged."""
    if isinstance(value, LazyConfigValue):
        return value.get_value(trait.default())
    try:
        return value.get_value(trait) if isinstance(value, DeferredConfig) else value
    except (TraitError, ValueError):
        return value  # its class refuses it with a better message


def _check_password(config: Config, provider: object) -> None:
    """Refuse to start if a password is required and missing, because every visitor would be admitted."""
    found = config.get("PasswordIdentityProvider", {})
    if provider is None and found.get("password_required") and not found.get("hashed_password"):
        raise DashboardError(
            "PasswordIdentityProvider.password_required needs a password: set PasswordIdentityProvider.hashed_password."
        )
