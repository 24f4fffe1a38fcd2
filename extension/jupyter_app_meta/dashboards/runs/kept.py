"""The kernels of dashboards, and what they publish while their page is away: kept up to a limit."""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

KEPT = 64 * 1024 * 1024
"""The most bytes that are kept for one page. A page that has lost some is to be loaded again."""

MESSAGE_COST = 1024
"""About as many bytes a message costs that is kept, beside its own."""


class Keeper(Protocol):
    """What is told of a kernel whose page is away."""

    def heard(self, kernel_id: str, channel: str, parts: list[Any]) -> None:
        """A packed message is kept for the page."""

    def lost(self, kernel_id: str) -> None:
        """What was kept for the page was thrown away."""


class Kernels(AsyncMappingKernelManager):
    """jupyter_server's manager, which keeps without limit what is published for a page that is away."""

    def __init__(self, keeper: Keeper, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]  # jupyter_server's own
        self._keeper = keeper

    def start_buffering(self, kernel_id: str, session_key: str, channels: Any) -> None:
        """Keep what a kernel publishes, up to the limit."""
        super().start_buffering(kernel_id, session_key, channels)  # type: ignore[no-untyped-call]  # as above
        if not self.buffer_offline_messages:
            return
        info = self._kernel_buffers[kernel_id]
        info["bytes"] = 0
        for channel, stream in channels.items():
            stream.on_recv(partial(self._keep, kernel_id, info, channel))

    def _keep(self, kernel_id: str, info: dict[str, Any], channel: str, parts: list[Any]) -> None:
        self._keeper.heard(kernel_id, channel, parts)
        info["buffer"].append((channel, parts))
        info["bytes"] += sum(map(len, parts)) + MESSAGE_COST
        if info["bytes"] > KEPT and kernel_id in self:
            self.log.warning("A page that is away has lost its output: more than %s bytes came.", KEPT)
            self._keeper.lost(kernel_id)
            self.stop_buffering(kernel_id)  # type: ignore[no-untyped-call]  # as above
