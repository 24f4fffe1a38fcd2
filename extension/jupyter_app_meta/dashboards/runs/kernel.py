"""One kernel that runs one page: its start, its stamps and its claim.

1. Until the kernel has its visitor, its messages carry a pending stamp: code that asks for the request waits.
2. From then on each message is stamped for the visitor. The claim gives the visitor to a cell that already waits.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from queue import Empty
from typing import cast

from jupyter_client.session import new_id
from jupyter_core.utils import ensure_async

from ... import wire
from ...model import SessionInfo
from ...server.messages.clients import wrap_client
from ...server.messages.objects import Json
from ...server.messages.sockets import look_again, make_patient
from ...server.messages.stamps import Stamps
from ...server.protocols import key_of
from ...state.keys import Space
from ..services import Services
from ..visits import Visit
from . import priority
from .protocols import Channel, Client, Manager

LOAD = '__import__("jupyter_app_meta.kernel.extension").kernel.extension.load_page(get_ipython()) or True'
"""Makes a Python kernel listen for its claim, follow threads, offer ``%app_meta`` and lose no output."""

LAST_WORDS = 0.3
"""Seconds between a cell's interrupt and the kernel's shutdown: ipykernel does not handle both at once."""

NOT_INHERITED = (
    wire.KEY_VARIABLE,
    "JUPYTER_TOKEN",
    "JUPYTERHUB_API_TOKEN",
    "JPY_API_TOKEN",
    "QUERY_STRING",
    "VOILA_REQUEST_URL",
    "VOILA_PREHEAT",
)
"""Variables that a kernel does not inherit: the server's secrets, and what a cell would take for its page's address."""


class KernelFailed(RuntimeError):
    """A kernel did not start: it ended or did not answer, or its page was closed."""


class _Environment(dict[str, str]):
    """An environment whose repr is empty, because jupyter_client logs the arguments of each start."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "{…}"


class Kernel:
    """A started kernel and the client that runs its page."""

    def __init__(self, services: Services, kernel_id: str, *, ahead: bool) -> None:
        self.id = kernel_id
        self.manager = cast(Manager, services.kernels.get_kernel(kernel_id))
        self._services = services
        self._ahead = ahead
        # jupyter_server reads this text from each kernel, but sets it on the manager of all kernels only.
        self.manager.traceback_replacement_message = services.kernels.traceback_replacement_message
        self._key = key_of(self.manager, self.manager.session)
        self._stamps = Stamps(services.context, self._key, None, "", SessionInfo(kernel_id=kernel_id))
        self.client = self._connect()
        self.aware = False
        self._is_ready = False
        self._is_loading = False
        if ahead:
            priority.lower(self._pid)

    @classmethod
    async def start(
        cls, services: Services, name: str, folder: Path, *, ahead: bool, space: Space | None = None
    ) -> Kernel:
        """Start a kernel of this kernelspec in a folder; ``space`` is where its notebook's state is kept."""
        env = _Environment((name, value) for name, value in os.environ.items() if name not in NOT_INHERITED)
        kernel_id = await services.kernels.start_kernel(kernel_name=name, cwd=str(folder), env=env)
        if services.state and space:  # before the first stamp
            services.state.places.dashboards[kernel_id] = space
        return cls(services, kernel_id, ahead=ahead)

    @property
    def _pid(self) -> int | None:
        return getattr(self.manager.provisioner, "pid", None)

    @property
    def is_python(self) -> bool:
        """Whether the kernelspec says that the kernel speaks Python."""
        return (self.manager.kernel_spec.language or "").lower() == "python"

    def _connect(self) -> Client:
        client = wrap_client(self.manager.client(context=self._services.sockets), self)
        client.allow_stdin = False
        client.start_channels(stdin=False, hb=False)
        return client

    def message(self, msg: Json) -> Json:
        """Return a message of the page's client with the current stamp."""
        return msg if self._is_loading else self._stamps.noted(msg)

    async def ready(self, patience: Callable[[], float]) -> None:
        """Wait for ``patience()`` seconds until the kernel answers on both its channels; raises KernelFailed."""
        timeout = patience()
        try:
            async with asyncio.timeout(timeout):
                while not await self._is_heard():
                    pass
                self._is_ready = True
                await self._load()
        except TimeoutError:
            raise KernelFailed(f"The kernel did not answer within {timeout:.0f} seconds.") from None

    async def _is_heard(self) -> bool:
        """Whether the kernel replies, and both the page and the server have a status.

        Each of the three arrives on a connection of its own. A server that connects late would miss that a cell has
        ended, and would take the kernel for busy ever after.
        """
        msg_id = self.client.kernel_info()
        await self._reply(msg_id)
        try:
            while True:
                message = await self.client.get_iopub_msg(timeout=0.05)
                is_status = _answers(message, msg_id) and message["msg_type"] == "status"
                if is_status and self.manager.execution_state != "starting":
                    return True
        except Empty:
            return False

    async def _reply(self, msg_id: str) -> Json:
        while True:
            try:
                message = await self.client.get_shell_msg(timeout=1)
            except Empty:
                if not await self.is_alive():
                    raise KernelFailed("The kernel ended before it answered.") from None
            else:
                if _answers(message, msg_id):
                    return message

    async def is_alive(self) -> bool:
        """Whether the kernel's process runs."""
        return bool(await self.manager.is_alive())

    @property
    def is_idle(self) -> bool:
        """Whether the kernel's last status is idle. The server receives it on a connection of its own."""
        return bool(self.manager.execution_state == "idle")

    async def answer(self, channel: str) -> None:
        """Wait until the kernel has answered a request on this channel, over a new connection."""
        client = self.manager.client(context=self._services.sockets)
        client.session = client.session.clone()
        client.session.session = new_id()  # with the same id it would receive the replies of the page's own client
        make_patient(client)
        client.start_channels(
            shell=channel == "shell", control=channel == "control", iopub=False, stdin=False, hb=False
        )
        asked: Channel = getattr(client, f"{channel}_channel")
        try:
            asked.send(client.session.msg("kernel_info_request"))
            await asked.get_msg()
        finally:
            client.stop_channels()

    async def _load(self) -> None:
        if not self.is_python:
            return
        self._is_loading = True  # this message prepares the kernel; it belongs to no visitor, so it gets no stamp
        msg_id = self.client.execute("", silent=True, store_history=False, user_expressions={"aware": LOAD})
        self._is_loading = False
        if self._ahead:  # with a visitor there is no need to wait, because the kernel runs messages in order
            content = (await self._reply(msg_id))["content"]
            self.aware = content.get("user_expressions", {}).get("aware", {}).get("status") == "ok"

    def give_to(self, visit: Visit) -> None:
        """Give the kernel to a visitor; a warm one is told by its claim."""
        if self._ahead:
            priority.restore(self._pid)
        context, session = self._services.context, SessionInfo(kernel_id=self.id)
        key = visit.visitor.key
        context.origins.render(self.id, key, visit.page, path=visit.notebook.name)
        self._stamps = Stamps(context, self._key, visit.asked.raw, key, session)
        if self.aware:
            self._claim()

    def _claim(self) -> None:
        """Send the claim on the control channel, which the kernel reads even while a cell waits."""
        session = self.manager.session.clone()
        message = session.msg(wire.CLAIM_TYPE)
        self._stamps.note(message["header"])
        if signer := self._stamps.claim():
            message["metadata"][wire.FIELD] = signer.stamp(message["msg_id"], message["msg_type"])
        session.send(self.client.control_channel.socket, message)
        look_again(self.client.control_channel.socket)

    def stop_listening(self) -> None:
        """Stop receiving what the kernel publishes: the page is complete, and messages would pile up unread."""
        socket = self.client.iopub_channel.socket
        if socket is not None:  # it is None once the client's channels are closed
            socket.unsubscribe(b"")

    def disconnect(self) -> None:
        """Close the client's channels."""
        self.client.stop_channels()

    def disconnect_soon(self) -> None:
        """Stop listening; close the client's channels in a second, when the kernel has received what was sent."""
        self.stop_listening()
        asyncio.get_running_loop().call_later(1, self.disconnect)

    async def attach(self) -> None:
        """Do nothing: the kernel has been one of the manager's from its start."""

    async def interrupt(self) -> None:
        """Interrupt the running cell."""
        await self.manager.interrupt_kernel()

    async def close(self, *, busy: bool) -> None:
        """Shut the kernel down: a running cell is interrupted first, and a kernel that never answered is killed."""
        self.disconnect()
        if self._services.state:
            self._services.state.places.dashboards.pop(self.id, None)
        if self._ahead:
            priority.restore(self._pid)
        if busy and self._is_ready and await self.is_alive():
            await self.interrupt()
            await asyncio.sleep(LAST_WORDS)
        if self.id in self._services.kernels:
            await ensure_async(self._services.kernels.shutdown_kernel(self.id, now=not self._is_ready))


def _answers(message: Json, msg_id: str) -> bool:
    """Whether a message was caused by the request of this id."""
    parent: Json = message["parent_header"]
    return parent.get("msg_id") == msg_id
