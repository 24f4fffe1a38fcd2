"""``serve --dev``: what an author's own server changes, and with what it cannot be combined."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth.identity import PasswordIdentityProvider
from traitlets.config import Config

from ..dashboards.setup.managers import has_secret
from ..errors import DashboardError
from ..providers.made_up import MadeUpIdentityProvider
from ..server.local import LOOPBACK


def apply(serve: Any) -> None:
    """Make a server one for its author; raises DashboardError for an option that ``--dev`` excludes."""
    config: Config = serve.config
    if serve.ip not in LOOPBACK:
        raise DashboardError(
            f"--dev is for this machine only, because each visitor may be anybody: --ip must be {LOOPBACK[0]}, not "
            f"{serve.ip or 'empty'}. Leave out --dev or --ip."
        )
    for option, is_used in _rivals(config, serve).items():
        if is_used:
            raise DashboardError(f"--dev makes up its visitors, and cannot be combined with {option}: leave out one.")
    file = config.pop("UsersIdentityProvider", {}).get("file", "")  # its users are offered, and no visitor logs in
    if file:
        config.MadeUpIdentityProvider.file = str(file)
    config.VoilaConfiguration.setdefault("show_tracebacks", True)
    serve.identity_provider_class = MadeUpIdentityProvider
    serve.warm, serve.fork = 0, False  # what ran ahead would have the old state of the files that the notebook reads


def _rivals(config: Config, serve: Any) -> dict[str, bool]:
    """Return the options that name visitors or say that there is a proxy, and whether they are used."""
    forwarding = config.get("AppMetaExtension", {})
    return {
        "--token": bool(serve.token),
        "--hub": serve.hub,
        "a password": has_secret(config),
        "--identity-provider": serve.identity_provider_class is not PasswordIdentityProvider,
        "--oidc-issuer": bool(config.get("OpenIDProvider", {}).get("issuer")),
        "--proxy-header": bool(config.get("ProxyIdentityProvider", {}).get("header")),
        "AppMetaExtension.user_header": bool(forwarding.get("user_header")),
        "AppMetaExtension.trusted_proxies": bool(forwarding.get("trusted_proxies")),
        "Serve.public_url": bool(serve.public_url),
        "Serve.trust_xheaders": serve.trust_xheaders,
        "Serve.allow_origin": bool(serve.allow_origin or serve.allow_origin_pat),
    }
