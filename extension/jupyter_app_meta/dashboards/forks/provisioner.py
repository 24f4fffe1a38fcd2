"""A provisioner, in jupyter_client's sense, of a kernel that was forked: a kernel manager uses it like a process."""

from __future__ import annotations

import signal
from typing import Any, Protocol

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.provisioning.factory import KernelProvisionerFactory
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from jupyter_server.services.kernels.kernelmanager import ServerKernelManager

from .processes import Process

NOT_TOLD = ("key", "signature_scheme", "kernel_name", "jupyter_session")
"""Parts of a connection's info that a fork has, or does not need."""


LOCAL = "local-provisioner"
"""The name of jupyter_client's own provisioner, which starts a process on this machine."""

MANAGER = f"{ServerKernelManager.__module__}.{ServerKernelManager.__name__}"
"""The class of jupyter_server's own managers of kernels."""


def started_otherwise(kernels: Any, spec: KernelSpec) -> str:
    """Return what makes the start of a kernel something else than a process of this server; nothing if it is one.

    A provisioner, or a class of managers, may start kernels on another machine, in a container or as another account.
    """
    given = (spec.metadata or {}).get("kernel_provisioner") or {}
    name = given.get("provisioner_name") or KernelProvisionerFactory(parent=kernels).default_provisioner_name
    if name != LOCAL:
        return f"the provisioner {name!r} starts its kernels"
    if kernels.kernel_manager_class != MANAGER:
        return f"{kernels.kernel_manager_class} manages its kernels"
    encryption = getattr(kernels, "transport_encryption", "disabled")  # older releases of jupyter_server have none
    return "" if encryption == "disabled" else f"transport_encryption is {encryption!r}, and forks have none"


class Reached(Protocol):
    """A forked kernel: the parts that a provisioner needs."""

    process: Process | None

    async def listen(self, info: dict[str, Any]) -> None:
        """Have the process listen at these addresses; raises KernelFailed."""


class ForkedProvisioner(KernelProvisionerBase):
    """Has a process that runs already listen at the addresses of its manager."""

    def __init__(self, kernel: Reached, **options: Any) -> None:
        super().__init__(**options)
        assert kernel.process is not None
        self._kernel, self._process = kernel, kernel.process

    @property
    def has_process(self) -> bool:
        """Whether the process runs."""
        return not self._process.ended.is_set()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Choose the addresses."""
        manager: Any = self.parent
        manager.write_connection_file()
        self.connection_info = manager.get_connection_info()
        return {"cmd": []}

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Have the process listen; return the addresses."""
        told = {name: value for name, value in self.connection_info.items() if name not in NOT_TOLD}
        await self._kernel.listen(told)
        return self.connection_info

    async def poll(self) -> int | None:
        """Return None while the process runs."""
        return None if self.has_process else 0

    async def wait(self) -> int | None:
        """Wait until the process has ended."""
        await self._process.ended.wait()
        return 0

    async def send_signal(self, signum: int) -> None:
        """Send a signal to the process and those that it started."""
        self._process.signal(signum)

    async def kill(self, restart: bool = False) -> None:
        """End the process."""
        self._process.signal(signal.SIGKILL)

    async def terminate(self, restart: bool = False) -> None:
        """Ask the process to end."""
        self._process.signal(signal.SIGTERM)

    async def cleanup(self, restart: bool = False) -> None:
        """Do nothing: the kernel's run cleans up."""
