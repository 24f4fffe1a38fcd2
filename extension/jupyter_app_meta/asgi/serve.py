"""``run()``: uvicorn runs inside the context in which requests are served.

1. The context is entered before uvicorn starts, and left after it has stopped, in the main task.
2. If the context fails, uvicorn stops as usual, and the error is raised here. If the error is swallowed, ``run``
   returns.
3. SIGTERM and Ctrl-C stop uvicorn. Then the context is left, and the signal is sent again to its former handler. If the
   context raises an error, the error is raised instead. A second Ctrl-C cancels the requests that have not ended. A
   signal that comes while the context is entered or left cancels that.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp

from ..errors import LifespanError
from ..lifespans import Variables, shielded
from .lifespan.factories import AppFactory, entered
from .lifespan.gate import GRACE, Gate
from .lifespan.inside import alive, lifespan_scope

if TYPE_CHECKING:
    import uvicorn

log = logging.getLogger("jupyter_app_meta")

GRACEFUL = 10
"""How many seconds open requests have to end, unless the option says otherwise."""

FIXED: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "workers": ((None, 1), "another process would not be within the factory's context: use within() for several"),
    "reload": ((None, False), "only a new process can load the code again: use `uvicorn --reload` with within()"),
    "interface": ((None, "auto", "asgi3"), "requests arrive by ASGI 3: leave it out"),
    "lifespan": ((None, "auto"), "the application's own lifespan is run if it has one: leave it out"),
}
"""Options of uvicorn of which only these values have an effect here, and what to do instead of other values."""


def run(factory: AppFactory, *, host: str = "127.0.0.1", port: int = 8000, **uvicorn_options: Any) -> None:
    """Serve with uvicorn within the factory's context, until a signal comes or the context fails.

    ``within`` lists the kinds of factories. The options are those of ``uvicorn.Config``. Requests have
    ``timeout_graceful_shutdown`` seconds to end, by default 10. ContextVars are reset between the requests of one
    connection. Raises what the factory's context raises, LifespanError for an option that would have no effect, and
    SystemExit if the port cannot be taken.
    """
    import uvicorn

    config = _config(uvicorn.Config, {"host": host, "port": port, **uvicorn_options})
    serving = _Serving(factory, uvicorn.Server(config))
    with serving.signals():
        _run(serving)
    if serving.status:
        raise SystemExit(serving.status)


def _config(make: type[uvicorn.Config], options: dict[str, Any]) -> uvicorn.Config:
    for name, (allowed, remedy) in FIXED.items():
        if options.get(name) not in allowed:
            raise LifespanError(f"{name}={options[name]!r} has no effect in run(): {remedy}.")
    if "reset_contextvars" in inspect.signature(make).parameters:
        options.setdefault("reset_contextvars", True)  # a connection's next request must not see these
    options.setdefault("timeout_graceful_shutdown", GRACEFUL)
    config = make(Gate(), **{**options, "lifespan": "off", "interface": "asgi3", "reload": False})
    if config.workers > 1:
        raise LifespanError(f"WEB_CONCURRENCY is {config.workers}: run() serves with one process. Set it to 1.")
    config.load()
    if config.ws_protocol_class is None and config.ws != "none":
        log.warning("uvicorn has no WebSocket library, so dashboards stay blank: pip install 'uvicorn[standard]'.")
    return config


def _run(serving: _Serving) -> None:
    config = serving.server.config
    if hasattr(config, "get_loop_factory"):
        factory = config.get_loop_factory()
    else:  # before uvicorn 0.36
        config.setup_event_loop()
        factory = None
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(serving.main())
    except asyncio.CancelledError:
        if not serving.caught:
            raise
    finally:
        if config.uds:
            Path(config.uds).unlink(missing_ok=True)


class _Serving:
    """One run of a server within a context."""

    def __init__(self, factory: AppFactory, server: uvicorn.Server) -> None:
        self._factory, self.server = factory, server
        self.caught: list[int] = []
        self.status: Any = 0
        self._main: asyncio.Task[None] | None = None
        self._is_serving = False

    async def main(self) -> None:
        """Enter, serve, leave."""
        self._main = asyncio.current_task()
        if self.caught:
            return
        scope = lifespan_scope()

        async def serve(app: ASGIApp, variables: Variables) -> None:
            gate: Gate = self.server.config.app  # type: ignore[assignment]  # `_config` has put it there
            gate.open(app, variables, scope["state"])
            await self._serve(gate)

        await alive(entered(self._factory), scope, serve)

    async def _serve(self, gate: Gate) -> None:
        server = asyncio.create_task(self._served())
        try:
            await asyncio.wait((server,))
        finally:
            gate.refuse()
            self.server.should_exit = True
            await shielded(self._stopped(server, gate))

    async def _served(self) -> None:
        self._is_serving = True
        try:
            await self.server.serve()
        except SystemExit as error:  # the port is taken, and uvicorn has already said so
            self.status = error.code
        finally:
            self._is_serving = False

    async def _stopped(self, server: asyncio.Task[None], gate: Gate) -> None:
        try:
            await server
        finally:
            await gate.close(0 if self.server.force_exit else GRACE)

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Catch signals, and send them again at the end, unless an error is raised instead."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._catch) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        for caught in self.caught:
            signal.raise_signal(caught)

    def _catch(self, number: int, _frame: object) -> None:
        """Note a signal. uvicorn has its own handler while it serves, and passes on here the signals that it caught."""
        self.caught.append(number)
        if self._is_serving or self._main is None:
            return
        with suppress(RuntimeError):  # the loop is closed, so everything has ended
            self._main.get_loop().call_soon_threadsafe(self._main.cancel)
