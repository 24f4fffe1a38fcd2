"""Identity providers of jupyter_server: who a visitor is, from a file of users, OpenID Connect or a proxy's header.

They serve JupyterLab as well as dashboards. A provider is imported when its name is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .oidc.provider import OpenIDProvider as OpenIDProvider
    from .proxy import ProxyIdentityProvider as ProxyIdentityProvider
    from .users.provider import UsersIdentityProvider as UsersIdentityProvider

_HOMES = {
    "OpenIDProvider": "oidc.provider",
    "ProxyIdentityProvider": "proxy",
    "UsersIdentityProvider": "users.provider",
}

__all__ = ["OpenIDProvider", "ProxyIdentityProvider", "UsersIdentityProvider"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return found
