"""How an encrypted text looks, and whether a store has such texts: for code that has no key.

A text is encrypted if it begins with ``e1:``, with which no JSON begins.
"""

from __future__ import annotations

from enum import Enum

from ...errors import PolicyError, StateUnavailable
from .base import Store, Where
from .secret import META

PREFIX = "e1:"
OPTION = "state_encryption_keys"


class Flaw(Enum):
    """Why a stored text cannot be read, as the end of "What is stored …"."""

    KEYLESS = "is encrypted, and the server has no keys"
    FOREIGN = "was encrypted with another key"
    PLAIN = "is not encrypted"
    DAMAGED = "was changed or moved in the store"


def is_sealed(text: str) -> bool:
    """Whether a stored text is encrypted."""
    return text.startswith(PREFIX)


def flaw(_scope: str, _key: str, text: str) -> Flaw | None:
    """Return why a server without keys cannot read a text; None if it can."""
    return Flaw.KEYLESS if is_sealed(text) else None


def plain(text: str) -> str:
    """Return a text that is not encrypted; raise StateUnavailable for one that is."""
    if is_sealed(text):
        raise StateUnavailable(f"What is stored is encrypted, and the server has no AppMetaExtension.{OPTION}.")
    return text


def refuse_sealed(store: Store) -> None:
    """Raise PolicyError if what is in a store is encrypted. ``store`` gives its texts as they are."""
    found = sample(store)
    if found is not None and is_sealed(found):
        raise PolicyError(OPTION, "the store is encrypted: name the file with its keys.")


def holds_plain(store: Store) -> bool:
    """Whether something is stored that is not encrypted. ``store`` gives its texts as they are."""
    found = sample(store)
    return found is not None and not is_sealed(found)


def sample(store: Store) -> str | None:
    """Return a text of a store, the servers' secret if it is there; None if nothing is stored."""
    for entry in store.read(META.id, None).values():
        return entry.text
    return next((row.text for row in store.export(Where())), None)
