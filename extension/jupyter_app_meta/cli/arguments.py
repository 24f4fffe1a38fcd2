"""What the command line of ``jupyter app-meta serve`` names: options, a notebook or folder, files that are not read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from difflib import get_close_matches
from errno import EADDRINUSE
from pathlib import Path

from jupyter_core.application import base_aliases, base_flags
from traitlets.config import Config

from .. import secret_files
from ..dashboards.paths import SUFFIXES
from ..dashboards.setup.ports import authority
from ..errors import DashboardError
from . import logins
from .options import Refused, nearest

CONFIGURATION = ("jupyter_app_meta_config.py", "jupyter_app_meta_config.json", "voila.py", "voila.json")
"""Files that Jupyter reads from its configuration folders, or that Voila would read."""

ALIASES = {
    **base_aliases,
    "port": "Serve.port",
    "ip": "Serve.ip",
    "base-url": "Serve.base_url",
    "token": "Serve.token",
    "identity-provider": "Serve.identity_provider_class",
    "local-hostnames": "Serve.local_hostnames",
    "warm": "Serve.warm",
    "fork-spares": "Serve.fork_spares",
    "files": "Serve.files",
    "template": "VoilaConfiguration.template",
    "theme": "VoilaConfiguration.theme",
    "strip-sources": "VoilaConfiguration.strip_sources",
    "show-tracebacks": "VoilaConfiguration.show_tracebacks",
    **logins.ALIASES,
}
"""The short forms of options that take a value."""

FLAGS = {
    **base_flags,
    "hub": (
        {"Serve": {"hub": True, "open_browser": False}},
        "Run as a service of JupyterHub, which starts this command.",
    ),
    "fork": ({"Serve": {"fork": True}}, "Fork the kernel of each visitor from one that has run ahead (Linux)."),
    "no-fork": (
        {"Serve": {"fork": False}},
        "Fork no kernels. By default those of notebooks that are opened often are.",
    ),
    "dev": ({"Serve": {"dev": True}}, "Reload pages, show tracebacks, and look as another person."),
    "show-tracebacks": ({"VoilaConfiguration": {"show_tracebacks": True}}, "Show visitors the tracebacks of errors."),
    "log-json": ({"Serve": {"log_json": True}}, "Write the log as lines of JSON."),
    "no-browser": ({"Serve": {"open_browser": False}}, "Do not open a browser."),
    "token": ({"Serve": {"auto_token": True}}, "Generate a token and print it."),
}
"""The short forms that take no value."""

HELP = {"-h", "--help", "--help-all", "--version"}

KNOWN = {"Serve", "Server"}
"""Sections of a configuration that are not a misspelling of ours."""


def refuse_misspelt(given: Sequence[str]) -> None:
    """Raise Refused for an argument that is neither an option's full name nor one of the short forms."""
    known = {f"--{name}" if len(name) > 1 else f"-{name}" for name in (*ALIASES, *FLAGS)} | HELP
    for argument in given:
        if argument.startswith("-") and "." not in argument and argument.partition("=")[0] not in known:
            raise Refused(nearest(argument, known))


def refuse_unknown(config: Config, known: Collection[str]) -> None:
    """Raise DashboardError for unknown options. traitlets at most warns, and a misspelt rule would not be applied."""
    for section in get_close_matches("Serve", config.keys() - KNOWN, 1, 0.8):
        raise DashboardError(f"{section}: the configuration has no such section; did you mean 'Serve'?")
    for name in config.get("Serve", {}):
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else "`--help-all` lists the options."
            raise DashboardError(f"Serve.{name}: there is no such option; {hint}")


def place(given: Sequence[str]) -> Path:
    """Return the notebook or folder to serve, by default the current folder; raises DashboardError."""
    if len(given) > 1:
        raise DashboardError(f"Name one notebook or folder, not {len(given)}.")
    found = Path(given[0] if given else ".")
    if not found.is_dir() and not (found.is_file() and found.suffix in SUFFIXES):
        raise DashboardError(f"{found} is neither a notebook ({', '.join(SUFFIXES)}) nor a folder.")
    return found


def secret(option: str, file: str) -> str | None:
    """Return the content of a file with a secret, None if no file is named; raises DashboardError."""
    if not file:
        return None
    try:
        return secret_files.text(Path(file).expanduser())
    except (OSError, UnicodeDecodeError) as error:
        reason = secret_files.reason(error)
        raise DashboardError(f"Serve.{option}: {file} cannot be read ({reason}): name a file with a secret.") from error


def unread(place: Path, loaded: Iterable[str]) -> Iterator[Path]:
    """Yield the configuration files beside the notebooks, or in the current folder, that were not read."""
    read = {Path(path).resolve() for path in loaded}
    for folder in dict.fromkeys((place if place.is_dir() else place.parent, Path())):
        for name in CONFIGURATION:
            if (path := folder / name).is_file() and path.resolve() not in read:
                yield path


def with_token(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the arguments with the meaning of ``--token`` made plain: a token, the place or nothing may follow it."""
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument != "--token":
            yield argument
        elif rest and not rest[0].startswith("-") and not Path(rest[0]).exists():
            yield f"--token={rest.pop(0)}"
        else:
            yield "--Serve.auto_token=True"


def not_bound(ip: str, port: int, error: OSError) -> str:
    """Return why a server cannot listen, and which option helps."""
    hint = "choose another port (--port), or 0 for any free one" if error.errno == EADDRINUSE else "see --ip and --port"
    return f"Cannot listen on {authority(ip, port)} ({error.strerror or error}): {hint}."
