"""A server of dashboards that JupyterHub starts as one of its services, and whose visitors log in at the Hub.

The Hub's proxy passes on the requests below the service's prefix. The service's identity provider asks the Hub who a
visitor is, and refuses visitors who may not use the service.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from jupyter_server.auth.identity import IdentityProvider

from ...errors import DashboardError
from ..setup.outside import Outside

NEEDED = ("API_URL", "API_TOKEN", "CLIENT_ID")


class Service(NamedTuple):
    """Where the Hub expects its service."""

    ip: str
    port: int
    base_url: str


def service(environment: Mapping[str, str] = os.environ) -> Service:
    """Return where the Hub expects its service; raises DashboardError if no Hub started it, or it cannot be served."""
    told = [environment.get(f"JUPYTERHUB_{name}", "") for name in ("SERVICE_URL", "SERVICE_PREFIX", *NEEDED)]
    url, prefix = told[:2]
    if not all(told):
        raise DashboardError(
            "--hub is for a service that JupyterHub starts: give it a url and this command in c.JupyterHub.services."
        )
    parts = urlsplit(url)
    if parts.scheme != "http" or environment.get("JUPYTERHUB_SSL_CERTFILE"):
        raise DashboardError(f"--hub serves plain http behind the Hub's proxy, not {url} (nor internal_ssl).")
    return Service(parts.hostname or "", parts.port or 80, prefix)


def refuse_others(*, login: bool, user_header: bool) -> None:
    """Raise DashboardError if something else than the Hub is to say who a visitor is."""
    if login:
        raise DashboardError(
            "The Hub says who a visitor is, so --hub excludes others: leave out --token and --identity-provider."
        )
    if user_header:
        raise DashboardError(
            "The Hub says who a visitor is, so --hub excludes others: leave out AppMetaExtension.user_header."
        )


def identity_provider() -> type[IdentityProvider]:
    """Return the Hub's identity provider; raises DashboardError if JupyterHub is not installed."""
    try:
        from .identity import HubIdentityProvider
    except ModuleNotFoundError as error:
        raise DashboardError(f"--hub needs JupyterHub ({error.name} is missing): pip install jupyterhub") from error
    found: type[IdentityProvider] = HubIdentityProvider
    return found


def settings(provider: IdentityProvider, outside: Outside) -> dict[str, Any]:
    """Return the additional settings of an application whose visitors log in at a Hub; empty for any other.

    The Hub's provider checks XSRF by itself, with its own tokens, once it knows the visitor. The pages of the Hub and
    of all users' servers have one origin, so no page may be shown in another page's frame.
    """
    if not hasattr(provider, "hub_auth"):
        return {}
    if outside.is_framed:
        raise DashboardError(
            "frame_ancestors cannot be set with a Hub: its pages share one origin with those of users."
        )
    headers = {**outside.settings()["headers"], "Content-Security-Policy": "frame-ancestors 'none'"}
    return {"xsrf_cookies": False, "headers": headers}
