"""The provider of ``--oidc-issuer``: visitors log in at an OpenID provider."""

from __future__ import annotations

import base64
from collections import OrderedDict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, urlencode

from jupyter_server.base.handlers import JupyterHandler
from tornado import web
from traitlets import Bool, Float, List, Unicode, default

from ... import secret_files
from ...errors import IdentityError
from ..attempts import Attempts
from ..base import SessionProvider
from ..identified import Identified, Session
from . import remote
from .attempts import Attempt
from .faults import Fault, Forged, NotAllowed
from .handlers import CallbackHandler, LoginHandler

if TYPE_CHECKING:
    from .tokens import Claims

CALLBACK = "login/callback"
LARGEST = 2800
"""How many characters a session may have: a browser keeps cookies of 4096, and signing makes them longer."""

HINTS = 2000
"""How many ID tokens are remembered for the logout at the provider."""


class OpenIDProvider(SessionProvider):
    """Visitors log in at an OpenID provider, by the code flow with PKCE."""

    issuer = Unicode(help="The issuer, such as https://login.example.org/realms/team.").tag(config=True)
    client_id = Unicode(help="The id under which the provider knows this server.").tag(config=True)
    client_secret_file = Unicode(
        help="A file with the secret that the provider gave this server. Without one the server is a public client."
    ).tag(config=True)
    scopes = List(
        Unicode(), ["openid", "profile"], help="What the provider is asked for; groups may need one more."
    ).tag(config=True)
    username_claim = Unicode(
        "preferred_username",
        help="The claim that is the username. Choose one that visitors cannot change by themselves if a rule compares "
        "it. `email` counts only if the provider says that it is verified.",
    ).tag(config=True)
    groups_claim = Unicode("groups", help="The claim with the names of the visitor's groups.").tag(config=True)
    groups_wanted = List(
        Unicode(), ["*"], help="Patterns of the groups that pages may know; the others are dropped."
    ).tag(config=True)
    allowed_groups = List(
        Unicode(), help="Groups whose members may log in. Without any, each visitor that the provider knows may."
    ).tag(config=True)
    clock_skew = Float(60, min=0, max=600, help="How many seconds the provider's clock may differ from ours.").tag(
        config=True
    )
    redirect_uri = Unicode(
        help="The address of `login/callback` as the provider knows it. By default it is made from the request."
    ).tag(config=True)
    logout_everywhere = Bool(
        True, help="Whether logging out leads to the provider's own logout, if the provider has one."
    ).tag(config=True)

    @default("login_handler_class")
    def _our_login(self) -> type[web.RequestHandler]:
        return LoginHandler

    def get_handlers(self) -> list[tuple[str, object]]:
        """Return the routes of the login, of the provider's answer, and of the logout."""
        return [*super().get_handlers(), (f"/{CALLBACK}", CallbackHandler)]

    def open(self) -> None:
        """Check the options and read the secret; raises IdentityError."""
        super().open()
        try:
            from .metadata import Provider
        except ImportError as error:
            raise IdentityError(f"--oidc-issuer needs {error.name}: pip install 'jupyter-app-meta[oidc]'") from error
        if not remote.is_safe(self.issuer):
            raise IdentityError(
                "OpenIDProvider.issuer (--oidc-issuer) must be an https URL such as https://login.example.org "
                "(http only on this machine)."
            )
        if not self.client_id:
            raise IdentityError("OpenIDProvider.client_id (--oidc-client-id) is missing: the provider gives it.")
        if self.redirect_uri and not (remote.is_safe(self.redirect_uri) and self.redirect_uri.endswith(f"/{CALLBACK}")):
            raise IdentityError(f"OpenIDProvider.redirect_uri must be an https URL that ends with /{CALLBACK}.")
        if "openid" not in self.scopes:
            raise IdentityError("OpenIDProvider.scopes must contain 'openid'.")
        self._secret = _secret(self.client_secret_file)
        self.remote = Provider(self.issuer)
        self.limits = Attempts(burst=60, pause=2)
        self._hints: OrderedDict[str, str] = OrderedDict()

    async def address_of(self, handler: JupyterHandler, attempt: Attempt) -> str:
        """Return the address at the provider where a visitor logs in; raises Away."""
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        document = await self.remote.document()
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self._callback(handler),
            "scope": " ".join(self.scopes),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": create_s256_code_challenge(attempt.verifier),
            "code_challenge_method": "S256",
        }
        return _with_query(document.authorization, query)

    async def log_in(self, handler: JupyterHandler, attempt: Attempt, code: str) -> Identified:
        """Return the user of the code that the provider gave; raises Fault."""
        from . import tokens

        document = await self.remote.document()
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._callback(handler),
            "code_verifier": attempt.verifier,
        }
        answer = await remote.post(document.token, *self._signed(fields, posts=document.posts_secret))
        access = answer.get("access_token")
        access = access if isinstance(access, str) else ""
        token = answer.get("id_token")
        claims = await tokens.claims(self.remote, token, self.client_id, attempt.nonce, access, self.clock_skew)
        claims = await self._with_userinfo(document.userinfo, claims, access)
        user = self.user_of(self._begin(claims))
        if user is None:
            raise NotAllowed("the visitor is in none of OpenIDProvider.allowed_groups")
        self._remember(user, str(token))
        return user

    def _signed(self, fields: dict[str, str], *, posts: bool) -> tuple[dict[str, str], dict[str, str]]:
        """Return a form and headers that say which client asks."""
        if not self._secret:
            return {**fields, "client_id": self.client_id}, {}
        if posts:
            return {**fields, "client_id": self.client_id, "client_secret": self._secret}, {}
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self._secret)}"
        return fields, {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    async def _with_userinfo(self, url: str, claims: Claims, access: str) -> Claims:
        """Return the claims, with those that only the provider's userinfo has; raises Forged for another's."""
        if not url or not access or all(name in claims for name in (self.username_claim, self.groups_claim)):
            return claims
        more = await remote.get(url, access)
        if more.get("sub") != claims["sub"]:
            raise Forged("the userinfo is another visitor's (sub)")
        return {**more, **claims}

    def _begin(self, claims: Claims) -> Session:
        """Return the session of these claims; raises Fault if they do not fit."""
        username = claims.get(self.username_claim)
        if self.username_claim == "email" and claims.get("email_verified") is not True:
            raise NotAllowed("the visitor's email is not verified; set OpenIDProvider.username_claim")
        if not isinstance(username, str) or not username or not username.isprintable() or len(username) > 255:
            raise NotAllowed(f"the claim {self.username_claim} is missing; set OpenIDProvider.username_claim")
        name = claims.get("name")
        told = claims.get(self.groups_claim, ())
        groups = [group for group in told if self._is_wanted(group)] if isinstance(told, list | tuple) else []
        more = {"sub": claims["sub"], "groups": groups, "name": name[:255] if isinstance(name, str) else ""}
        session = Session.begin(username, self.session_length, self._mark, more)
        if len(session.encode()) > LARGEST:
            raise NotAllowed("the visitor has too many groups; name those that count in OpenIDProvider.groups_wanted")
        return session

    def _is_wanted(self, group: object) -> bool:
        return isinstance(group, str) and any(fnmatchcase(group, wanted) for wanted in self.groups_wanted)

    @property
    def _mark(self) -> str:
        """What ties a session to this provider and client: another issuer's sessions are worth nothing here."""
        return f"{self.issuer.rstrip('/')} {self.client_id}"

    def user_of(self, session: Session) -> Identified | None:
        """Return the user of a session; None if it is another provider's, or the user's groups are not allowed."""
        subject, groups, name = (session.more.get(key) for key in ("sub", "groups", "name"))
        if session.mark != self._mark or not isinstance(subject, str) or not isinstance(groups, list):
            return None
        if self.allowed_groups and not {*groups}.intersection(self.allowed_groups):
            return None
        key = f"oidc:{quote(self.issuer.rstrip('/'), safe='')}:{quote(subject, safe='')}"
        return Identified(session.username, str(name or ""), groups=tuple(groups), key=key, session=session)

    def _callback(self, handler: JupyterHandler) -> str:
        return self.redirect_uri or f"{_origin(handler)}{handler.base_url}{CALLBACK}"

    def _remember(self, user: Identified, token: str) -> None:
        assert user.session
        self._hints[user.session.id] = token
        while len(self._hints) > HINTS:
            self._hints.popitem(last=False)

    async def leave(self, handler: JupyterHandler, user: object) -> str:
        """End the session here, and return the address of the provider's own logout."""
        await super().leave(handler, user)
        if not self.logout_everywhere or not isinstance(user, Identified) or user.session is None:
            return ""
        try:
            url = (await self.remote.document()).end_session
        except Fault:
            return ""
        back = self._callback(handler).removesuffix(CALLBACK)
        query = {"client_id": self.client_id, "post_logout_redirect_uri": back}
        if hint := self._hints.pop(user.session.id, ""):
            query["id_token_hint"] = hint
        return _with_query(url, query) if url else ""


def _origin(handler: JupyterHandler) -> str:
    return f"{handler.request.protocol}://{handler.request.host}"


def _with_query(url: str, query: dict[str, Any]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"


def _secret(file: str) -> str:
    """Return the content of the secret's file; raises IdentityError, which never has it."""
    if not file:
        return ""
    try:
        text = secret_files.text(Path(file).expanduser())
    except (OSError, UnicodeDecodeError) as error:
        reason = secret_files.reason(error)
        raise IdentityError(f"OpenIDProvider.client_secret_file {file} cannot be read ({reason}).") from error
    if not text:
        raise IdentityError(f"OpenIDProvider.client_secret_file {file} is empty: write the client's secret into it.")
    return text
