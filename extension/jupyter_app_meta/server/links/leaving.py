"""Kernels behind a gateway to which no editor is connected any more, but which may still run code that needs its link.

1. A gateway does not cull a kernel that is connected. So the link stays only while the gateway says that the kernel is
   busy. Between two cells a kernel is idle for a moment: it counts as idle if it is so twice in a row.
2. A link stays for at most the lifetime of a grant. After that, the code that still runs may not use state anyway.
3. While the gateway does not answer, the link stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from jupyter_server.gateway.gateway_client import GatewayClient

from ...state.grants import LIFETIME
from ..gateway.client import Gateway, GatewayFailed

PAUSE, MOMENT = 5.0, 1.0
"""Seconds until the gateway is asked again, about a busy kernel and about one that was idle."""


class Leaving:
    """The kernels whose last editor has left; ``rest`` is called with the id of one that has become idle."""

    def __init__(self, rest: Callable[[str], object], log: logging.Logger) -> None:
        self._rest, self._log = rest, log
        self._waits: dict[str, asyncio.Task[None]] = {}

    def begin(self, kernel_id: str) -> None:
        """Note that the last editor has left a kernel."""
        self.end(kernel_id)
        self._waits[kernel_id] = asyncio.get_running_loop().create_task(self._wait(kernel_id))

    def end(self, kernel_id: str) -> None:
        """Note that an editor uses the kernel again, or that the kernel has ended. Idempotent."""
        if wait := self._waits.pop(kernel_id, None):
            wait.cancel()

    def close(self) -> None:
        """Wait for no kernel any more."""
        for kernel_id in tuple(self._waits):
            self.end(kernel_id)

    async def _wait(self, kernel_id: str) -> None:
        gateway = Gateway(GatewayClient.instance(), self._log)
        try:
            await until_idle(gateway, kernel_id)
        finally:
            gateway.close()
        del self._waits[kernel_id]
        self._rest(kernel_id)


async def until_idle(gateway: Gateway, kernel_id: str) -> None:
    """Wait until a kernel is idle or has ended, for at most the lifetime of a grant."""
    idle = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(LIFETIME):
            while (idle := 0 if await _is_busy(gateway, kernel_id) else idle + 1) < 2:
                await asyncio.sleep(MOMENT if idle else PAUSE)


async def _is_busy(gateway: Gateway, kernel_id: str) -> bool:
    try:
        return await gateway.state(kernel_id) == "busy"
    except GatewayFailed as error:
        return not (error.status == 404 and error.is_explained)  # a proxy's own 404 says that the gateway is away
