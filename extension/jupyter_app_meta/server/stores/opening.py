"""Opens the store that a deployer's options name, and says at start what is wrong with it.

1. A store that must not be used stops the server: an unknown URL, a missing extra, a newer schema.
2. A store that is away does not: pages work, and state works as soon as the store is back.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_core.paths import jupyter_data_dir

from ...errors import PolicyError, StateUnavailable
from ...state.stores.base import Keep, Store, for_ever
from ...state.stores.open import open_store

if TYPE_CHECKING:
    from ..app import AppMetaExtension

OFF = "off"

COOKIES = "cookie_secret"
"""The name of the file with a server's secret."""

FILE = "sqlite:///"


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


def secret_file(url: str) -> Path:
    """Return where a server keeps its copy of the secret of a store: beside a file of state, or beside Jupyter's data.

    Servers of one account may have several databases, so each has a copy of its own.
    """
    if url.startswith(FILE):
        return Path(url.removeprefix(FILE)).expanduser().absolute().with_name(COOKIES)
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
    store = open_store(url, keep)
    try:
        for warning in ask(store):
            extension.log.warning("%s", warning)
    except PolicyError:
        store.close()
        raise
    return store


def ask(store: Store) -> tuple[str, ...]:
    """Return a store's warnings, or that it is away; raises PolicyError for a store that must not be used."""
    try:
        return store.check()
    except StateUnavailable as error:
        return (f"{error} Pages work without their state until it can be used.",)


def content(file: Path) -> str:
    """Return the URL that a file has; raises PolicyError if it has none."""
    try:
        found = file.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise PolicyError("state_url_file", f"{file} cannot be read ({reason}): name a file with a URL.") from None
    if not found or len(found.split()) > 1:
        raise PolicyError("state_url_file", f"{file} must have one URL, such as redis://host, and nothing else.")
    return found
