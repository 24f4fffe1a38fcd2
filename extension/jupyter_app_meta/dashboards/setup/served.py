"""What a server serves, as other servers of its store are told: which notebook keeps state in which place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...server.app import AppMetaExtension
from ...state.stores.servers import Served
from ..files import listing
from ..mounts import Mount


def served(extension: AppMetaExtension, base_url: str, mounts: Iterable[Mount]) -> Served:
    """Return what a server serves; nothing if its deployer has named its deployment, and knows who shares its state."""
    if extension.state_deployment:
        return Served()
    return Served.of(base_url, dict(pair for mount in mounts for pair in _notebooks(mount)))


def _notebooks(mount: Mount) -> Iterator[tuple[str, str]]:
    """Yield the places of a mount's state, and the names of the notebooks there."""
    if not mount.dynamic:
        yield mount.settings.state or mount.route.path, mount.place.name
        return
    yield from ((f"{mount.route.path.rstrip('/')}/{name}", name) for name in listing.names(mount.place))
