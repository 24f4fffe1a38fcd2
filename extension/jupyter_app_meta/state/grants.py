"""The right of one kernel to ask for one visitor's state: Claims ⇄ token.

    token  = base64url(JSON) "." base64url(HMAC-SHA256(key, the part before the dot))
    JSON   = {"v": 1, "k": kernel id, "i": identity or null, "n": space, "t": tab or null, "e": expiry, "l": link}

1. Only servers have the key. Kernels, pages and stores never see it, and a token is never stored or logged.
2. A token is good for one kernel. Through the link of any other kernel it is refused.
3. A token expires 24 hours after the server made it. The server makes a new one when half of that time has passed.
4. Revoking an identity refuses each token that was made for it until that moment.
5. A token without an identity reaches what is shared, and nothing else.
6. ``read`` returns the claims or raises BadGrant, for any text. The MAC is checked before anything is parsed.
7. An unknown version and an unknown field are refused. A server that does not know a restriction must not ignore it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from .keys import Identity, Space

LIFETIME = 24 * 60 * 60.0
"""Seconds for which a token is good."""

CLOCK_SKEW = 300.0
"""Seconds by which the clocks of two servers may differ."""

LIMIT = 4096
"""Characters of a token. What is longer is refused before it is hashed."""

READ = 1000
"""How many tokens are remembered once they were read. Each is checked each time."""

_VERSION = 1
_FIELDS = frozenset("vkintel")
_KEY_BYTES = 16  # fewer could be guessed

Reason = Literal["forged", "not read", "of another kernel", "expired", "revoked"]


class BadGrant(ValueError):
    """A token gives no right. ``reason`` is for the log; it has nothing of the token."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"The grant is {reason}.")
        self.reason = reason

    @property
    def remedy(self) -> str:
        """What the author or the visitor can do."""
        if self.reason == "expired":
            hours = f"{LIFETIME / 3600:.0f} hours"
            return f"Code may use state for {hours} after its message. Run the cell again, and let it end before that."
        return "Reload the page, or run the cell again."


@dataclass(frozen=True, slots=True)
class Claims:
    """What a server has vouched for. ``expires`` is in seconds since the epoch, exact to the millisecond."""

    kernel_id: str
    space: Space
    identity: Identity | None = None
    tab: str | None = None
    link: str = ""  #: the ZMQ identity of the server's end of the kernel's link
    expires: float = 0.0

    @property
    def made(self) -> float:
        """When the token was made, in seconds since the epoch."""
        return self.expires - LIFETIME

    def is_due(self, now: float) -> bool:
        """Return whether half of the lifetime has passed, so that a new token is made."""
        return now >= self.expires - LIFETIME / 2

    def check_revoked(self, not_before: Callable[[Identity], float | None]) -> None:
        """Raise BadGrant if the identity was revoked when or after the token was made.

        ``not_before`` returns the moment of the latest revocation, in seconds since the epoch, or None.
        """
        moment = None if self.identity is None else not_before(self.identity)
        if moment is not None and self.made <= moment:
            raise BadGrant("revoked")


def derive_key(secret: bytes) -> bytes:
    """Return the key for tokens, derived from the servers' secret; raise ValueError for a secret that is too short."""
    if len(secret) < _KEY_BYTES:
        raise ValueError(f"the secret for grants must have at least {_KEY_BYTES} bytes, not {len(secret)}")
    return hmac.digest(secret, b"jupyter-app-meta grant 1", "sha256")


def mint(key: bytes, claims: Claims, now: float) -> str:
    """Return a token for these claims that is good from now on. ``expires`` of the claims is not used."""
    identity = None if claims.identity is None else claims.identity.text
    fields = {
        "v": _VERSION,
        "k": claims.kernel_id,
        "i": identity,
        "n": claims.space.text,
        "t": claims.tab,
        "e": round((now + LIFETIME) * 1000),
        "l": claims.link,
    }
    body = _b64(json.dumps(fields, separators=(",", ":")).encode())
    return f"{body}.{_mac(key, body)}"


def read(key: bytes, token: object, kernel_id: str, now: float) -> Claims:
    """Return the claims of a token that came through the link of this kernel; raise BadGrant unless it is good."""
    claims = _claims(_signed(key, token))
    if claims.kernel_id != kernel_id:
        raise BadGrant("of another kernel")
    if not now < claims.expires <= now + LIFETIME + CLOCK_SKEW:
        raise BadGrant("expired")
    return claims


def _signed(key: bytes, token: object) -> str:
    """Return the part of the token that the MAC vouches for."""
    if not isinstance(token, str) or len(token) > LIMIT or not token.isascii():
        raise BadGrant("not read")
    body, dot, mac = token.partition(".")
    if not dot or not hmac.compare_digest(_mac(key, body), mac):
        raise BadGrant("forged")
    return body


@lru_cache(maxsize=READ)  # code asks many times with the same token
def _claims(body: str) -> Claims:
    try:
        fields = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return _of_fields(fields)
    except (ValueError, RecursionError):
        raise BadGrant("not read") from None


def _of_fields(fields: dict[str, Any]) -> Claims:
    if not isinstance(fields, dict) or fields.keys() != _FIELDS or fields["v"] != _VERSION:
        raise ValueError("unknown fields or version")
    kernel_id, tab, link, expires = (fields[name] for name in "ktle")
    if not isinstance(kernel_id, str) or not isinstance(link, str) or type(expires) is not int:
        raise ValueError("not a claim")
    if tab is not None and not isinstance(tab, str):
        raise ValueError("not a tab")
    identity = None if fields["i"] is None else Identity.read(fields["i"])
    return Claims(kernel_id, Space.read(fields["n"]), identity, tab, link, expires / 1000)


def _mac(key: bytes, body: str) -> str:
    return _b64(hmac.digest(key, body.encode(), hashlib.sha256))


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
