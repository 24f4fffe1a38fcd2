"""Types for the parts of jupyter_client's and jupyter_server's objects that a run uses.

Many of their attributes are not typed, or are typed as traits. Our code relies on each name here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypedDict

import zmq.asyncio

from ...server import protocols
from ...server.messages.objects import Json
from ..visits import Visit


class Receive(Protocol):
    """A channel's ``get_msg``."""

    async def __call__(self, timeout: float | None = None) -> Json:
        """Return the next message; raises Empty if none came in time."""


class Channel(Protocol):
    """One channel of a client."""

    socket: zmq.asyncio.Socket
    get_msg: Receive

    def send(self, msg: Json) -> None:
        """Send a message."""

    def is_alive(self) -> bool:
        """Whether the channel is open."""


class Published(Protocol):
    """What a page's executor needs of the channel on which a kernel publishes."""

    get_msg: Receive


class PageClient(protocols.Client, Protocol):
    """What a page's executor needs of a client. nbclient uses more of it."""

    @property
    def iopub_channel(self) -> Published:
        """The channel of what the kernel publishes."""


class Client(protocols.Client, Protocol):
    """jupyter_client's asynchronous client of one kernel."""

    allow_stdin: bool

    @property
    def shell_channel(self) -> Channel:
        """The channel of cells and of messages of widgets."""

    @property
    def iopub_channel(self) -> Channel:
        """The channel of what the kernel publishes."""

    @property
    def control_channel(self) -> Channel:
        """The channel that the kernel reads even while a cell runs."""

    def start_channels(
        self, *, shell: bool = True, iopub: bool = True, stdin: bool = True, hb: bool = True, control: bool = True
    ) -> None:
        """Connect the channels."""

    def stop_channels(self) -> None:
        """Close the channels."""

    def kernel_info(self) -> str:
        """Ask the kernel what it is; return the id of the request."""

    def execute(self, code: str, *, silent: bool, store_history: bool, user_expressions: Mapping[str, str]) -> str:
        """Ask the kernel to run code; return the id of the request."""

    async def get_shell_msg(self, *, timeout: float) -> Json:
        """Return the next reply; raises Empty if none came in time."""

    async def get_iopub_msg(self, *, timeout: float) -> Json:
        """Return the next message that the kernel publishes; raises Empty if none came in time."""


class Spec(Protocol):
    """A kernelspec."""

    language: str | None


class Manager(Protocol):
    """jupyter_server's manager of one kernel."""

    kernel_id: str
    session: protocols.Session
    kernel_spec: Spec
    provisioner: object
    execution_state: str
    traceback_replacement_message: str

    def client(self, *, context: zmq.asyncio.Context) -> Client:
        """Return a client of the kernel."""

    async def is_alive(self) -> bool:
        """Whether the kernel's process runs."""

    async def interrupt_kernel(self) -> None:
        """Interrupt what the kernel runs."""


class PageKernel(Protocol):
    """The kernel of a run: a process of its own, or a fork of one that ran the notebook ahead."""

    id: str
    aware: bool

    @property
    def client(self) -> PageClient:
        """The client that runs the page's cells."""

    @property
    def manager(self) -> object:
        """What nbclient takes for the kernel's manager: it interrupts a cell."""

    @property
    def is_python(self) -> bool:
        """Whether the kernel speaks Python."""

    @property
    def is_idle(self) -> bool:
        """Whether the kernel's last status is idle."""

    async def answer(self, channel: str) -> None:
        """Wait until the kernel has answered a request on this channel, ``shell`` or ``control``."""

    async def ready(self, patience: Callable[[], float]) -> None:
        """Wait for ``patience()`` seconds until the kernel answers; raises KernelFailed."""

    async def is_alive(self) -> bool:
        """Whether the kernel's process runs."""

    def give_to(self, visit: Visit) -> None:
        """Give the kernel to its visitor."""

    def stop_listening(self) -> None:
        """Stop receiving what the kernel publishes, because the page is complete."""

    def disconnect_soon(self) -> None:
        """Let go of the client, because the page is complete and has its visitor."""

    async def attach(self) -> None:
        """Make the kernel one of the server's manager, because a browser is about to connect; raises KernelFailed."""

    async def interrupt(self) -> None:
        """Interrupt the running cell."""

    async def close(self, *, busy: bool) -> None:
        """End the kernel; interrupt a running cell first."""


class Stream(Protocol):
    """The server's stream of one channel of a kernel."""

    def on_recv(self, callback: Callable[[list[bytes]], object]) -> object:
        """Call this with each message, in parts."""


class Buffer(TypedDict):
    """What jupyter_server keeps for a disconnected page, and how many bytes that is."""

    buffer: list[tuple[str, list[bytes]]]
    bytes: int
