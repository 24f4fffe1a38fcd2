"""The web application: which route leads where, what it starts with, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from jinja2 import Environment, FileSystemLoader
from jupyter_core.utils import ensure_async
from jupyter_server import DEFAULT_STATIC_FILES_PATH, DEFAULT_TEMPLATE_PATH_LIST
from jupyter_server.auth.authorizer import AllowAllAuthorizer
from jupyter_server.auth.identity import IdentityProvider
from jupyter_server.base.handlers import FileFindHandler
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.utils import url_path_join
from jupyterlab_server.themes_handler import ThemesHandler
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from traitlets.config import Config
from voila.paths import collect_static_paths
from voila.static_file_handler import MultiStaticFileHandler, TemplateStaticFileHandler
from voila.utils import get_data_dir, get_voila_labextensions_path

from ...server.connections import wrap_connection
from ...server.messages.incoming import ACCEPTED
from .. import paths
from ..files.beside import Rules
from ..hooks import OnError
from ..hub import service
from ..limits import Limits
from ..paths import Route
from ..services import Services
from ..setup import managers, runtime
from ..setup.outside import Outside
from ..sources import Entry, Folder, Source
from ..visits import DIED, ENDED
from . import access, logins, uploads
from .base import NotFoundHandler, RefusalHandler
from .cookies import cookies
from .files import route as file_route
from .front import Front, public_address
from .hosted import tolerant
from .kernels import ChannelsHandler, KernelHandler, ShutdownHandler
from .listener import Listener
from .logout import with_form
from .pages import IndexHandler, PageHandler

KERNEL = r"(?P<kernel_id>\w+-\w+-\w+-\w+-\w+)"

LIMITS = {"max_body_size": 64 * 1024, "body_timeout": 30, "idle_connection_timeout": 120}
"""What a stranger may cost: no route needs more of a body than a login form has."""


class Application(web.Application):
    """A server of dashboards; add handlers to it as to any other. ``close`` ends its kernels.

    It starts its warm kernels when it listens, or with its first request where another server
    hands it that.
    """

    def __init__(
        self,
        *,
        sources: Callable[[Services], Sequence[tuple[Route, Source]]],
        index: Route | None,
        identity_provider: IdentityProvider | type[IdentityProvider] | None,
        on_error: OnError | None,
        base_url: str,
        token: str | None,
        idle_timeout: float,
        connect_timeout: float,
        limits: Limits,
        outside: Outside,
        files: Sequence[str],
        config: Config,
        log: logging.Logger,
    ) -> None:
        self._idle_timeout, self._connect_timeout, self._trust_xheaders = (
            idle_timeout,
            connect_timeout,
            outside.trust_xheaders,
        )
        self._running: asyncio.Task[None] | None = None
        self._closed = False
        provider = managers.provider(identity_provider, token, config, log)
        public, of_hub = public_address(outside.public_url, base_url), service.settings(provider, outside)
        own = cookies(provider, base_url, outside, log)
        with ExitStack() as undo:
            folder = undo.enter_context(runtime.folder(log))
            self.services = services = managers.services(config, log, base_url, folder, own.secret, limits)
            policy = services.context.policy
            self._front = Front(base_url, public, policy.trusts, outside.trust_xheaders)
            self._sources = sources(services)
            beside = file_route(
                base_url, [source for _, source in self._sources], index, Rules.of(services.voila, files)
            )
            self._left_behind = undo.pop_all()
        super().__init__(
            [beside, *_identity_routes(provider, base_url), *tolerant(_file_routes(services)), *self._routes(index)],
            default_handler_class=NotFoundHandler,
            dashboard_services=services,
            dashboard_on_error=on_error,
            dashboard_front=self._front,
            dashboard_framed=outside.is_framed,
            base_url=base_url,
            config=config,
            cookie_secret=own.secret,
            identity_provider=provider,
            authorizer=AllowAllAuthorizer(config=config, log=log, identity_provider=provider),
            login_url=url_path_join(base_url, "login"),
            xsrf_cookie_kwargs=dict(own.attributes),
            allow_remote_access=True,
            kernel_manager=services.kernels,
            kernel_spec_manager=services.specs,
            kernel_websocket_connection_class=wrap_connection(
                ZMQChannelsWebsocketConnection, services.context, allowed=ACCEPTED["shell"]
            ),
            jinja2_env=_server_templates(),
            log_function=access.log_function(policy, log),
            **uploads.settings(limits.max_upload),
            **{"xsrf_cookies": True, **outside.settings(), **of_hub},
        )
        # Not earlier: tornado would serve these files itself, and a favicon and robots.txt at the root of the host.
        self.settings["static_path"] = DEFAULT_STATIC_FILES_PATH
        self.settings["static_url_prefix"] = url_path_join(base_url, "static/")

    def _routes(self, index: Route | None) -> list[Any]:
        """Return the routes of kernels, the index and the pages: plain paths first, directories last."""
        base = re.escape(self.services.base_url.rstrip("/"))
        kernels = f"{base}/api/kernels/{KERNEL}"
        found: list[Any] = [
            (kernels, KernelHandler),
            (f"{kernels}/channels", ChannelsHandler),
            (f"{base}/voila/api/shutdown/{KERNEL}", ShutdownHandler),
            (f"{base}/(?:{'|'.join(paths.RESERVED)})(?:/.*)?", NotFoundHandler),
        ]
        if index:
            found.append((f"{base}{index.pattern()}", IndexHandler, {"entries": self._entries}))
        ordered = sorted(self._sources, key=lambda entry: (isinstance(entry[1], Folder), entry[0].rank))
        for route, source in ordered:
            below = "/".join(["", *filter(None, [route.pattern().removesuffix("/?").strip("/")]), "(?P<name>.+)"])
            pattern = below if isinstance(source, Folder) else route.pattern()
            found.append((base + pattern, PageHandler, {"source": source}))
        return found

    async def _entries(self) -> list[Entry]:
        return [entry for _, source in self._sources for entry in await source.entries()]

    def listen(self, port: int, address: str | None = None, **options: Any) -> HTTPServer:
        """Listen, and start what is to run ahead of visitors."""
        sockets = {name: options.pop(name) for name in ("family", "backlog", "flags", "reuse_port") if name in options}
        own = {"room": self.services.limits.max_connections, "is_proxy": self.services.context.policy.trusts}
        options = {**LIMITS, "xheaders": self._trust_xheaders, **own, "log": self.services.log, **options}
        server = Listener(self, **options)
        try:
            server.listen(port, address or "", **sockets)
        except OSError:
            server.stop()
            raise
        IOLoop.current().add_callback(self.start)
        return server

    def start(self) -> None:
        """Start the warm kernels, and look after those that were left; once is enough."""
        if self._running is None and not self._closed:
            self._running = self.services.spawn(self._look_after())
            logins.announce(self.settings["identity_provider"], self.services)

    def find_handler(self, request: Any, **options: Any) -> Any:
        """Start with the first request, where another server hands it in."""
        self.start()
        if status := self._front.receive(request):
            return self.get_handler_delegate(request, RefusalHandler, {"status": status})
        return super().find_handler(request, **options)

    async def _look_after(self) -> None:
        for _, source in self._sources:
            await source.start()
        period = min(5.0, self._idle_timeout / 4, self._connect_timeout / 4)
        swept = time.monotonic()
        while True:
            await asyncio.sleep(max(period, 0.1))
            try:
                await self._end_abandoned()
                if time.monotonic() - swept >= 5:
                    swept = time.monotonic()
                    for _, source in self._sources:
                        await source.sweep()
            except Exception as error:  # a disk may be away for a moment; pages must end all the same
                self.services.log.warning("Looking after dashboards failed with %s.", type(error).__name__)

    async def _end_abandoned(self) -> None:
        """End the kernels whose pages are gone, and the pages whose kernels are."""
        services = self.services
        for kernel_id, visit in services.visits.items():
            limit = self._idle_timeout if visit.connected else self._connect_timeout
            gone = visit.run is not None and not await visit.run.is_alive()
            quiet = 0 < services.limits.quiet_timeout < visit.quiet()
            if gone or quiet or visit.away() > limit:
                services.spawn(services.visits.end(kernel_id, DIED if gone else ENDED))

    async def close(self) -> None:
        """End all kernels and forget all visits. The application cannot be started again."""
        self._closed = self.services.traffic.closed = True
        if self._running:
            self._running.cancel()
        await asyncio.gather(*(source.close() for _, source in self._sources))
        await asyncio.gather(*(run.close() for run in tuple(self.services.runs)), return_exceptions=True)
        await self._shut_down_all()
        for task in tuple(self.services.tasks):
            task.cancel()
        self.services.sockets.destroy(linger=0)
        self.services.kernels.context.destroy(linger=0)
        self._left_behind.close()

    async def _shut_down_all(self) -> None:
        """End what is left, and also where one of them was never really there."""
        kernels = self.services.kernels
        ends = (ensure_async(kernels.shutdown_kernel(kernel_id, now=True)) for kernel_id in kernels.list_kernel_ids())
        await asyncio.gather(*ends, return_exceptions=True)


def _identity_routes(provider: IdentityProvider, base_url: str) -> list[Any]:
    base = re.escape(base_url.rstrip("/"))
    routes = tolerant(with_form(provider, provider.get_handlers()))
    return [(f"{base}{path}", *rest) for path, *rest in routes]


def _file_routes(services: Services) -> list[Any]:
    """Return the routes of Voila's own files (scripts, styles, themes, widgets) and of those of the login page."""
    base = re.escape(url_path_join(services.base_url, "voila"))
    login = re.escape(url_path_join(services.base_url, "static"))
    labextensions = get_voila_labextensions_path(services.voila.extra_labextensions_path)
    static = [*collect_static_paths(["voila", "nbconvert"], services.voila.template), DEFAULT_STATIC_FILES_PATH]
    themes = {
        "themes_url": url_path_join(services.base_url, "voila/api/themes"),
        "path": os.path.join(get_data_dir(), "themes"),
        "labextensions_path": labextensions,
        "no_cache_paths": ["/"],
    }
    return [
        (f"{base}/templates/([^/]+/static/[^\\0]+)", TemplateStaticFileHandler),
        (f"{base}/static/(.*)", MultiStaticFileHandler, {"paths": static, "default_filename": "index.html"}),
        (f"{base}/api/themes/(.*)", ThemesHandler, themes),
        (f"{base}/labextensions/(.*)", FileFindHandler, {"path": labextensions, "no_cache_paths": ["/"]}),
        (f"{login}/(.*)", FileFindHandler, {"path": [DEFAULT_STATIC_FILES_PATH]}),
    ]


def _server_templates() -> Environment:
    """Return the templates of jupyter_server's own pages, such as the login."""
    environment = Environment(
        loader=FileSystemLoader(DEFAULT_TEMPLATE_PATH_LIST), extensions=["jinja2.ext.i18n"], autoescape=True
    )
    environment.install_null_translations(newstyle=False)  # type: ignore[attr-defined]  # added by the extension
    return environment
