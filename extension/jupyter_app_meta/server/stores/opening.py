"""Opens the store that a deployer's options name, and says at start what is wrong with it.

1. A store that must not be used stops the server: an unknown URL, a missing extra, a newer schema.
2. A store that is away does not: pages work, and state works as soon as the store is back and passes the same check.
"""

from __future__ import annotations

import hashlib
import os
from base64 import b64decode, urlsafe_b64decode
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_core.paths import jupyter_data_dir

from ... import secret_files
from ...errors import PolicyError, StateUnavailable
from ...state.stores import sealed
from ...state.stores.base import Keep, Store, for_ever
from ...state.stores.open import open_store
from .unchecked import Unchecked

if TYPE_CHECKING:
    from ..app import AppMetaExtension

OFF = "off"

COOKIES = "cookie_secret"
"""The name of the file with a server's secret."""

FILE = "sqlite:///"

KEY = 32
"""Bytes of a key."""

EXPOSED = 0o026
"""Permissions that a file with keys must not have. Its group may read it, as that of a Kubernetes secret does."""


def store_url(extension: AppMetaExtension) -> str | None:
    """Return the URL of a server's store; None if state is off. Raises PolicyError for a file that has no URL."""
    url = extension.state_url.strip()
    if extension.state_url_file:
        if url:
            raise PolicyError("state_url_file", "it cannot be combined with state_url: set only one.")
        url = content(Path(extension.state_url_file))
    if url == OFF:
        return None
    return url or f"{FILE}{_folder() / 'state.db'}"


def state_file(url: str) -> Path | None:
    """Return the file of a store that is one."""
    return Path(url.removeprefix(FILE)).expanduser().absolute() if url.startswith(FILE) else None


def secret_file(url: str) -> Path:
    """Return where a server keeps its copy of the secret of a store: beside a file of state, or beside Jupyter's data.

    Servers of one account may have several databases, so each has a copy of its own.
    """
    if file := state_file(url):
        return file.with_name(COOKIES)
    return _folder() / f"{COOKIES}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def _folder() -> Path:
    return Path(jupyter_data_dir()).absolute() / "app-meta"


def opened(extension: AppMetaExtension, keep: Keep = for_ever) -> Store | None:
    """Return a server's store, and log what its deployer should know; None if state is off.

    Raises PolicyError for a store that must not be used, RequirementMissing if its extra is not installed.
    """
    url = store_url(extension)
    if url is None:
        return None
    store = open_store(url, keep, keys_of(extension))
    try:
        warnings = checked(store)
    except StateUnavailable as error:
        extension.log.warning("%s", _away(error))
        return Unchecked(store, checked)
    except PolicyError:
        store.close()
        raise
    for warning in warnings:
        extension.log.warning("%s", warning)
    return store


def ask(store: Store) -> tuple[str, ...]:
    """Return a store's warnings, or that it is away; raises PolicyError for a store that must not be used."""
    try:
        return checked(store)
    except StateUnavailable as error:
        return (_away(error),)


def _away(error: StateUnavailable) -> str:
    return f"{error} Pages work without their state until it can be used."


def checked(store: Store) -> tuple[str, ...]:
    """Return a store's warnings; raises PolicyError if it must not be used or is encrypted, StateUnavailable."""
    warnings = store.check()
    sealed.refuse_sealed(store)
    return warnings


def keys_of(extension: AppMetaExtension) -> tuple[bytes, ...]:
    """Return the keys with which state is encrypted; empty if it is not. Raises PolicyError for a file without any."""
    if not extension.state_encryption_keys:
        return ()
    file = Path(extension.state_encryption_keys).expanduser()
    try:
        found = secret_files.read(file)
        lines = found.content.decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = secret_files.reason(error)
        raise PolicyError(sealed.OPTION, f"{file} cannot be read ({reason}): name a file with keys.") from None
    if os.name == "posix" and found.mode & EXPOSED:
        raise PolicyError(sealed.OPTION, f"other accounts may change or read {file}: chmod 600 {file}")
    keys = tuple(_key(line.strip()) for line in lines if line.strip() and not line.startswith("#"))
    if not keys or None in keys:
        raise PolicyError(sealed.OPTION, f"{file} must have one key a line, such as `openssl rand -hex 32` writes.")
    return tuple(key for key in keys if key is not None)


def _key(line: str) -> bytes | None:
    """Return a key of 32 bytes that is written in hexadecimal digits or in base64; None for any other text."""
    for read in (bytes.fromhex, urlsafe_b64decode, b64decode):
        with suppress(ValueError):
            if len(found := read(line)) == KEY:
                return found
    return None


def content(file: Path) -> str:
    """Return the URL that a file has; raises PolicyError if it has none."""
    try:
        found = secret_files.text(file)
    except (OSError, UnicodeDecodeError) as error:
        reason = secret_files.reason(error)
        raise PolicyError("state_url_file", f"{file} cannot be read ({reason}): name a file with a URL.") from None
    if not found or len(found.split()) > 1:
        raise PolicyError("state_url_file", f"{file} must have one URL, such as redis://host, and nothing else.")
    return found
