"""Listens to each kernel of a server, so that errors are reported even while no page is connected."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, cast

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

from ..protocols import Session
from .complaints import is_for_author
from .incidents import Incidents

STREAM = "_activity_stream"
"""The attribute in which jupyter_server keeps the stream that receives everything that a kernel publishes."""


class Stream(Protocol):
    """The stream of what a kernel publishes."""

    _recv_callback: Callable[[list[bytes]], object]

    def on_recv(self, callback: Callable[[list[bytes]], object]) -> object:
        """Call this with each message, in place of what was called before."""


class Kernel(Protocol):
    """The manager of one kernel."""

    session: Session


class Kernels(Protocol):
    """A manager of kernels. Its two methods that begin and end to watch a kernel are replaced on the instance."""

    log: logging.Logger
    start_watching_activity: Callable[[str], None]
    stop_watching_activity: Callable[[str], None]

    def get_kernel(self, kernel_id: str) -> Kernel:
        """Return the manager of one kernel."""


def listen(manager: AsyncMappingKernelManager, incidents: Incidents) -> None:
    """Make a kernel manager report errors and text on stderr, using the stream that it already has."""
    kernels = cast(Kernels, manager)
    watch, unwatch = kernels.start_watching_activity, kernels.stop_watching_activity
    log = kernels.log

    def start_watching_activity(kernel_id: str) -> None:
        watch(kernel_id)
        kernel = kernels.get_kernel(kernel_id)
        session = kernel.session
        stream: Stream = getattr(kernel, STREAM)
        record = stream._recv_callback

        def heard(parts: list[bytes]) -> None:
            try:
                tell(incidents, kernel_id, session, parts)
            except Exception as error:
                log.warning("A kernel's message cannot be read (%s).", type(error).__name__)
            record(parts)

        stream.on_recv(heard)

    def stop_watching_activity(kernel_id: str) -> None:
        incidents.end(kernel_id)
        unwatch(kernel_id)

    kernels.start_watching_activity, kernels.stop_watching_activity = start_watching_activity, stop_watching_activity


def tell(incidents: Incidents, kernel_id: str, session: Session, parts: list[bytes]) -> None:
    """Report a packed message of a kernel if it is an error, or text on stderr."""
    _, (_, *own) = session.feed_identities(parts)
    if b"error" not in own[0] and b"stderr" not in own[3]:
        return  # most messages, which may be large, are not even unpacked
    header = session.unpack(own[0])
    kind: str = header["msg_type"]
    if kind in ("error", "stream"):
        content = session.unpack(own[3])
        if is_for_author(kind, content):
            incidents.hear(kernel_id, header, session.unpack(own[1]), content)
