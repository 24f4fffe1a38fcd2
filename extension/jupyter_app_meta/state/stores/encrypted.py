"""A store whose texts are encrypted: a wrapper around any other store. Keys, names and times are not encrypted.

    text = "e1:" key's name ":" base64url(salt, AES-256-GCM(text))

1. Each text has a salt of its own, from which and from the deployer's key its AES key is made. No nonce comes twice.
2. A text belongs to its scope and key, which are authenticated with it: moved elsewhere, it cannot be read.
3. The first key encrypts, and all decrypt, so that keys can be changed while servers run.
4. What cannot be decrypted is an error. It never counts as absent, and a text that is not encrypted is not read.
5. `add` is a compare-and-set, because only this wrapper can see the number.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...errors import PolicyError, StateUnavailable
from ..keys import Scope
from ..values import Limits
from .base import Closeable, Entry, Notice, Row, Store, Where, insist
from .numbers import added
from .sealed import OPTION, PREFIX, Flaw, is_sealed, sample

SALT, NONCE = 16, bytes(12)  # the AES key of a text is used once, so its nonce may be fixed

log = logging.getLogger(__name__)


class Keys:
    """The deployer's keys of 32 bytes each, the first of which encrypts."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_name(key): key for key in keys}
        self._first = _name(keys[0])

    def seal(self, scope: str, key: str, text: str) -> str:
        """Return the encrypted text of a scope's key."""
        salt = os.urandom(SALT)
        cipher = AESGCM(_derived(self._keys[self._first], salt))
        body = cipher.encrypt(NONCE, text.encode(), _about(scope, key))
        return f"{PREFIX}{self._first}:{urlsafe_b64encode(salt + body).decode()}"

    def open(self, scope: str, key: str, sealed: str) -> str:
        """Return the text of a scope's key; raises StateUnavailable if none of the keys opens it."""
        found = self._opened(scope, key, sealed)
        if isinstance(found, Flaw):
            fix = "." if found is Flaw.DAMAGED else f": see AppMetaExtension.{OPTION}."
            raise StateUnavailable(f"What is stored {found.value}, so it cannot be read{fix}")
        return found

    def flaw(self, scope: str, key: str, sealed: str) -> Flaw | None:
        """Return why the text of a scope's key cannot be read; None if one of the keys opens it."""
        found = self._opened(scope, key, sealed)
        return found if isinstance(found, Flaw) else None

    def _opened(self, scope: str, key: str, sealed: str) -> str | Flaw:
        name, _, written = sealed.removeprefix(PREFIX).partition(":")
        if not is_sealed(sealed):
            return Flaw.PLAIN
        if name not in self._keys:
            return Flaw.FOREIGN
        try:
            body = urlsafe_b64decode(written)
            cipher = AESGCM(_derived(self._keys[name], body[:SALT]))
            return cipher.decrypt(NONCE, body[SALT:], _about(scope, key)).decode()
        except (InvalidTag, ValueError):
            return Flaw.DAMAGED

    def knows(self, sealed: str) -> bool:
        """Whether one of the keys has encrypted this text."""
        return is_sealed(sealed) and sealed.removeprefix(PREFIX).partition(":")[0] in self._keys


class Encrypted:
    """A store that encrypts what it hands to another one."""

    def __init__(self, store: Store, keys: Sequence[bytes]) -> None:
        self._store, self._keys = store, Keys(keys)
        self._has_said = False

    def read(self, scope: str, keys: Collection[str] | None) -> dict[str, Entry]:
        """See `Store.read`."""
        return {key: self._opened(scope, key, entry) for key, entry in self._store.read(scope, keys).items()}

    def readable(self, scope: str, keys: Collection[str] | None) -> dict[str, Entry]:
        """See `Store.readable`."""
        found = dict[str, Entry]()
        for key, entry in self._store.read(scope, keys).items():
            try:
                found[key] = self._opened(scope, key, entry)
            except StateUnavailable as error:
                self._say(error)
        return found

    def glance(self, scope: str, keys: Collection[str] | None) -> dict[str, Entry] | None:
        """See `Store.glance`."""
        with suppress(StateUnavailable):
            if (found := self._store.glance(scope, keys)) is not None:
                return {key: self._opened(scope, key, entry) for key, entry in found.items()}
        return None

    def apply(
        self,
        scope: Scope,
        expects: Mapping[str, int],
        puts: Mapping[str, str],
        drops: Collection[str],
        ttl: float | None,
        *,
        whole: bool = False,
        limits: Limits | None = None,
    ) -> dict[str, int]:
        """See `Store.apply`. The bytes of a scope are those of the encrypted texts."""
        sealed = {key: self._keys.seal(scope.id, key, text) for key, text in puts.items()}
        return self._store.apply(scope, expects, sealed, drops, ttl, whole=whole, limits=limits)

    def add(self, scope: Scope, key: str, amount: float, *, limits: Limits | None = None) -> Entry:
        """See `Store.add`."""
        return insist(lambda: self.try_add(scope, key, amount, limits=limits))

    def try_add(self, scope: Scope, key: str, amount: float, *, limits: Limits | None = None) -> Entry:
        """See `Store.try_add`."""
        have = self.read(scope.id, (key,)).get(key)
        total = added(key, have.text if have else None, amount)
        return Entry(total, self.replace(scope, key, have.version if have else 0, total, limits=limits))

    def replace(self, scope: Scope, key: str, version: int, text: str, *, limits: Limits | None = None) -> int:
        """See `Store.replace`."""
        return self._store.replace(scope, key, version, self._keys.seal(scope.id, key, text), limits=limits)

    def erase(self, where: Where) -> int:
        """See `Store.erase`."""
        return self._store.erase(where)

    def export(self, where: Where) -> Iterator[Row]:
        """See `Store.export`."""
        for row in self._store.outline(where):
            yield replace(row, text=self._keys.open(row.scope.id, row.key, row.text))

    def outline(self, where: Where) -> Iterator[Row]:
        """See `Store.outline`."""
        return self._store.outline(where)

    def sweep(self) -> int:
        """See `Store.sweep`."""
        return self._store.sweep()

    def feed(self, heard: Callable[[Notice], None]) -> Closeable:
        """See `Store.feed`."""
        return self._store.feed(heard)

    def check(self) -> tuple[str, ...]:
        """See `Store.check`. A store with texts that no key opens must not be used."""
        warnings = self._store.check()
        found = sample(self._store)
        if found is not None and not is_sealed(found):
            copies = "`jupyter app-meta state copy` copies it to an empty store, which is encrypted"
            raise PolicyError(OPTION, f"the store is not encrypted: {copies}.")
        if found is not None and not self._keys.knows(found):
            raise PolicyError(OPTION, "the store was encrypted with another key: add it to the file.")
        return warnings

    def close(self) -> None:
        """See `Store.close`."""
        self._store.close()

    def _say(self, error: StateUnavailable) -> None:
        """Log why an entry is left out, once."""
        if not self._has_said:
            self._has_said = True
            log.warning("an entry that servers keep of themselves is left out: %s", error)

    def _opened(self, scope: str, key: str, entry: Entry) -> Entry:
        return Entry(self._keys.open(scope, key, entry.text), entry.version)


def _name(key: bytes) -> str:
    return hmac.digest(key, b"jupyter-app-meta state key's name", "sha256").hex()[:8]


def _derived(key: bytes, salt: bytes) -> bytes:
    return hmac.digest(key, b"jupyter-app-meta state 1" + salt, hashlib.sha256)


def _about(scope: str, key: str) -> bytes:
    return json.dumps([scope, key]).encode()
