"""Which values the options of ``create_app`` and of its steps may have. The refusal of a value names the option."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

from jupyter_server.auth.identity import IdentityProvider
from traitlets.utils.importstring import import_item

from ...errors import DashboardError
from ..paths import Route

SECRETS = ("token", "cookie_secret", "metrics_token")
"""Options whose values are never shown."""

_host = re.compile(r"[\w.-]+", re.ASCII)

SHOWN = ("server_id",)
"""Options whose wrong values are shown, whatever they are."""


def _is_function(given: object) -> bool:
    return given is None or callable(given)


def _is_count(given: object) -> bool:
    return isinstance(given, Integral) and not isinstance(given, bool) and int(given) >= 0


def _are_patterns(given: object) -> bool:
    return isinstance(given, list | tuple) and all(isinstance(each, str) and each for each in given)


def _are_parameters(given: object) -> bool:
    return isinstance(given, list | tuple) and all(
        isinstance(each, Mapping) and all(isinstance(value, str) and value for value in each.values()) for each in given
    )


def _is_size(given: object) -> bool:
    return _is_count(given) and given != 0


def _is_time(given: object) -> bool:
    return isinstance(given, Real) and not isinstance(given, bool) and float(given) > 0


def _is_provider(given: object) -> bool:
    kind = given if isinstance(given, type) else type(given)
    return given is None or issubclass(kind, IdentityProvider)


def _is_text(given: object) -> bool:
    return isinstance(given, str)


def _is_tag(given: object) -> bool:
    return isinstance(given, str) and re.fullmatch(r"([0-9a-z]{4})?", given) is not None


def _are_hosts(given: object) -> bool:
    return isinstance(given, list | tuple) and all(isinstance(each, str) and _host.fullmatch(each) for each in given)


def _are_folders(given: object) -> bool:
    return isinstance(given, list | tuple) and all(_is_path(each) and os.path.isdir(each) for each in given)


def _is_name(given: object) -> bool:
    return given is None or (isinstance(given, str) and bool(given) and not given.startswith("/"))


def _is_path(given: object) -> bool:
    return isinstance(given, str | os.PathLike)


LONG = "a str of at least 16 characters, or None"

EXPECTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "authorize": (_is_function, "a function of (user, request), or None"),
    "validate": (_is_function, "a function of (user, request), or None"),
    "meta": (_is_function, "a function of (request), or None"),
    "lifespan": (_is_function, "a function that returns an asynchronous context manager, or None"),
    "on_error": (_is_function, "a function of (status, request), or None"),
    "identity_provider": (_is_provider, "an IdentityProvider of jupyter_server: a class, an instance or a name"),
    "token": (lambda given: isinstance(given, str | None), "a str, or None"),
    "cookie_secret": (lambda given: isinstance(given, bytes | None), "bytes, or None"),
    "cookie_secret_file": (lambda given: given is None or _is_path(given), "the path of a file, or None"),
    "server_id": (_is_tag, "four digits or lower-case letters such as 'aaaa', or ''"),
    "state": (_is_name, "a name such as 'sales', which does not begin with '/', or None"),
    "config": (lambda given: isinstance(given, Mapping | None), "a Config or dict, or None"),
    "root": (_is_path, "the path of a notebook"),
    "directory": (_is_path, "the path of a directory"),
    "warm": (_is_count, "a whole number, 0 or more"),
    "fork": (lambda given: isinstance(given, bool | None), "True, False or None"),
    "fork_spares": (_is_count, "a whole number, 0 or more"),
    "max_pages": (_is_count, "a whole number, 0 or more"),
    **dict.fromkeys(
        ("max_pages_per_visitor", "max_pages_per_address", "max_connections"),
        (lambda given: given is None or _is_count(given), "a whole number, 0 or more, or None"),
    ),
    "quiet_timeout": (lambda given: _is_time(given) or _is_count(given), "seconds, 0 or more"),
    "examples": (_are_parameters, "a list of dicts with the path's parameters, such as [{'customer_id': '1002'}]"),
    "local_hostnames": (_are_hosts, "a list of names such as 'dashboards.example.org', without a port"),
    "allow_remote_access": (lambda given: isinstance(given, bool | None), "True, False or None"),
    "files": (_are_patterns, "a list of patterns such as '*.csv'"),
    "page_cookies": (_are_patterns, "a list of names such as 'region'"),
    "redirect_origins": (_are_patterns, "a list of origins such as 'https://portal.example.org'"),
    "template_paths": (_are_folders, "a list of folders that exist"),
    "max_upload": (_is_size, "a whole number of bytes, 1 or more"),
    "max_age": (_is_time, "seconds, more than 0"),
    "idle_timeout": (_is_time, "seconds, more than 0"),
    "connect_timeout": (_is_time, "seconds, more than 0"),
    **dict.fromkeys(("public_url", "allow_origin", "allow_origin_pat", "frame_ancestors"), (_is_text, "a str")),
    "metrics_token": (lambda given: given is None or (isinstance(given, str) and len(given) >= 16), LONG),
    "log_users": (lambda given: isinstance(given, bool), "True or False"),
    "trust_xheaders": (lambda given: isinstance(given, bool), "True or False"),
}
"""What each option may be, and the words that say so."""


def expect(option: str, given: object, route: Route | None = None) -> None:
    """Raise DashboardError if an option has a wrong value. The message shows no secret."""
    check(option, given, *EXPECTED[option], route)


def check(option: str, given: object, fits: Callable[[Any], bool], expected: str, route: Route | None = None) -> None:
    """Raise DashboardError if the value of an option does not fit; ``expected`` says what would."""
    if not fits(given):
        is_shown = option in SHOWN or (isinstance(given, int | float) and option not in SECRETS)
        what = repr(given) if is_shown else f"of type {type(given).__name__}"
        where = f" for {route.path}" if route else ""
        raise DashboardError(f"{option} is {what}{where}: give {expected}.")


def imported(given: object) -> object:
    """Return what a name such as ``package.module.Provider`` means; anything but a string is returned unchanged.

    Raises DashboardError if the name cannot be imported.
    """
    if not isinstance(given, str):
        return given
    try:
        found: object = import_item(given)
    except (Exception, SystemExit) as error:  # the deployer's module may raise anything
        raise DashboardError(
            f"identity_provider {given!r} cannot be imported ({type(error).__name__}: {error}): "
            "give the name of a class, such as 'our_login.Provider'."
        ) from error
    return found
