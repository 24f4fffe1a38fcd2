"""Which option of ``serve`` says who a visitor is: ``--users`` and its like. Two of them are refused by name."""

from __future__ import annotations

from collections.abc import Mapping

from jupyter_server.auth.identity import IdentityProvider
from traitlets.config import Config

from ..errors import DashboardError
from ..providers.oidc.provider import OpenIDProvider
from ..providers.proxy import ProxyIdentityProvider
from ..providers.users.provider import UsersIdentityProvider

PROVIDERS: tuple[type[IdentityProvider], ...] = (UsersIdentityProvider, OpenIDProvider, ProxyIdentityProvider)

CHOICES: dict[str, tuple[type[IdentityProvider], str]] = {
    "--users": (UsersIdentityProvider, "file"),
    "--oidc-issuer": (OpenIDProvider, "issuer"),
    "--proxy-header": (ProxyIdentityProvider, "header"),
}
"""The options that choose a provider, each with the provider and its own option of that meaning."""

ALIASES = {
    "users": "UsersIdentityProvider.file",
    "oidc-issuer": "OpenIDProvider.issuer",
    "oidc-client-id": "OpenIDProvider.client_id",
    "oidc-client-secret-file": "OpenIDProvider.client_secret_file",
    "proxy-header": "ProxyIdentityProvider.header",
    "trusted-proxy": "AppMetaExtension.trusted_proxies",
}
"""The short forms of the providers' options."""


SECTIONS = tuple(kind.__name__ for kind in PROVIDERS)
"""The sections of the providers in a configuration."""


def taken(options: list[str]) -> tuple[list[str], list[str]]:
    """Return the options of our providers, each with a value of its own word joined to it, and all other options.

    A Jupyter server that names one of our providers reads their sections itself.
    """
    is_servers = any(option.startswith("--ServerApp.identity_provider_class=") for option in options)
    sections = () if is_servers else tuple(f"--{section}." for section in SECTIONS)
    own, rest, given = list[str](), list[str](), list(options)
    while given:
        option = given.pop(0)
        name, equals, _ = option.partition("=")
        if name.removeprefix("--") not in ALIASES and not option.startswith(sections or ("=",)):
            rest.append(option)
        elif equals or not given or given[0].startswith("-"):
            own.append(option)
        else:
            own.append(f"{option}={given.pop(0)}")
    return own, rest


def chosen(
    config: Config, given: type[IdentityProvider] | None, rivals: Mapping[str, bool]
) -> type[IdentityProvider] | None:
    """Return the provider that the configuration chooses; None if it chooses none of ours.

    ``rivals`` are other ways to name a visitor, and whether they are used. Raises DashboardError for two ways at once.
    """
    found = {name: kind for name, (kind, option) in CHOICES.items() if config.get(kind.__name__, {}).get(option)}
    if not found:
        return None
    named = [name for name, is_used in rivals.items() if is_used]
    if config.get("AppMetaExtension", {}).get("user_header"):
        named.append("AppMetaExtension.user_header")
    if given is not None and given not in found.values():
        named.append("--identity-provider")
    both = [*found, *named]
    if len(both) > 1:
        raise DashboardError(
            f"{both[0]} cannot be combined with {both[1]}: one of them says who a visitor is. Leave out the other."
        )
    return next(iter(found.values()))
