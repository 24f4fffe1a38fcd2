"""Which process a kernel has, so that a restart is seen.

1. A kernel that gets another process or other ports at a restart has restarted.
2. Of a kernel behind a gateway, the server knows neither. Its process is known by the name in its questions, from the
   first question on. Its manager notes it.
3. When the manager has restarted such a kernel, its process is not known until it asks. The gateway may also restart a
   kernel that has died: then the first question of the new process tells.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, NamedTuple

from ..protocols import PROCESS
from .control import is_remote


class Process(NamedTuple):
    """What a link connects to."""

    address: tuple[object, ...]
    name: str | None

    @classmethod
    def of(cls, kernel: Any) -> Process:
        """Return the process that a kernel has now, as far as it is known."""
        address = getattr(kernel.provisioner, "pid", None), kernel.transport, kernel.ip, kernel.control_port
        return cls(address, getattr(kernel, PROCESS, None))

    @classmethod
    def asking(cls, kernel: Any, session: str) -> Process:
        """Return the process that asks; ``session`` is in the header of its question."""
        if is_remote(kernel):
            setattr(kernel, PROCESS, session)
        return cls.of(kernel)

    def is_another_than(self, before: Process) -> bool:
        """Whether the kernel has restarted since. The first question of a process does not say so."""
        return self.address != before.address or before.name not in (None, self.name)


def noting_restarts(kernel: Any, restart: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Return the method that restarts a kernel behind a gateway, and notes that its process is another."""

    @wraps(restart)
    async def restart_kernel(*args: Any, **options: Any) -> Any:
        before = getattr(kernel, PROCESS, None)
        result = await restart(*args, **options)
        if getattr(kernel, PROCESS, None) == before:  # otherwise the new process has asked already
            setattr(kernel, PROCESS, None)
        return result

    return restart_kernel
