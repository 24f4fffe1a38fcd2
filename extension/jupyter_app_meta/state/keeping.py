"""How long stored state is kept, and what is stored about one person.

1. One of the servers of a store sweeps it, once an hour. A sweep that fails is tried again an hour later.
2. A person is named by realm, kind and username, such as ``hub:user:alice``: a username alone may be several persons'.
3. An export has what was put, to the letter. It has nothing that is stored for the use of servers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..errors import Conflict
from .keys import AUDIENCES, Identity, Scope, Space
from .stores.base import Row, Store, Where

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


def export(store: Store, person: str) -> Iterator[str]:
    """Yield what is stored about a person, as one JSON object for each entry; raises ValueError as `named` does."""
    for identity in named(person):
        for row in store.export(Where(identity=identity.text)):
            if row.scope.audience in AUDIENCES:
                yield _line(row)


def _line(row: Row) -> str:
    about = {
        "audience": row.scope.audience,
        "dashboard": _place(row.scope.space),
        "tab": row.scope.tab,
        "key": row.key,
        "expires": row.expires,
    }
    # The value goes in as it is stored, because json would refuse an int of more than 4300 digits.
    return f'{json.dumps(about)[:-1]}, "value": {row.text}}}'


def _place(space: str) -> str | None:
    """Return a dashboard or notebook; None for preferences, which have none."""
    try:
        return Space.read(space).place
    except ValueError:
        return None
