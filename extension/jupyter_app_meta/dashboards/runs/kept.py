"""The kernels of dashboards. While a page is disconnected, what its kernel publishes is buffered up to a limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

from ...server.messages.sockets import receive_few
from .protocols import Buffer, Stream

KEPT = 64 * 1024 * 1024
"""How many bytes are buffered for one page. A page that loses messages must be reloaded."""

MESSAGE_COST = 1024
"""Approximate bytes of memory that a buffered message takes in addition to its content."""


class Keeper(Protocol):
    """Learns what happens to the messages of a kernel whose page is disconnected."""

    def heard(self, kernel_id: str, channel: str, parts: list[bytes]) -> None:
        """Note that a packed message is buffered for the page."""

    def lost(self, kernel_id: str) -> None:
        """Note that the page's buffer was discarded."""


class Kernels(AsyncMappingKernelManager):
    """jupyter_server's manager with ids from ``new_id``, and with a limit to what is buffered for a page."""

    def __init__(self, keeper: Keeper, new_id: Callable[[], str], **options: object) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]  # jupyter_server's own
        self._keeper, self._new_id = keeper, new_id
        self._adopted: dict[str, Callable[[Any], None]] = {}

    async def adopt(self, kernel_id: str, name: str, dress: Callable[[Any], None]) -> None:
        """Take in a kernel whose process runs already. ``dress`` makes its new manager know the process."""
        self._adopted[kernel_id] = dress
        try:
            await self.start_kernel(kernel_id=kernel_id, kernel_name=name)
        finally:
            self._adopted.pop(kernel_id, None)

    def pre_start_kernel(self, kernel_name: str | None, kwargs: Any) -> tuple[Any, str, str]:
        """Make the manager of a kernel that is about to start."""
        made: tuple[Any, str, str] = super().pre_start_kernel(kernel_name, kwargs)
        if dress := self._adopted.pop(made[2], None):
            dress(made[0])
        return made

    def new_kernel_id(self, **options: object) -> str:
        """Return an id for a new kernel; a proxy finds this server by it."""
        return self._new_id()

    def start_watching_activity(self, kernel_id: str) -> None:
        """Listen to a kernel, without receiving much of it ahead."""
        super().start_watching_activity(kernel_id)  # type: ignore[no-untyped-call]  # as above
        kernel: Any = self.get_kernel(kernel_id)
        receive_few(kernel._activity_stream, kernel)

    def start_buffering(self, kernel_id: str, session_key: str, channels: Mapping[str, Stream]) -> None:
        """Buffer what a kernel publishes, up to the limit."""
        super().start_buffering(kernel_id, session_key, channels)  # type: ignore[no-untyped-call]  # as above
        if not self.buffer_offline_messages:
            return
        kept: Buffer = self._kernel_buffers[kernel_id]
        kept["bytes"] = 0
        for channel, stream in channels.items():
            stream.on_recv(partial(self._keep, kernel_id, kept, channel))

    def _keep(self, kernel_id: str, kept: Buffer, channel: str, parts: list[bytes]) -> None:
        self._keeper.heard(kernel_id, channel, parts)
        kept["buffer"].append((channel, parts))
        kept["bytes"] += sum(map(len, parts)) + MESSAGE_COST
        if kept["bytes"] > KEPT and kernel_id in self:
            self.log.warning("Discarded a disconnected page's output: its kernel published more than %s bytes.", KEPT)
            self._keeper.lost(kernel_id)
            self.stop_buffering(kernel_id)  # type: ignore[no-untyped-call]  # as above
