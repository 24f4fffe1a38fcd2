"""The configuration that ``jupyter server`` would load, read by the same code. Nothing is started.

The output of jupyter_server and of other extensions is held back, because it may contain secrets.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_server.extension.config import ExtensionConfigManager
from jupyter_server.extension.manager import ExtensionPackage
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.serverapp import ServerApp
from traitlets import TraitError, Type
from traitlets.config import Application, Configurable

from ...errors import PolicyError
from ...server.app import AppMetaExtension
from ..options import Refused, nearest

PACKAGE = "jupyter_app_meta"

_trait = re.compile(r"'(\w+)' trait of an? (\w+) instance")


@dataclass(frozen=True, slots=True)
class Configuration:
    """A server that is configured, but not started.

    ``extension`` is our own, linked by the server. It is None if it is not enabled, or if it refuses its options; then
    each sentence in ``problems`` says why.
    """

    app: ServerApp
    extension: AppMetaExtension | None = None
    problems: list[str] = field(default_factory=list)


def read(config: str | None, options: list[str]) -> Configuration:
    """Return what these options of ``jupyter server`` configure; raises Refused for an unknown one."""
    if config is not None and not Path(config).is_file():
        raise Refused(f"there is no configuration file {config}.")
    with quiet() as records:
        app = ServerApp()
        refuse_unknown_flags(app, options)
        problems = _load(app, ([f"--config={config}"] if config else []) + options, records)
        extension = _linked(app, records, problems)
        app.gateway_config = GatewayClient(parent=app)
        _refuse_unknown_traits(app, options)
        return Configuration(app, extension, [*problems, *dict.fromkeys(_unread(records))])


def _load(app: ServerApp, argv: list[str], records: list[logging.LogRecord]) -> list[str]:
    """Parse the options and load the files, like ``ServerApp.initialize``. Options win over files."""
    problems: list[str] = []
    try:
        Application.parse_command_line(app, argv)
        if app.extra_args:
            raise Refused(nearest(app.extra_args[0], ()))
        given = deepcopy(app.config)
        app.load_config_file()
        app.update_config(given)
        app.find_server_extensions()
    except Refused:
        raise
    except (Exception, SystemExit) as error:
        problems.append(said(error, records))
    return problems


def _linked(app: ServerApp, records: list[logging.LogRecord], problems: list[str]) -> AppMetaExtension | None:
    """Return our extension. All other extensions are linked too, so that their files are read as well."""
    if problems or not app.jpserver_extensions.get(PACKAGE):
        return None
    try:
        app.init_event_logger()
        app.init_server_extensions()
        package = app.extension_manager.extensions.get(PACKAGE) or ExtensionPackage(name=PACKAGE, enabled=True)
        package.link_all_points(app)
        extension: AppMetaExtension = next(iter(package.extension_points.values())).app
        return extension
    except (Exception, SystemExit) as error:
        problems.append(said(error, records))
        return None


def said(error: BaseException, records: list[logging.LogRecord]) -> str:
    """Return what is wrong. It names the value only of our own options, because others may hold secrets."""
    for cause in (error, error.__cause__, *(arg for record in records for arg in record.args or ())):
        if isinstance(cause, PolicyError):
            return str(cause)
        if isinstance(cause, TraitError) and (named := _trait.search(str(cause))):
            trait, owner = named.groups()
            ours = owner == AppMetaExtension.__name__
            return str(cause) if ours else f"{owner}.{trait} has a value that the server refuses."
    return f"the server cannot be configured ({type(error).__name__}); `jupyter server` says why."


def _unread(records: list[logging.LogRecord]) -> Iterator[str]:
    """Yield a sentence for each configuration file that jupyter_server cannot read and goes on without."""
    for record in records:
        if str(record.msg).startswith("Exception while loading config file") and record.args and record.exc_info:
            kind, error, _ = record.exc_info
            line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
            name = kind.__name__ if kind else "error"
            yield f"{record.args[0]!s} cannot be read to its end ({name}{line}): the server starts without the rest."  # type: ignore[index]  # a tuple here


def refuse_unknown_flags(app: ServerApp, options: list[str]) -> None:
    """Raise Refused for an option that is neither a trait nor an alias or flag of the server."""
    names = [name for key in (*app.aliases, *app.flags) for name in ((key,) if isinstance(key, str) else key)]
    known = [f"--{name}" if len(name) > 1 else f"-{name}" for name in names]
    for option in options:
        name = option.partition("=")[0]
        if option.startswith("-") and "." not in name and name not in known:
            raise Refused(nearest(option, [*known, "--config", "--json"]))


def _refuse_unknown_traits(app: ServerApp, options: list[str]) -> None:
    known = {f"--{cls.__name__}.{name}" for cls in _classes(app) for name in cls.class_trait_names(config=True)}
    for option in options:
        name = option.partition("=")[0]
        if name.startswith("--") and "." in name and name not in known:
            raise Refused(nearest(option, known))


def _classes(app: ServerApp) -> set[Any]:
    """Return every class that the server or one of its extensions configures, with its bases."""
    manager = getattr(app, "extension_manager", None)
    extensions = [app for apps in manager.extension_apps.values() for app in apps] if manager else []
    parts = [getattr(app, name) for name, trait in app.traits(config=True).items() if isinstance(trait, Type)]
    listed = {AppMetaExtension, ServerApp, *parts, *app.classes}
    listed |= {cls for extension in extensions for cls in (type(extension), *extension.classes)}
    return {base for cls in listed for base in cls.__mro__ if issubclass(base, Configurable)}


def enabled_in(app: ServerApp) -> tuple[bool, str]:
    """Return whether the server half is enabled, and by which configuration."""
    enabled = bool(app.jpserver_extensions.get(PACKAGE))
    for folder in app.config_file_paths:
        said = ExtensionConfigManager(read_config_path=[folder]).get_jpserver_extensions()
        if PACKAGE in said:
            same = bool(said[PACKAGE]) == enabled
            return enabled, folder if same else "ServerApp.jpserver_extensions"
    return enabled, "ServerApp.jpserver_extensions" if PACKAGE in app.jpserver_extensions else ""


def kernel_specs(app: ServerApp) -> dict[str, dict[str, Any]] | None:
    """Return the kernelspecs that the server would offer; None if they are on a gateway."""
    with quiet():
        if app.gateway_config.gateway_enabled:
            return None
        specs: dict[str, dict[str, Any]] = app.kernel_spec_manager_class(parent=app).get_all_specs()
    return {name: found["spec"] for name, found in sorted(specs.items())}


def authenticates(app: ServerApp) -> bool | None:
    """Whether the server authenticates visitors; None if that cannot be known here."""
    with quiet():
        try:
            return bool(app.identity_provider_class(parent=app).auth_enabled)
        except Exception:
            return None


@contextmanager
def quiet() -> Iterator[list[logging.LogRecord]]:
    """Hold back printed text, warnings and log lines; yield the log's records."""
    records: list[logging.LogRecord] = []
    factory = logging.getLogRecordFactory()

    def keep(*args: Any, **kwargs: Any) -> logging.LogRecord:
        records.append(record := factory(*args, **kwargs))
        return record

    # A handler would not do: Jupyter's applications detach their loggers from the root and replace their handlers.
    logging.setLogRecordFactory(keep)
    nowhere = io.StringIO()  # it must stay open, because log handlers that are made in the meantime keep it
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stdout(nowhere), redirect_stderr(nowhere):
            yield records
    finally:
        logging.setLogRecordFactory(factory)
