"""The kernel of a run that is forked, or from which others are forked: a process at the end of a private socket.

1. It begins without sockets of ZeroMQ, unknown to the server's manager of kernels. A page to which no browser connects
   never costs them.
2. ``attach`` makes it one of the manager's kernels: before a browser connects, and when the page's code asks for stored
   state, which arrives on a kernel's control channel.
3. What is the kernel's own, which is its key and its visitor, goes over its own socket only. The template, of which all
   others are copies, never has it.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

from jupyter_client.session import new_id
from jupyter_core.utils import ensure_async

from ... import wire
from ...kernel.forks.sockets import frames
from ...model import SessionInfo
from ...policy import RawRequest
from ...server.messages.clients import wrap_client
from ...server.messages.objects import Json
from ...server.messages.stamps import Stamps
from ...server.protocols import Client, Session
from ...server.reports import ears
from ...state.keys import Space
from ..runs.kept import Kernels
from ..runs.kernel import KernelFailed
from ..runs.protocols import PageClient
from ..services import Services
from ..visits import Visit
from .client import PipeClient
from .processes import GONE, Process
from .provisioner import ForkedProvisioner

PATIENCE = 60.0
"""Seconds for which a kernel may run a cell before it is ready for a browser."""

Fork = Callable[[socket.socket], Awaitable[Process]]
"""Makes the process of a kernel, with its end of the kernel's socket."""


class ForkedKernel:
    """A kernel at the end of a private socket."""

    aware: bool = True
    is_python: bool = True

    def __init__(self, services: Services, id: str, name: str, space: Space | None) -> None:
        """``name`` is that of its kernelspec; ``space`` is where its notebook's state is kept. It has to be started."""
        self.id, self.name, self.key = id, name, secrets.token_hex(32).encode()
        self.process: Process | None = None
        self._services, self._is_complete = services, False
        self._attaching: asyncio.Task[None] | None = None
        self._wanting: asyncio.Task[None] | None = None
        if services.state and space:  # before the first stamp
            services.state.places.dashboards[self.id] = space
            services.state.links.promise(self.id)
        self._stamps = self._stamps_of(None, "")
        ours, self._theirs = socket.socketpair()
        self.pipe = PipeClient(ours, self.key, services.log, self._hear)
        wrap_client(cast(Client, self.pipe), self, shares_session=False)
        self.pipe.write_json(frames.KEY, {"key": self.key.decode(), "session": new_id(), "kernel_id": self.id})

    async def start(self, fork: Fork) -> None:
        """Have its process made; raises KernelFailed."""
        try:
            self.process = await fork(self._theirs)
        except BaseException:
            await self.close(busy=False)
            raise
        finally:
            self._theirs.close()
        self._wanting = self._services.spawn(self._attach_if_wanted())

    @property
    def client(self) -> PageClient:
        """The client that runs the page's cells."""
        return cast(PageClient, self.pipe)

    @property
    def manager(self) -> ForkedKernel:
        """This kernel: nbclient interrupts it as it would interrupt another one's manager."""
        return self

    @property
    def is_idle(self) -> bool:
        """Whether the kernel's last status is idle."""
        return self.pipe.is_idle

    def message(self, msg: Json) -> Json:
        """Return a message of the page's client with the current stamp."""
        return self._stamps.noted(msg)

    async def ready(self, patience: Callable[[], float]) -> None:
        """Do nothing: the kernel was ready when it was forked."""

    async def is_alive(self) -> bool:
        """Whether the kernel's process runs."""
        return self.process is None or not self.process.ended.is_set()

    async def answer(self, channel: str) -> None:
        """Wait until the kernel has answered in turn. Without a control channel, it is enough that it is alive."""
        if channel == "shell":
            await self.pipe.answer()

    def give_to(self, visit: Visit) -> None:
        """Give the kernel to a visitor. A cell waits for the visitor, or the next cell will run."""
        context, key = self._services.context, visit.visitor.key
        context.origins.render(self.id, key, visit.page, path=visit.notebook.name)
        self._stamps = self._stamps_of(visit.asked.raw, key)
        header = self.pipe.session.msg(wire.CLAIM_TYPE)["header"]
        self._stamps.note(header)
        if signer := self._stamps.claim():
            ids = {name: header[name] for name in ("msg_id", "msg_type")}
            self.pipe.write_json(frames.VISITOR, {"header": ids, "stamp": signer.stamp(*ids.values())})

    def stop_listening(self) -> None:
        """Drop what the kernel publishes from now on: the page is complete. Errors are still reported."""
        self._is_complete = True
        self.pipe.be_quiet()
        self._quieten()

    def disconnect_soon(self) -> None:
        """Drop what the kernel publishes. The socket stays, because the kernel ends with it."""
        self.stop_listening()

    async def attach(self) -> None:
        """Make the kernel one of the server's manager; raises KernelFailed."""
        if self._attaching is None:
            self._attaching = self._services.spawn(self._attach())
        await asyncio.shield(self._attaching)

    async def interrupt(self) -> None:
        """Interrupt the running cell."""
        if self.process:
            self.process.signal(signal.SIGINT)

    interrupt_kernel = interrupt

    async def close(self, *, busy: bool) -> None:
        """End the kernel: its process ends with its socket. What runs is interrupted first.

        It is interrupted in any case: the page may be complete, and a callback busy. An idle kernel ignores that.
        """
        for task in filter(None, (self._wanting, self._attaching)):  # a task keeps the kernel, and what it knows
            task.cancel()
            await asyncio.wait((task,))
        await self.interrupt()
        self.pipe.stop_channels()
        if self.process and not await self.process.ends(GONE):
            self.process.signal(signal.SIGKILL)
            await self.process.ends(GONE)
        if self.id in self._services.kernels:
            await ensure_async(self._services.kernels.shutdown_kernel(self.id, now=True))
        if state := self._services.state:
            state.places.dashboards.pop(self.id, None)
            state.links.forget(self.id)

    def _stamps_of(self, raw: RawRequest | None, identity: str) -> Stamps:
        key, session = wire.derive_key(self.key), SessionInfo(kernel_id=self.id)
        return Stamps(self._services.context, key, raw, identity, session)

    def _hear(self, parts: list[bytes]) -> None:
        ears.tell(self._services.incidents, self.id, cast(Session, self.pipe.session), parts)

    async def _attach_if_wanted(self) -> None:
        """Attach the kernel when its code asks for stored state."""
        await self.pipe.wanted.wait()
        await self.attach()

    async def _attach(self) -> None:
        kernels = cast(Kernels, self._services.kernels)
        await kernels.adopt(self.id, self.name, self._dress)
        manager = cast(Any, kernels.get_kernel(self.id))
        manager.traceback_replacement_message = kernels.traceback_replacement_message
        if self._services.state:
            self._services.state.links.name(self.id)
        self._quieten()

    def _dress(self, manager: Any) -> None:
        """Make a manager that has not started a kernel yet start this one."""
        manager.provisioner = ForkedProvisioner(self, parent=manager, kernel_id=self.id)
        manager.session.key = self.key

    async def listen(self, info: dict[str, Any]) -> None:
        """Have the process listen at these addresses; raises KernelFailed."""
        self.pipe.write_json(frames.ATTACH, info)
        try:
            async with asyncio.timeout(PATIENCE):
                why = await asyncio.shield(self.pipe.attached)
        except TimeoutError:
            why = f"it ran a cell for {PATIENCE:.0f} seconds"
        if why:
            raise KernelFailed(f"A forked kernel cannot be reached: {why}.")

    def _quieten(self) -> None:
        """Let a kernel that is complete and attached publish on its own sockets only."""
        if self._is_complete and self.id in self._services.kernels:
            self.pipe.write(frames.QUIET)
