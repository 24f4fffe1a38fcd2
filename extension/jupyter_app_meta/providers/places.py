"""Where a visitor goes after a login: only to an address of this server."""

from __future__ import annotations

import re
from urllib.parse import unquote

_harmless = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""A path of the same host: printable ASCII without a backslash, which browsers read as a slash."""

LONGEST = 2048


def local(wanted: str, base_url: str) -> str:
    """Return the address that a visitor wanted, if it is below the base URL of this server; the base URL otherwise."""
    if len(wanted) > LONGEST or not _harmless.fullmatch(wanted):
        return base_url
    path = re.split(r"[?#]", wanted, maxsplit=1)[0]
    if {".", ".."} & set(unquote(path).split("/")):  # a browser would leave the base URL
        return base_url
    return wanted if f"{path}/".startswith(base_url) else base_url
