"""Passwords and their argon2 hashes.

Checking costs 64 MiB and a twentieth of a second, on purpose. So few checks run at once, and in threads.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

AT_ONCE = 2
WAITING = 32
"""How many logins may wait for their check. A further one is refused."""

_hasher = PasswordHasher()


def hashed(password: str) -> str:
    """Return the hash of a password."""
    return _hasher.hash(password)


def is_hash(text: str) -> bool:
    """Whether a text is an argon2 hash."""
    try:
        _hasher.check_needs_rehash(text)
    except (Argon2Error, InvalidHashError, ValueError):
        return False
    return True


def mark(hash: str) -> str:
    """Return what tells one password of an account from its next: sessions of the old one end."""
    return hashlib.sha256(hash.encode()).hexdigest()[:16]


class Busy(Exception):
    """Too many logins wait already."""


class Checker:
    """Checks passwords. An unknown name takes as long as a wrong password, because a hash of ours is checked for it."""

    def __init__(self) -> None:
        self._decoy = ""
        self._places = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def fits(self, hash: str | None, password: str) -> bool:
        """Whether a password fits a hash; False for no hash. Raises Busy."""
        if self._waiting >= WAITING:
            raise Busy
        self._waiting += 1
        try:
            async with self._places:
                if not self._decoy:
                    self._decoy = await asyncio.to_thread(hashed, secrets.token_urlsafe())
                found = await asyncio.to_thread(_fits, hash or self._decoy, password)
        finally:
            self._waiting -= 1
        return found and hash is not None


def _fits(hash: str, password: str) -> bool:
    try:
        return _hasher.verify(hash, password)
    except (Argon2Error, InvalidHashError, ValueError):
        return False
