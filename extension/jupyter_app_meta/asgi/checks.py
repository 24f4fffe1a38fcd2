"""Which values the options of ``create_asgi_app`` may have. A value without an effect is refused by name."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from traitlets.config import Config

from ..dashboards import DashboardError
from ..dashboards.setup import managers, options
from ..server.app import AppMetaExtension
from .app import Hosted

FUNCTIONS = {
    "user": "a function of (scope), or None",
    "host": "the outermost ASGI application, or None",
    "lifespan": "a function that returns an asynchronous context manager, or None",
    "validate_callback": "a function of (app_path, scope), or None",
}

PROXIES = ("user_header", "trusted_proxies")
"""Options that need the address of the socket's peer, which an ASGI server does not tell."""

LOGIN = ("IdentityProvider", "PasswordIdentityProvider", "HostIdentityProvider")
COOKIES = ("cookie_name", "cookie_options", "get_secure_cookie_kwargs", "secure_cookie")
"""Sections about logins, and their options that have an effect inside a host."""


def expect(option: str, given: object) -> None:
    """Raise DashboardError if an option has a wrong value."""
    if option == "on_error":
        expected = "a function of (status, request), 'host', or None"
        options.check(option, given, lambda value: value is None or value == "host" or callable(value), expected)
    else:
        options.check(option, given, lambda value: value is None or callable(value), FUNCTIONS[option])


def server_id(config: Config | Mapping[str, Any] | None) -> str:
    """Return the option ``Serve.server_id``; raises DashboardError for others of the command ``serve``.

    The id of a server belongs to its place among others. A configuration, unlike the code of a host, has one for each.
    """
    options.expect("config", config)
    given = dict((config or {}).get("Serve", {}))
    found = given.pop("server_id", "")
    for option in given:
        raise DashboardError(f"Serve.{option} has no effect inside an ASGI application: pass {option} as an argument.")
    options.expect("server_id", found)
    return str(found)


def check(config: Config, log: logging.Logger, hosted: Hosted) -> None:
    """Raise DashboardError or PolicyError for an option that cannot be used, or would have no effect."""
    for option in ("user", "host", "lifespan"):
        expect(option, getattr(hosted, option))
    own = deepcopy(config)
    _refuse_proxies(AppMetaExtension(config=own, log=log))
    _refuse_logins(own)
    managers.check_config(own, log)


def _refuse_proxies(extension: AppMetaExtension) -> None:
    for option in PROXIES:
        if getattr(extension, option):
            raise DashboardError(
                f"AppMetaExtension.{option} cannot be used inside an ASGI application, because the server may take the "
                "client's address from a header: let the host put the visitor into scope['user'], and give the proxies "
                "to the server (uvicorn --forwarded-allow-ips)."
            )


def _refuse_logins(config: Config) -> None:
    for section in LOGIN:
        for option in config.get(section, {}):
            if option not in COOKIES:
                raise DashboardError(
                    f"{section}.{option} has no effect inside an ASGI application, because the host logs visitors in: "
                    "leave it out."
                )


def place(path: object) -> str:
    """Return a path of a mount in Starlette's form; raises DashboardError for one that is not valid."""
    if not isinstance(path, str) or (path and not path.startswith("/")):
        raise DashboardError(f"path must be a string such as '/dash', not {path!r}.")
    return path.rstrip("/")
