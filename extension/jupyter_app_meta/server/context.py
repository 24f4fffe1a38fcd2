"""What the stamps of one server are made from."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import logging
from dataclasses import dataclass, field

from jupyter_server.auth.identity import IdentityProvider

from .. import wire
from ..model import HTTPRequest, User
from ..policy import Policy, RawRequest
from .hooks import Audit, Granting, KernelMeta, Live
from .pages.origins import Origins


@dataclass(slots=True)
class Doors:
    """Whether visitors can log in and out. It is known as soon as the server has its identity provider."""

    has_login: bool = False
    has_logout: bool = False

    def see(self, provider: IdentityProvider, policy: Policy) -> None:
        """Note what the identity provider has. A proxy that names visitors in ``user_header`` has its own login."""
        is_own = not policy.user_header and provider.auth_enabled
        self.has_login = is_own and bool(provider.login_available)
        self.has_logout = is_own and bool(provider.logout_available)


@dataclass(frozen=True, slots=True)
class StampingContext:
    """The policy, the known pages, and the options of one server.

    ``meta`` returns the deployer's own fields for a kernel id and a request on that kernel's connection. ``audit`` is
    told of each message, stamped or not. ``grants`` lets kernels ask for stored state. ``admins`` are the usernames of
    those who may see and end the pages of others. ``live`` is told of connections.
    """

    policy: Policy
    origins: Origins
    log: logging.Logger
    secret: bytes
    limit: int = wire.DEFAULT_LIMIT
    nodelay: bool = True
    meta: KernelMeta | None = None
    audit: Audit | None = None
    grants: Granting | None = None
    doors: Doors = field(default_factory=Doors)
    admins: frozenset[str] = frozenset()
    live: Live | None = None

    def request(self, raw: RawRequest, kernel_id: str, identity: str, *, policy: Policy | None = None) -> HTTPRequest:
        """Return what a kernel may know of an identity's request to it."""
        page = self.origins.page(kernel_id, identity)
        return (policy or self.policy).request(raw, page)

    def note(self, user: User | None, kernel_id: str, header: object) -> None:
        """If there is an audit, tell it of a message with this header; ``user`` is None if no visitor sent it."""
        if self.audit and isinstance(header, dict):
            self.audit.note(user, kernel_id, self.origins.session(kernel_id)["path"], header)

    async def with_meta(self, raw: RawRequest, kernel_id: str, identity: str) -> RawRequest:
        """Return a request with the deployer's own fields."""
        if self.meta is None:
            return raw
        request = self.request(raw, kernel_id, identity, policy=self.policy.of_deployer())
        return dataclasses.replace(raw, meta=await self.meta(kernel_id, request))

    def client_id(self, kernel_id: str, reconnect_key: str, session_id: str) -> str:
        """Return a name for a browser tab. The name stays the same over reconnects, and is never another visitor's."""
        text = json.dumps([kernel_id, reconnect_key, session_id]).encode()
        return hmac.new(self.secret, text, hashlib.sha256).hexdigest()[:32]
