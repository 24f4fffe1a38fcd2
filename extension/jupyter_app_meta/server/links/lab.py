"""Stored state of a server of notebooks (Jupyter Server, Lab, Notebook)."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Mapping
from typing import Any

from ...errors import AppMetaError
from ...state import keeping
from ...state.grants import derive_key
from ...state.paging.operations import NoPageService
from ...state.stores.base import Store
from ..stores import beside
from .granting import Places, realm_of
from .kept import Kept, Terms


def kept_by(store: Store, terms: Terms, realm: str, settings: Mapping[str, Any], log: logging.Logger) -> Kept:
    """Return the parts of stored state in a server with these settings of its web application."""

    def kernel(kernel_id: str) -> Any | None:
        manager = settings["kernel_manager"]  # an extension may set its own later
        return manager.get_kernel(kernel_id) if kernel_id in manager else None

    # Notebooks have paths below the server's root, and two servers may have different roots.
    deployment = terms.deployment or str(settings.get("server_root_dir", ""))
    places = Places(deployment, realm or realm_of(settings["identity_provider"]))
    secret = hmac.digest(settings["cookie_secret"], b"jupyter-app-meta grants", "sha256")
    return Kept.of(store, derive_key(secret), terms, places, kernel, log, _named_by_grants, NoPageService())


async def look_after(store: Store, log: logging.Logger) -> None:
    """Erase what is over, once an hour, as long as the loop runs."""
    while True:
        try:
            await beside.own(store, lambda: keeping.sweep(store))
        except AppMetaError as error:  # the next time, the store may be back
            log.warning("jupyter-app-meta: stored state that is over could not be erased (%s).", type(error).__name__)
        await asyncio.sleep(keeping.HOUR)


async def _named_by_grants(_: str) -> None:
    """Return no tab: a notebook in an editor is in the tab that its grants name."""
