"""The kernelspecs of a gateway: the last ones that it told. It is asked again from time to time."""

from __future__ import annotations

import time
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel

from ...server.gateway.client import Gateway, GatewayFailed
from .orphans import Orphans

AGAIN = 30
"""Seconds after which the gateway is asked again."""


class GatewaySpecs(KernelSpecManager):
    """The kernelspecs of a gateway in the form of jupyter_client's manager, whose methods do not wait."""

    def __init__(self, gateway: Gateway, orphans: Orphans, **options: Any) -> None:
        super().__init__(**options)
        self.gateway, self.orphans = gateway, orphans
        self.is_known = False
        self._asked = 0.0
        self._specs: dict[str, dict[str, Any]] = {}

    async def refresh(self) -> None:
        """Ask the gateway. If it fails, the last answer holds; raises GatewayFailed if there is none."""
        try:
            found = await self.gateway.specs()
        except GatewayFailed as error:
            if not self.is_known:
                raise
            self.log.warning("The kernelspecs could not be read again: %s", error)
            return
        allowed = self.allowed_kernelspecs
        self._specs = {name: each for name, each in found.items() if not allowed or name in allowed}
        self.is_known = True

    async def look_after(self) -> None:
        """End kernels that could not be ended before, and ask for the kernelspecs again if the answer is old."""
        await self.orphans.sweep()
        if time.monotonic() - self._asked >= AGAIN:
            self._asked = time.monotonic()
            await self.refresh()

    def get_all_specs(self) -> dict[str, Any]:
        """Return the kernelspecs by name."""
        return {name: {"resource_dir": "", "spec": each.get("spec", {})} for name, each in self._specs.items()}

    def find_kernel_specs(self) -> dict[str, str]:
        """Return the names, without folders: the gateway's are not here."""
        return dict.fromkeys(self._specs, "")

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return a kernelspec; raises NoSuchKernel."""
        if kernel_name not in self._specs:
            raise NoSuchKernel(kernel_name)
        spec: dict[str, Any] = self._specs[kernel_name].get("spec", {})
        known = {name: value for name, value in spec.items() if name in KernelSpec.class_trait_names()}
        return KernelSpec(resource_dir="", **known)
