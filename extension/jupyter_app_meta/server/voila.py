"""Voila's own command: two lines of its configuration tell its kernels about requests.

    c.VoilaConfiguration.multi_kernel_manager_class = "jupyter_app_meta.server.voila.KernelManager"
    c.Voila.kernel_websocket_connection_class = "jupyter_app_meta.server.voila.Connection"

The ``voila`` command loads no server extension, but it makes one kernel manager. So the kernel manager here reads the
options (``c.AppMetaExtension.…`` as usual) and wraps the kernels. Its connections take the stamping context from it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from jupyter_server.services.kernels.websocket import KernelWebsocketHandler
from traitlets import TraitError

from .. import wire
from ..errors import AppMetaError
from .app import AppMetaExtension
from .context import StampingContext
from .managers import wrap_kernel_manager
from .messages.gate import Flights
from .page_connection import PageConnection
from .reports.ears import listen
from .reports.incidents import Incidents

MANAGER_LINE = f'c.VoilaConfiguration.multi_kernel_manager_class = "{__name__}.KernelManager"'
CONNECTION_LINE = f'c.Voila.kernel_websocket_connection_class = "{__name__}.Connection"'


class Options(Protocol):
    """Those of ``VoilaConfiguration`` that are read here."""

    preheat_kernel: bool
    show_tracebacks: bool


class App(Protocol):
    """Voila's application."""

    cookie_secret: bytes
    kernel_websocket_connection_class: type
    voila_configuration: Options


class KernelManager(AsyncMappingKernelManager):
    """Voila's kernel manager. Its kernels and their connections share one stamping context."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]  # jupyter_server's own
        app = cast(App, self.parent)
        try:
            _check(app)
            self.app_meta_context = _context(self, app)
            self.app_meta_flights = Flights(lambda kernel_id: kernel_id in self)
        except (AppMetaError, TraitError) as error:
            self.log.critical("jupyter-app-meta refuses to start. %s", error)
            raise SystemExit(1) from error
        os.environ.pop(wire.KEY_VARIABLE, None)  # kernels of this server have their own keys
        wrap_kernel_manager(self, self.app_meta_context)
        self.app_meta_incidents = _incidents(self, app)
        listen(self, self.app_meta_incidents)


def _check(app: App) -> None:
    """Raise AppMetaError if Voila's configuration lacks the other line, or runs cells before a visitor arrives."""
    if not issubclass(app.kernel_websocket_connection_class, Connection):
        raise AppMetaError(f"Voila's configuration needs this line too: {CONNECTION_LINE}")
    if app.voila_configuration.preheat_kernel:
        raise AppMetaError(
            "VoilaConfiguration.preheat_kernel runs cells before a visitor arrives, when app_meta() has no request. "
            "Set it to False, or serve the notebooks with 'jupyter app-meta serve --warm 1', where such cells wait."
        )


def _context(manager: KernelManager, app: App) -> StampingContext:
    """Return the stamping context; raises PolicyError or TraitError for a wrong option of ``AppMetaExtension``."""
    extension = AppMetaExtension(config=manager.config, log=manager.log)
    extension.refuse_unknown_options()
    context = extension.stamping_context(lambda kernel_id: kernel_id in manager, app.cookie_secret)
    extension.announce()
    return context


def _incidents(manager: KernelManager, app: App) -> Incidents:
    """Return the record of the errors of a manager's kernels."""

    def notebook(kernel_id: str) -> str:
        return str(manager.app_meta_context.origins.session(kernel_id)["path"] or "a page of Voila")

    return Incidents(manager.log, shows=app.voila_configuration.show_tracebacks, find=notebook)


class Connection(PageConnection, ZMQChannelsWebsocketConnection):  # type: ignore[misc]  # typed apart, see protocols
    """Voila's connection of a page to its kernel.

    It sends a page only what visitors may see, in each of the three formats; Voila's own handler reads only one format.
    As on dashboards, it bounds the messages that the page sends and the output that the page does not read.
    """

    @property
    def app_meta_context(self) -> StampingContext:
        """The stamping context; raises AppMetaError if the kernel manager is not ours."""
        context: object = getattr(self.multi_kernel_manager, "app_meta_context", None)
        if not isinstance(context, StampingContext):
            raise AppMetaError(f"Voila's configuration needs this line too: {MANAGER_LINE}")
        return context

    @property
    def app_meta_incidents(self) -> Incidents:
        """Where errors of this server's kernels are reported."""
        manager: KernelManager = self.multi_kernel_manager
        return manager.app_meta_incidents

    @property
    def write_message(self) -> Callable[..., Any]:
        """The function with which jupyter_server writes a message to a browser."""
        write = partial(KernelWebsocketHandler.write_message, self.websocket_handler)
        return self.app_meta_gate.writer(write) if self.app_meta_gate else write

    async def prepare(self) -> None:
        """Prepare the connection and the gate that bounds its messages."""
        await super().prepare()
        manager: KernelManager = self.multi_kernel_manager
        largest = self.websocket_handler.max_message_size
        self.bounded_by(manager.app_meta_flights.of(self.kernel_id, self.app_meta_visitor.key, largest))

    def handle_incoming_message(self, incoming_msg: str | bytes) -> None:
        """Pass a message on if a page may send it."""
        if self.app_meta_gate and self.app_meta_gate.admits(incoming_msg):
            super().handle_incoming_message(incoming_msg)
