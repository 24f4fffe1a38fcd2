"""The secret that servers of one store share: the first one that is put there is the secret of all."""

from __future__ import annotations

from contextlib import suppress

from ...errors import Conflict, StateUnavailable
from ..keys import Scope
from .base import Store

META = Scope("meta", "")
"""Where a store keeps what belongs to the servers, and to no visitor."""

COOKIES = "cookie_secret"

SHORTEST = 16
"""Bytes of a secret; fewer could be guessed."""


def agreed(store: Store, own: bytes) -> bytes:
    """Return the secret of the store, ``own`` if it has none yet; raise StateUnavailable if it cannot be read."""
    while True:
        found = store.read(META.id, (COOKIES,)).get(COOKIES)
        if found is not None:
            return _read(found.text)
        try:
            store.apply(META, {COOKIES: 0}, {COOKIES: own.hex()}, (), None)
        except Conflict:
            continue  # another server was faster
        return own


def _read(text: str) -> bytes:
    with suppress(ValueError):
        if len(found := bytes.fromhex(text)) >= SHORTEST:
            return found
    raise StateUnavailable("The servers' secret in the store cannot be read.")
