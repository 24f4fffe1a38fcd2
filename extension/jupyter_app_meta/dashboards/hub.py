"""A server of dashboards that JupyterHub starts as one of its services, and whose visitors log in to the Hub.

The Hub's proxy passes it the requests below its prefix. Who a visitor is, is asked by the Hub's own
identity provider, the one of its single-user servers; whom the Hub does not let use the service it
refuses. Our own cookies are the Hub's ``service-<name>``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from jupyter_server.auth.identity import IdentityProvider

from .routes import DashboardError


class Service(NamedTuple):
    """Where the Hub expects its service."""

    ip: str
    port: int
    base_url: str


def service(environment: Mapping[str, str] = os.environ) -> Service:
    """Return what the Hub says of its service; raises DashboardError where no Hub started it, or it cannot be."""
    url, prefix = (environment.get(f"JUPYTERHUB_SERVICE_{name}", "") for name in ("URL", "PREFIX"))
    if not url or not prefix or not environment.get("JUPYTERHUB_API_TOKEN"):
        raise DashboardError(
            "--hub is for a service that JupyterHub starts: give it a url and this command in c.JupyterHub.services."
        )
    parts = urlsplit(url)
    if parts.scheme != "http" or environment.get("JUPYTERHUB_SSL_CERTFILE"):
        raise DashboardError(f"--hub serves plain http behind the Hub's proxy, not {url} (nor internal_ssl).")
    return Service(parts.hostname or "", parts.port or 80, prefix)


def identity_provider() -> type[IdentityProvider]:
    """Return the Hub's identity provider; raises DashboardError where JupyterHub is not installed."""
    try:
        from jupyterhub.singleuser.extension import JupyterHubIdentityProvider
    except ModuleNotFoundError as error:
        raise DashboardError(f"--hub needs JupyterHub ({error.name} is missing): pip install jupyterhub") from error
    found: type[IdentityProvider] = JupyterHubIdentityProvider
    return found


def checks_xsrf(provider: IdentityProvider) -> bool:
    """Whether a provider checks XSRF by itself, with tokens of its own, once it knows who asks."""
    return hasattr(provider, "hub_auth")
