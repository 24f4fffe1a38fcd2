"""``jupyter app-meta check``: what a server forwards, and what is wrong or risky about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Address

from .. import requirements
from ..errors import PolicyError, RequirementMissing
from ..policy import USER_FIELDS, Policy, RawRequest, openings
from .checks import kernels
from .checks.report import Report, Row, Status

if TYPE_CHECKING:
    from ..server.app import AppMetaExtension
    from ..state.stores.legible import Count
    from .checks.configuration import Configuration

WITHHELD = "all but those that look like credentials"
SERVED = ("Serve", "VoilaConfiguration", "VoilaExecutor", "NotebookClient")
"""Sections that ``serve`` reads and ``jupyter server`` does not."""

FAULTS = ("AppMetaExtension.user_header is ignored", "Session.key is empty")
WIDEST = 7  # fc00::/7 is the widest private network
REMEDIES = {
    "enable": "`jupyter server extension enable jupyter_app_meta` enables it.",
    "kernel": "`jupyter app-meta kernelspec install --sys-prefix` registers one.",
    "token": "Set IdentityProvider.token, a password, or an identity provider.",
}


def report(config: str | None, options: list[str], notebooks: str | None = None) -> Report:
    """Return the report on what this file and these options of ``jupyter server`` configure.

    ``notebooks`` is a notebook or folder that ``jupyter app-meta serve`` would serve.
    """
    try:
        from .checks import configuration
    except ImportError as error:
        missing = Row(Status.FAULT, "server half", f"jupyter_server 2.18 or newer is needed here: {error}.")
        return Report((missing, *_kernel_rows(kernels.local())))
    own, options = _divided(options)
    configured = configuration.read(config, options)
    rows = [*_server_half(configured)]
    specs = configuration.kernel_specs(configured.app)
    rows += kernels.at_gateway(configured.app.gateway_config) if specs is None else _kernel_rows(specs)
    if configured.extension is not None:
        rows += [*_forwarded(configured.extension), *_risks(configured.extension), *_state(configured.extension)]
    rows += [*_server_risks(configured), *_files_read(configured)]
    wanted = bool(own or notebooks or (configured.extension and _says(configured.extension.config)))
    own += [option for option in options if option.startswith("--GatewayClient.")]
    return Report((*rows, *_dashboard_rows(notebooks, config, own, configured.extension, wanted=wanted)))


def _divided(options: list[str]) -> tuple[list[str], list[str]]:
    """Return the options of ``serve``, and those of ``jupyter server``."""
    from . import logins

    own, rest = logins.taken(options)
    own += [option for option in rest if option.startswith(tuple(f"--{section}." for section in SERVED))]
    return own, [option for option in rest if option not in own]


def _says(config: Mapping[str, Any]) -> bool:
    from . import logins

    return any(section in config for section in (*SERVED, *logins.SECTIONS))


def _files_read(configured: Configuration) -> Iterator[Row]:
    own = getattr(configured.extension, "loaded_config_files", [])
    files = dict.fromkeys([*configured.app.loaded_config_files, *own])
    yield Row(Status.INFO, "configuration read", ", ".join(map(str, files)) or "none")


def _dashboard_rows(
    place: str | None, config: str | None, options: list[str], extension: AppMetaExtension | None, *, wanted: bool
) -> Iterator[Row]:
    """Yield what would keep ``serve`` from serving, and which notebooks of a place could not be opened."""
    faults = list(requirements.problems())
    for problem in faults:
        is_idle = problem.is_missing and not wanted
        yield Row(Status.INFO if is_idle else Status.FAULT, "dashboards", problem.sentence)
    if faults or not wanted:
        return
    from .checks import folders, notebooks

    places = list(folders.rows(place, config, options, extension))
    yield from places
    if len(places) == 1 and places[0].status is Status.FAULT:  # there is no folder at all
        return
    subject = "notebooks" if place else "dashboards"
    problems = list(notebooks.problems(place, config, options))
    yield from (Row(Status.FAULT, subject, problem) for problem in problems)
    if not problems:
        yield Row(Status.OK, subject, f"{place} can be served." if place else "this configuration can be served.")


def _server_half(configured: Configuration) -> Iterator[Row]:
    from .checks.configuration import enabled_in

    yield from (Row(Status.FAULT, "configuration", problem) for problem in configured.problems)
    enabled, where = enabled_in(configured.app)
    if configured.extension is not None:
        yield Row(Status.OK, "server half", f"enabled by {where}")
    elif not enabled and not configured.problems:
        state = f"disabled by {where}" if where else "not enabled"
        yield Row(Status.FAULT, "server half", f"{state}: kernels get no requests. {REMEDIES['enable']}")


def _kernel_rows(specs: dict[str, dict[str, Any]]) -> Iterator[Row]:
    found = [kernels.judge(name, spec) for name, spec in specs.items()]
    yield from (row for row, _ in found)
    if not any(aware for _, aware in found):
        yield Row(Status.FAULT, "kernels", f"none is request-aware by itself. {REMEDIES['kernel']}")


def _forwarded(extension: AppMetaExtension) -> Iterator[Row]:
    """Yield what the policy lets through, in the policy's own words."""
    policy = extension.policy()
    yield _forwards("user", ", ".join(name for name in USER_FIELDS if name in policy.user_fields))
    for kind in openings.KINDS:
        yield _forwards(kind, ", ".join(openings.opened(policy, kind)))
    yield _forwards("query", ", ".join([WITHHELD, *sorted(policy.unsafe_query)]))
    yield _forwards("client address", "yes" if _tells_address(policy) else "no")
    yield Row(Status.INFO, "options set", _options_set(extension) or "none")


def _forwards(what: str, text: str) -> Row:
    return Row(Status.INFO, f"forwards {what}", text)


def _tells_address(policy: Policy) -> bool:
    visitor = RawRequest("GET", "http://localhost/", "http://localhost/", client=Address("127.0.0.1", 1))
    return "client" not in policy.request(visitor).redacted


def _options_set(extension: AppMetaExtension) -> str:
    from ..server.app import OPTIONS

    traits = extension.traits(config=True)
    own = {name: trait for name, trait in traits.items() if name in OPTIONS}
    values = {name: getattr(extension, name) for name, trait in own.items()}
    changed = {name: value for name, value in values.items() if value != own[name].default(extension)}
    return "; ".join(f"{name} = {_plain(value)}" for name, value in changed.items())


def _plain(value: object) -> str:
    if callable(value):
        return str(getattr(value, "__qualname__", type(value).__name__))
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _risks(extension: AppMetaExtension) -> Iterator[Row]:
    """Yield the risks in our own options. Each of the extension's sentences begins with the option's name."""
    for sentence in extension.warnings():
        option = sentence.partition(" ")[0]
        yield Row(Status.FAULT if sentence.startswith(FAULTS) else Status.RISK, _short(option), sentence)
    for option in ("unsafe_headers", "unsafe_cookies", "unsafe_query"):
        if names := getattr(extension, option):
            yield Row(
                Status.RISK, option, f"hands credentials to every kernel, and so to every notebook: {', '.join(names)}."
            )
    for network in extension.policy().trusted_proxies:
        if network.prefixlen < WIDEST:
            yield Row(
                Status.RISK, "trusted_proxies", f"{network} trusts every client to be a proxy, and to name the user."
            )


def _state(extension: AppMetaExtension) -> Iterator[Row]:
    """Yield where state is kept and what is wrong with that, or why a server would not start with it."""
    from ..server.stores.telling import legible, told

    try:
        place, warnings = told(extension)
    except (PolicyError, RequirementMissing) as error:
        yield Row(Status.FAULT, "state", str(error))
    else:
        yield Row(Status.INFO, "state", place)
        yield from (Row(Status.RISK, "state", warning) for warning in warnings)
    if found := legible(extension):
        yield _legible(found)


def _legible(found: Count) -> Row:
    """Return how much of the store can be read, and what to do about the rest."""
    from ..state import keeping

    if found.first is None:
        return Row(Status.INFO, "state", found.told)
    whose = " on ".join(filter(None, (keeping.person_of(found.first), keeping.place_of(found.first))))
    first = f" The first of them is of {whose}." if whose else ""
    return Row(Status.RISK, "state", f"{found.told} Of the others, {found.remedies}.{first}")


def _short(option: str) -> str:
    return option.removeprefix("AppMetaExtension.")


def _server_risks(configured: Configuration) -> Iterator[Row]:
    """Yield the risks in the server's own options."""
    from .checks.configuration import authenticates

    app = configured.app
    asks = authenticates(app)
    if asks is None:
        yield Row(Status.INFO, "authentication", "the identity provider cannot be made here, so it is not judged.")
    elif not asks:
        yield Row(
            Status.FAULT, "authentication", f"disabled: every client can run code, without a name. {REMEDIES['token']}"
        )
    if app.allow_origin == "*" or app.allow_origin_pat in (".*", "^.*$", ".+"):
        yield Row(Status.RISK, "allow_origin", "any website can use this server in the name of its visitors.")
