"""What the provider says about itself: its endpoints and its keys, fetched when they are needed.

1. The document's issuer is the configured one; a slash at the end makes no difference. Tokens have the document's own.
2. Each endpoint is https, unless it is on this machine.
3. Keys are fetched again for a key id that is not known, at most once in ``PAUSE`` seconds, and after ``KEPT`` seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from authlib.oidc.discovery import get_well_known_url
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet

from . import remote
from .faults import Away
from .remote import Json

KEPT = 3600.0
"""For how many seconds the document and the keys are believed."""

PAUSE = 10.0

_KINDS = ("RSA", "EC", "OKP")  # a shared secret is not a provider's key


@dataclass(frozen=True, slots=True)
class Document:
    """The provider's endpoints. An empty one does not exist."""

    issuer: str
    authorization: str
    token: str
    keys: str
    userinfo: str = ""
    end_session: str = ""
    posts_secret: bool = False

    @classmethod
    def of(cls, told: Json, issuer: str) -> Document:
        """Return the document that a provider with this issuer told; raises Away if it cannot be used."""
        own = told.get("issuer")
        if not isinstance(own, str) or own.rstrip("/") != issuer.rstrip("/"):
            raise Away("the provider's document names another issuer; give its issuer as --oidc-issuer")
        needed = [told.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
        if not all(map(remote.is_safe, needed)):
            raise Away("the provider's document lacks an endpoint, or one is not https")
        methods = told.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        return cls(
            issuer=own,
            authorization=str(needed[0]),
            token=str(needed[1]),
            keys=str(needed[2]),
            userinfo=_optional(told.get("userinfo_endpoint")),
            end_session=_optional(told.get("end_session_endpoint")),
            posts_secret="client_secret_basic" not in methods and "client_secret_post" in methods,
        )


def _optional(url: object) -> str:
    return str(url) if remote.is_safe(url) else ""


class Provider:
    """The provider's document and keys."""

    def __init__(self, issuer: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.issuer, self._clock = issuer, clock
        self._document: Document | None = None
        self._until = self._keys_at = float("-inf")
        self._keys, self._fetching = KeySet([]), asyncio.Lock()

    async def document(self) -> Document:
        """Return the provider's document; raises Away."""
        if self._document is None or self._clock() > self._until:
            told = await remote.get(get_well_known_url(self.issuer, external=True))
            self._document = Document.of(told, self.issuer)
            self._until = self._clock() + KEPT
        return self._document

    @property
    def known(self) -> Document | None:
        """The document, if it was fetched."""
        return self._document

    async def keys(self, kid: object) -> KeySet:
        """Return the keys, with the key of this id if the provider has it now; raises Away."""
        async with self._fetching:  # of several logins at once, one fetches the keys and the others wait
            age = self._clock() - self._keys_at
            if age >= KEPT or (not self._has(kid) and age >= PAUSE):
                found = _imported(await remote.get((await self.document()).keys))
                self._keys, self._keys_at = found, self._clock()
        return self._keys

    def _has(self, kid: object) -> bool:
        return bool(self._keys.keys) if kid is None else any(key.kid == kid for key in self._keys.keys)


def _imported(told: Json) -> KeySet:
    """Return the public keys for signatures; a key that cannot be read is left out."""
    found: list[Key] = []
    for data in told.get("keys") or ():
        if isinstance(data, dict) and data.get("kty") in _KINDS and data.get("use", "sig") == "sig":
            try:
                found.append(JWKRegistry.import_key(data))
            except (JoseError, ValueError, TypeError):
                continue
    return KeySet(found)
