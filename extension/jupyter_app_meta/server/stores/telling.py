"""Where a server keeps state, and what is wrong with that place. A file that does not exist yet is not made."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ...errors import PolicyError, RequirementMissing, StateError
from ...state.stores import legible as legibility
from ...state.stores import sealed, servers
from ...state.stores.base import Where
from ...state.stores.legible import Count
from ...state.stores.open import open_store
from .opening import FILE, ask, keys_of, store_url

if TYPE_CHECKING:
    from ..app import AppMetaExtension


def told(extension: AppMetaExtension) -> tuple[str, tuple[str, ...]]:
    """Return a sentence that names the store, and its warnings; raises what ``opened`` raises."""
    url = store_url(extension)
    if url is None:
        return "is not kept (off).", ()
    keys = keys_of(extension)
    how = f"{_shown(url)}, encrypted with {len(keys)} key{'s' * (len(keys) > 1)}" if keys else _shown(url)
    store = open_store(url, keys=keys)  # refused here if an extra is missing
    with closing(store):
        return f"is kept in {how}.", () if is_new(url) else ask(store)


def legible(extension: AppMetaExtension) -> Count | None:
    """Return how much of the store can be read; None if there is nothing in it, or that cannot be known now."""
    with suppress(StateError, PolicyError, RequirementMissing):
        url = store_url(extension)
        if url is not None and not is_new(url):
            keys = keys_of(extension)
            with closing(open_store(url, keys=keys)) as store:
                found = legibility.count(store.outline(Where()), _flaw_of(keys))
                return found if found.looked else None
    return None


def _flaw_of(keys: tuple[bytes, ...]) -> Callable[[str, str, str], sealed.Flaw | None]:
    if not keys:
        return sealed.flaw
    from ...state.stores.encrypted import Keys  # late: it needs an extra

    return Keys(keys).flaw


def holder(extension: AppMetaExtension, server_id: str) -> str | None:
    """Return which process has a server's id in the store; None if none has, or the store does not tell."""
    with suppress(StateError, PolicyError, RequirementMissing):
        url = store_url(extension)
        if url is not None and not is_new(url):
            with closing(open_store(url, keys=keys_of(extension))) as store:
                return servers.holder(store, server_id)
    return None


def mixed(extension: AppMetaExtension, served: servers.Served) -> tuple[str, str] | None:
    """Return a place of state, and which server of other dashboards has it as well; None if none has, or unknown."""
    with suppress(StateError, PolicyError, RequirementMissing):
        url = store_url(extension)
        if url is not None and not is_new(url):
            with closing(open_store(url, keys=keys_of(extension))) as store:
                return servers.mixed(store, served)
    return None


def is_new(url: str) -> bool:
    """Return whether this is a file of state that does not exist yet."""
    return url.startswith(FILE) and url != FILE and not Path(url.removeprefix(FILE)).expanduser().exists()


def _shown(url: str) -> str:
    """Return a URL without its user, password and options."""
    parts = urlsplit(url)
    return url if url.startswith(FILE) else f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
