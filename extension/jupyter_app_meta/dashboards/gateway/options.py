"""The options of ``GatewayClient``, which are jupyter_server's own, checked before anything is opened."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from jupyter_server.gateway.gateway_client import GatewayClient
from traitlets import TraitError
from traitlets.config import Config

from ...errors import DashboardError

LOCAL = {
    "KernelProvisionerFactory": "",
    "LocalProvisioner": "",
    "KernelSpecManager": "allowed_kernelspecs",
    "VoilaConfiguration": "*kernel_spec_manager_class",
}
"""Sections that are for local kernels, and the options of them that count with a gateway (or with ``*``, do not)."""


def gateway_options(config: Config, log: logging.Logger | None = None) -> GatewayClient | None:
    """Return the options of the gateway that kernels run behind; None if they run on this machine.

    Raises DashboardError for an option that is wrong, and for one that has no effect.
    """
    given: Mapping[str, Any] = config.get("GatewayClient", {})
    try:
        made = GatewayClient(config=config, **({"log": log} if log else {}))
    except (TraitError, ValueError) as error:
        raise DashboardError(f"GatewayClient: {_without_url(str(error), given)}") from None
    if not made.gateway_enabled:
        for name in given:
            if name != "url":
                raise DashboardError(f"GatewayClient.{name} has no effect here: set GatewayClient.url as well.")
        return None
    _check(made, config)
    return made


def environment(options: GatewayClient) -> dict[str, str]:
    """Return the variables of this process that the deployer names for kernels: none, unless options name some."""
    names = (name.strip() for name in (options.allowed_envs or "").split(","))
    return {name: os.environ[name] for name in names if name in os.environ}


def _check(options: GatewayClient, config: Config) -> None:
    for name, url in (("url", options.url), ("ws_url", options.ws_url)):
        if urlsplit(url or "").username is not None:
            raise DashboardError(
                f"GatewayClient.{name} must not contain a name or password, because URLs are logged: "
                "use GatewayClient.http_user and GatewayClient.http_pwd."
            )
    for section, counts in LOCAL.items():
        for option in config.get(section, {}):
            if (option == counts.lstrip("*")) == counts.startswith("*"):
                raise DashboardError(
                    f"{section}.{option} has no effect with GatewayClient.url: it is for kernels on this machine."
                )


def _without_url(text: str, given: Mapping[str, Any]) -> str:
    """Return an error's text without the values of options, which may be secrets."""
    for value in given.values():
        if isinstance(value, str) and value:
            text = text.replace(value, "…")
    return text
