"""The ID token: its signature by a key of the provider, and its claims. In doubt it is refused.

Only signatures with public keys count: neither ``none`` nor an HMAC, whose key could be the public key's own text.
"""

from __future__ import annotations

import time
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jws import extract_compact

from .faults import Forged
from .metadata import Provider

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LONGEST = 64 * 1024

Claims = dict[str, Any]


async def claims(provider: Provider, token: object, client_id: str, nonce: str, access: str, skew: float) -> Claims:
    """Return the claims of an ID token; raises Forged, which names the claim that is wrong.

    ``access`` is the access token that came with it, and ``skew`` how many seconds two clocks may differ.
    """
    if not isinstance(token, str) or len(token) > LONGEST:
        raise Forged("the provider's answer has no ID token")
    try:
        header = extract_compact(token.encode()).headers()
        if header.get("alg") not in ALGORITHMS:
            raise Forged("the ID token is signed by an algorithm that is not accepted (alg)")
        keys = await provider.keys(header.get("kid"))
        found = jwt.decode(token, keys, algorithms=list(ALGORITHMS))
        _check(found, await _issuer(provider), client_id, nonce, access, skew)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        what = getattr(error, "claim", None) or type(error).__name__
        raise Forged(f"the ID token is refused ({what})") from error
    return dict(found.claims)


async def _issuer(provider: Provider) -> str:
    return (await provider.document()).issuer


def _check(found: jwt.Token, issuer: str, client_id: str, nonce: str, access: str, skew: float) -> None:
    options: Any = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": client_id}}
    params = {"nonce": nonce, "client_id": client_id, "access_token": access}
    token: Any = CodeIDToken(found.claims, found.header, options, params)
    token.validate(now=int(time.time()), leeway=int(skew))
    subject = found.claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise Forged("the ID token is refused (sub)")
    if not isinstance(found.claims.get("nonce"), str):
        raise Forged("the ID token is refused (nonce)")
