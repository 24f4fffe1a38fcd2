"""Who may ask for whose state: a kernel's visitor → a grant in the kernel's stamps.

1. The identity and the space follow from what the server knows: the request, and the kernel's dashboard or notebook.
2. A kernel of a dashboard has its space before it has a visitor. Until then its grants are for what is shared.
3. A notebook that has no path yet, such as a console, has a space as long as its kernel exists.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ...model import Mode, SessionInfo, User
from ...policy import RawRequest
from ...state import grants, keys
from ...state.grants import Claims
from ...state.keys import Identity, Space
from ...state.revoked import Revoked

KERNEL = "kernel:"
OF_A_KERNEL = f',"edit","{KERNEL}'
"""How the path of a space begins if it is that of a kernel without a notebook, and what is in the text of the space."""


@dataclass(frozen=True, slots=True)
class Places:
    """What tells stored state of one server from that of others, and the spaces of dashboards by kernel id."""

    deployment: str
    realm: str
    dashboards: dict[str, Space] = field(default_factory=dict)

    def space(self, kernel_id: str, path: str | None, mode: Mode) -> Space:
        """Return the space of a kernel's notebook."""
        if found := self.dashboards.get(kernel_id):
            return found
        if not path or not path.strip("/"):
            return Space.edit(self.deployment, f"{KERNEL}{kernel_id}")
        if mode == "run":
            return Space.run(self.deployment, f"/{path.strip('/')}")
        return Space.edit(self.deployment, path)

    def of_dashboard(self, pattern: str, name: str | None) -> Space:
        """Return the space of the dashboard at a path, or of the name that keeps it."""
        return Space.run(self.deployment, pattern, name)

    def identity(
        self,
        user: User | None,
        browser: str | None,
        way: keys.Way,
        by_proxy: bool = False,
        subject: str | None = None,
    ) -> Identity | None:
        """Return who a user is for stored state; None if that is not known."""
        return keys.identity_of(user, "proxy" if by_proxy else self.realm, way, browser, subject)


@dataclass(frozen=True, slots=True)
class Grants:
    """Makes grants; ``link`` opens the link of a kernel and returns its name, or None.

    ``renewed`` is told what each grant says: it lets code go on whose grant was revoked.
    """

    key: bytes = field(repr=False)
    places: Places
    link: Callable[[str], str | None]
    revoked: Revoked
    renewed: Callable[[Claims], object] = lambda claims: None

    @property
    def turn(self) -> int:
        """A number that changes when grants that were made may have been revoked."""
        return self.revoked.turn

    def token(
        self, kernel_id: str, raw: RawRequest | None, identity_key: str, session: SessionInfo, mode: Mode
    ) -> str | None:
        """Return a grant for the visitor of a request, or for no visitor; None if the kernel cannot have one."""
        space = self.places.space(kernel_id, session.path, mode)
        link = self.link(kernel_id)
        if link is None:
            return None
        identity = self.whose(raw, identity_key, space.way) if raw else None
        tab = session.client_id if space.way == "edit" else None
        now = time.time() if identity is None else self.revoked.after(identity, time.time())
        claims = Claims(kernel_id, space, identity, tab, link, now + grants.LIFETIME)
        token = grants.mint(self.key, claims, now)
        if len(token) > grants.LIMIT:
            return None
        self.renewed(claims)
        return token

    def whose(self, raw: RawRequest, identity_key: str, way: keys.Way) -> Identity | None:
        """Return whose request it is, as far as stored state is concerned; None if that is not known."""
        subject = identity_key if identity_key.startswith(keys.SUBJECTS) else None
        return self.places.identity(raw.user, raw.browser, way, identity_key.startswith("proxy:"), subject)


def realm_of(provider: object) -> str:
    """Return what tells the users of an identity provider from those of another."""
    kind = type(provider)
    return f"{kind.__module__}.{kind.__qualname__}"
