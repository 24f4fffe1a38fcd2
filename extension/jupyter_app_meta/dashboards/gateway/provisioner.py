"""A provisioner, in jupyter_client's sense, of a kernel behind a gateway: a kernel manager uses it like a process."""

from __future__ import annotations

import asyncio
import secrets
import signal
from typing import Any, cast

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase

from ... import wire
from ...server.gateway.client import Gateway, GatewayFailed
from ...server.links.links import new_name
from ...server.protocols import KEY, LINK
from .options import environment
from .orphans import Orphans
from .relay import Relay

CHANNELS = ("shell", "iopub", "stdin", "control")


class GatewayProvisioner(KernelProvisionerBase):
    """Starts a kernel at a gateway and ends it there. The kernel gets no variable but its key and the named ones."""

    def __init__(self, gateway: Gateway, orphans: Orphans, patience: float, **options: Any) -> None:
        super().__init__(**options)
        self._gateway, self._orphans, self._patience = gateway, orphans, patience
        self._remote = ""
        self._relay: Relay | None = None
        self._ended = asyncio.Event()

    @property
    def has_process(self) -> bool:
        """Whether a kernel was started and has not been cleaned up."""
        return self._relay is not None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Choose the local sockets. The command, folder and environment of a local kernel are left out."""
        manager: Any = self.parent
        manager.write_connection_file()
        self.connection_info = manager.get_connection_info()
        return {"cmd": []}

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start the kernel at the gateway; return the addresses of the local sockets."""
        manager: Any = self.parent
        key = secrets.token_hex(32)
        env = {**environment(self._gateway.options), wire.KEY_VARIABLE: key}
        self._remote = await self._gateway.start(manager.kernel_name, env)
        self._orphans.add(self._remote)
        name = new_name(self._patience)
        setattr(manager, KEY, key.encode())
        setattr(manager, LINK, name)
        self._relay = Relay(self._gateway, self._remote, name, manager.session.clone(), self._ended.set)
        self._relay.start(manager.context, {name: manager._make_url(name) for name in CHANNELS})
        return self.connection_info

    async def poll(self) -> int | None:
        """Return None while the kernel lives."""
        return 1 if self._ended.is_set() or not self.has_process else None

    async def wait(self) -> int | None:
        """Wait until the kernel has ended."""
        if self.has_process:
            await self._ended.wait()
        self._close()
        return 0

    async def send_signal(self, signum: int) -> None:
        """Interrupt the kernel, or end it. A gateway knows no other signals."""
        if signum != signal.SIGINT:
            await self._end()
            return
        try:
            await self._gateway.interrupt(self._remote)
        except GatewayFailed as error:
            self.log.warning("A kernel could not be interrupted: %s", error)

    async def kill(self, restart: bool = False) -> None:
        """End the kernel."""
        await self._end()

    async def terminate(self, restart: bool = False) -> None:
        """End the kernel."""
        await self._end()

    async def shutdown_requested(self, restart: bool = False) -> None:
        """End the kernel."""
        await self._end()

    async def cleanup(self, restart: bool = False) -> None:
        """Close the local sockets."""
        self._close()

    async def _end(self) -> None:
        """End the kernel at the gateway. If that fails, it is tried again later."""
        remote, self._remote = self._remote, ""
        if remote:
            await self._orphans.end(remote)
        self._ended.set()

    def _close(self) -> None:
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.close()


def behind(gateway: Gateway, orphans: Orphans, patience: float, manager: Any) -> Any:
    """Make a kernel manager, which has not started a kernel yet, start it at a gateway; return it.

    The kernel waits ``patience`` seconds for answers about stored state.
    """
    provisioner = GatewayProvisioner(gateway, orphans, patience, parent=manager, kernel_id=manager.kernel_id)
    manager.provisioner = cast(Any, provisioner)
    return manager
