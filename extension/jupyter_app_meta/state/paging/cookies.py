"""The cookies that code may set: names that a deployer may list, and values that a header can carry."""

from __future__ import annotations

import re

from ...errors import CookieRefused
from ...policy import cookies
from ...policy.patterns import normal
from .operations import SetCookie

SIZE = 2000
"""Characters of a value."""

LONGEST = 400 * 24 * 60 * 60
"""Seconds after which browsers drop a cookie in any case."""

_name = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_value = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
_PREFIXES = ("__host-", "__secure-", "app-meta-")


def may_be_listed(name: object) -> bool:
    """Whether a deployer may list a name: it is not the server's own cookie, and does not look like a login."""
    if not isinstance(name, str) or not _name.fullmatch(name) or name.lower().startswith(_PREFIXES):
        return False
    return not cookies.is_never(normal(name)) and not cookies.is_credential(name)


def check(cookie: SetCookie) -> None:
    """Raise CookieRefused for a name, a value or an age that no cookie may have. The message never has the value."""
    if not may_be_listed(cookie.name):
        raise CookieRefused("A cookie that code sets has a plain name, which is not that of a login.")
    if len(cookie.value) > SIZE or not _value.fullmatch(cookie.value):
        raise CookieRefused(
            f"The value of a cookie has at most {SIZE} ASCII characters, and no spaces, quotes, commas, semicolons or "
            "backslashes. Encode it: urllib.parse.quote(value, safe='')."
        )
    if cookie.max_age is not None and not 0 <= cookie.max_age <= LONGEST:
        raise CookieRefused(f"max_age is a number of seconds from 0 (removes the cookie) to {LONGEST} (400 days).")
