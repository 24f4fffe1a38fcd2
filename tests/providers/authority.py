"""An OpenID provider that can be told to lie: one fault at a time, in this process."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from harness import free_port
from joserfc import jwt
from joserfc.jwk import RSAKey
from tornado import web
from tornado.httpserver import HTTPServer

CLIENT, SECRET = "dashboards", "s3cret-canary/+"


@dataclass
class Authority:
    """The provider's state: its keys, what it grants, and how it lies."""

    issuer: str
    keys: list[RSAKey] = field(default_factory=lambda: [RSAKey.generate_key(2048, {"kid": "first", "use": "sig"})])
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    granted: dict[str, dict[str, str]] = field(default_factory=dict)
    form: str = "jwt"
    asked: list[str] = field(default_factory=list)
    is_away: bool = False

    @contextmanager
    def lying(self, **changes: Any) -> Iterator[None]:
        """Change what the provider does for a while."""
        kept = {name: getattr(self, name) for name in changes}
        for name, value in changes.items():
            setattr(self, name, value)
        try:
            yield
        finally:
            for name, value in kept.items():
                setattr(self, name, value)

    def code(self, address: str, **changes: str) -> str:
        """Return a code, as after a login at the address of authorization."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        code = f"code-{len(self.granted)}"
        self.granted[code] = {**asked, **changes}
        return code

    def token(self, asked: dict[str, str]) -> str:
        """Return an ID token, with the lies of the moment."""
        now = int(time.time())
        honest = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "1234",
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
        }
        names = {"preferred_username": "alice", "name": "Alice Example", "groups": ["sales", "staff"]}
        claims = {name: value for name, value in {**honest, **names, **self.claims}.items() if value is not None}
        header = {"alg": "RS256", "kid": "first", **self.header}
        if self.form == "none":
            return f"{_packed({'alg': 'none'}, claims)}."
        if self.form == "hmac":
            text = _packed({**header, "alg": "HS256"}, claims)
            mac = hmac.digest(self.keys[0].as_pem(private=False), text.encode(), "sha256")
            return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        if self.form == "stranger":
            return jwt.encode(header, claims, RSAKey.generate_key(2048))
        token = jwt.encode(header, claims, self.keys[-1])
        if self.form == "cut":
            return token.rpartition(".")[0] + "."
        return token if self.form == "jwt" else self.form


def _packed(*parts: dict[str, Any]) -> str:
    """Return the parts of a token that are signed."""
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)


class Route(web.RequestHandler):
    """The base of its routes."""

    @property
    def authority(self) -> Authority:
        """The provider."""
        found: Authority = self.settings["authority"]
        return found

    def prepare(self) -> None:
        """Count the request, and fail if the provider is away."""
        self.authority.asked.append(self.request.path)
        if self.authority.is_away:
            raise web.HTTPError(502)


class Document(Route):
    """What the provider says about itself."""

    def get(self) -> None:
        """Tell it."""
        base = self.authority.issuer.rstrip("/")
        names = {"authorization": "authorize", "token": "token", "userinfo": "userinfo", "end_session": "logout"}
        told = {f"{name}_endpoint": f"{base}/{path}" for name, path in names.items()}
        self.finish({"issuer": self.authority.issuer, "jwks_uri": f"{base}/keys", **told, **self.authority.document})


class Keys(Route):
    """The provider's public keys, and one that is odd."""

    def get(self) -> None:
        """Tell them."""
        keys = [key.as_dict(private=False) for key in self.authority.keys]
        self.finish({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "odd"}, {"kty": "RSA", "kid": "broken"}, *keys]})


class Token(Route):
    """Gives a token for a code, once, to the right client with the right proof."""

    def post(self) -> None:
        """Answer as RFC 6749 and RFC 7636 say."""
        asked = self.authority.granted.pop(self.get_body_argument("code"), None)
        proof = hashlib.sha256(self.get_body_argument("code_verifier").encode()).digest()
        challenge = base64.urlsafe_b64encode(proof).rstrip(b"=").decode()
        user = base64.b64encode(b"dashboards:s3cret-canary%2F%2B").decode()
        is_client = self.request.headers.get("Authorization") == f"Basic {user}"
        if asked is None or challenge != asked["code_challenge"] or not is_client:
            raise web.HTTPError(400)
        if self.get_body_argument("redirect_uri") != asked["redirect_uri"]:
            raise web.HTTPError(400)
        self.finish({"access_token": "access", "token_type": "Bearer", "id_token": self.authority.token(asked)})


class UserInfo(Route):
    """What the ID token has not."""

    def get(self) -> None:
        """Tell it."""
        self.finish({"sub": "1234", "groups": ["from-userinfo"], **self.authority.userinfo})


@asynccontextmanager
async def running(suffix: str = "") -> AsyncIterator[Authority]:
    """Run a provider; its issuer ends with the suffix."""
    port = free_port()
    authority = Authority(f"http://127.0.0.1:{port}{suffix}")
    base = suffix.rstrip("/")
    paths = {"/.well-known/openid-configuration": Document, "/keys": Keys, "/token": Token, "/userinfo": UserInfo}
    application = web.Application([(f"{base}{path}", handler) for path, handler in paths.items()], authority=authority)
    server = HTTPServer(application)
    server.listen(port, "127.0.0.1")
    try:
        yield authority
    finally:
        server.stop()
        await server.close_all_connections()
