"""How long stored state is kept, and what is stored about one person.

1. One of the servers of a store sweeps it, once an hour. A sweep that fails is tried again an hour later.
2. A person is named by realm, kind and username, such as ``hub:user:alice``: a username alone may be several persons'.
3. An export has what was put, to the letter. It has nothing that is stored for the use of servers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from ..errors import Conflict, TooLarge
from . import sessions
from .keys import AUDIENCES, Identity, Scope, Space
from .revoked import REMEMBERED, Revoked
from .stores.base import Row, Store, Where
from .stores.servers import alive

HOUR = 3600.0
LEASE = Scope("leases", "")

_ASSURANCES = ("hub", "provider", "shared-secret", "none")


def sweep(store: Store) -> int | None:
    """Remove what is over, and return how many entries that were; None if a server has done so within the hour."""
    try:
        store.apply(LEASE, {"sweep": 0}, {"sweep": "1"}, (), HOUR)
    except Conflict:
        return None
    return store.sweep()


def named(person: str) -> tuple[Identity, ...]:
    """Return each identity that a person may have, whatever their login was worth.

    Raises ValueError if ``person`` is not realm, kind and username.
    """
    realm, kind, username = (*person.split(":", 2), "", "")[:3]
    if not realm or kind not in ("user", "service", "owner", "browser") or bool(username) == (kind == "owner"):
        raise ValueError(f"a person is named by realm, kind and username such as hub:user:alice, not {person!r}.")
    return tuple(Identity(realm, assurance, kind, username) for assurance in _ASSURANCES)


@dataclass(frozen=True, slots=True)
class Whose:
    """A person, or a dashboard or notebook by its path or name, and its deployment; nothing means all."""

    person: str | None = None
    place: str | None = None
    deployment: str | None = None

    def has(self, row: Row) -> bool:
        """Whether an entry is in the place and the deployment."""
        space = _space(row)
        return (self.place is None or (space is not None and space.place == self.place)) and (
            self.deployment is None or (space is not None and space.deployment == self.deployment)
        )

    def identities(self) -> tuple[Identity, ...]:
        """Return the identities of the person; raises ValueError as `named` does."""
        return named(self.person) if self.person is not None else ()


def rows(store: Store, whose: Whose = Whose()) -> Iterator[Row]:
    """Yield the entries of people and dashboards, and none of those that servers keep for themselves."""
    return _chosen(store.export, whose)


def outline(store: Store, whose: Whose = Whose()) -> Iterator[Row]:
    """Yield the same entries with their texts as they are stored, so that one which cannot be read hides no other."""
    return _chosen(store.outline, whose)


def _chosen(export: Callable[[Where], Iterator[Row]], whose: Whose) -> Iterator[Row]:
    wheres = [Where(identity=identity.text) for identity in whose.identities()] if whose.person is not None else []
    for where in wheres or [Where(audience=audience) for audience in AUDIENCES]:
        for row in export(where):
            if row.scope.audience in AUDIENCES and whose.has(row):
                yield row


def places(store: Store, whose: Whose) -> list[str]:
    """Return the deployments in which something is stored for a person or dashboard."""
    return sorted({space.deployment for row in outline(store, whose) if (space := _space(row))})


def export(store: Store, person: str) -> Iterator[str]:
    """Yield what is stored about a person, as one JSON object for each entry; raises ValueError as `named` does."""
    return map(line, rows(store, Whose(person)))


def forget(store: Store, whose: Whose, wait: Callable[[float], object] = time.sleep) -> int:
    """Erase what is stored for a person or a dashboard; return how many entries that were.

    The person's grants are refused from now on, and open pages are ended. Servers notice both within seconds. What code
    has written until then is erased as well. Raises ValueError as `named` does, and if neither is given.
    """
    if whose.person is None:
        return sum(store.erase(Where(space=space)) for space in _spaces(store, whose))
    identities, revoked = whose.identities(), Revoked(store)
    for identity in identities:
        revoked.revoke(identity)
    erased = _erase(store, identities)
    for session in sessions.found(store, sessions.Filter(user=whose.person)):
        with suppress(TooLarge):  # too many commands wait for that server, but it refuses the grants all the same
            sessions.tell(store, sessions.Command("end", session.id))
    if alive(store):
        wait(REMEMBERED)
        erased += _erase(store, identities)
    return erased


def _erase(store: Store, identities: tuple[Identity, ...]) -> int:
    return sum(store.erase(Where(audience, identity=one.text)) for one in identities for audience in AUDIENCES)


def _spaces(store: Store, whose: Whose) -> set[str]:
    if whose.place is None:
        raise ValueError("name a person or a dashboard whose state is to be erased.")
    return {row.scope.space for row in outline(store, whose)}


def line(row: Row) -> str:
    """Return an entry as one JSON object."""
    about = {
        "audience": row.scope.audience,
        "dashboard": place_of(row),
        "person": person_of(row) or None,
        "tab": row.scope.tab,
        "key": row.key,
        "expires": row.expires,
    }
    # The value goes in as it is stored, because json would refuse an int of more than 4300 digits.
    return f'{json.dumps(about)[:-1]}, "value": {row.text}}}'


def place_of(row: Row) -> str | None:
    """Return the dashboard or notebook of an entry; None for preferences, which have none."""
    space = _space(row)
    return space.place if space else None


def _space(row: Row) -> Space | None:
    try:
        return Space.read(row.scope.space)
    except ValueError:
        return None


def person_of(row: Row) -> str:
    """Return whose entry it is, as `named` reads it; empty for what is shared."""
    try:
        identity = Identity.read(row.scope.identity or "")
    except ValueError:
        return ""
    parts = (identity.realm, identity.kind, identity.username)
    return ":".join(part for part in parts if part)
