"""What holds for all questions of kernels: the deployer's options, and whose grants are good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..errors import StateError
from . import grants, values
from .grants import Claims
from .keys import Identity
from .operations import Request
from .paging.operations import NoPageService, PageService

NotBefore = Callable[[Identity], float | None]
"""Returns when the grants of an identity were last revoked; None if they were not."""


def _cannot_revoke(_: Identity) -> None:
    raise StateError("This server cannot revoke grants.")


def _not_known(_: Identity) -> float | None:
    raise LookupError


@dataclass(frozen=True, slots=True)
class Rules:
    """What a deployer and the server decide for all requests."""

    key: bytes = field(repr=False)  #: what grants are signed with
    now: Callable[[], float]  #: seconds since the epoch
    not_before: NotBefore  #: when an identity was last revoked
    limits: values.Limits = field(default_factory=values.Limits)
    preferences: frozenset[str] = frozenset()  #: the keys that ``visitor.preferences`` has
    presence: bool = True  #: whether kernels are told who is looking
    revoke: Callable[[Identity], object] = _cannot_revoke  #: refuses all grants that an identity has until now
    recalled: NotBefore | None = None  #: as ``not_before``, of what is known without a store
    pages: PageService = field(default_factory=NoPageService)  #: answers what is about pages
    lately: NotBefore = _not_known  #: as ``not_before``, or LookupError where the store must be asked

    def claims(self, kernel_id: str, request: Request, not_before: NotBefore) -> Claims:
        """Return what a kernel's request may do; raise BadGrant if its grant is not good, or was revoked."""
        claims = grants.read(self.key, request.grant, kernel_id, self.now())
        claims.check_revoked(not_before)
        return claims
