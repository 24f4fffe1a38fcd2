"""The web application: which route leads where, what it starts with, and how it ends."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import zmq.asyncio
from jinja2 import Environment, FileSystemLoader
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.utils import ensure_async
from jupyter_server import DEFAULT_STATIC_FILES_PATH, DEFAULT_TEMPLATE_PATH_LIST
from jupyter_server.auth.authorizer import AllowAllAuthorizer
from jupyter_server.auth.identity import IdentityProvider, PasswordIdentityProvider
from jupyter_server.auth.login import LoginFormHandler
from jupyter_server.base.handlers import FileFindHandler
from jupyter_server.log import log_request
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from jupyter_server.utils import url_path_join
from jupyterlab_server.themes_handler import ThemesHandler
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from traitlets.config import Config
from voila.configuration import VoilaConfiguration
from voila.paths import collect_static_paths
from voila.static_file_handler import MultiStaticFileHandler, TemplateStaticFileHandler
from voila.utils import get_data_dir, get_voila_labextensions_path
from voila.voila_identity_provider import VoilaLoginHandler

from ..server.app import AppMetaExtension
from ..server.origins import Origins
from ..server.stamping import stamped
from ..server.stamps import Desk
from . import handlers, hooks, routes
from .dashboard import Dashboard, Settings
from .handlers import Entry
from .hooks import OnError
from .routes import Route
from .services import Services
from .visits import Visits

KERNEL = r"(?P<kernel_id>\w+-\w+-\w+-\w+-\w+)"
RECONNECT = 20
"""Milliseconds between two attempts to reach a kernel that is just starting; ZeroMQ's own 100 are felt."""


class Fixed:
    """The one dashboard of a path."""

    def __init__(self, services: Services, route: Route, notebook: Path, settings: Settings) -> None:
        self.settings, self._route = settings, route
        self.dashboard = Dashboard(services, notebook, settings)

    def start(self) -> None:
        """Begin whatever is done ahead of visitors."""
        self.dashboard.start()

    def find(self, params: Mapping[str, str]) -> Dashboard | None:
        """Return the dashboard, while its notebook exists."""
        return self.dashboard if self.dashboard.notebook.is_file() else None

    def is_plain(self, params: Mapping[str, str]) -> bool:
        """Whether no parameter could be taken for more than one segment."""
        return not any("/" in value or "\0" in value for value in params.values())

    def entries(self) -> list[Entry]:
        """List the dashboard, unless its path has parameters."""
        plain = self._route.shape == self._route.path and self.dashboard.notebook.is_file()
        return [Entry(self._route.path, {}, self.dashboard.notebook, self.settings)] if plain else []

    async def close(self) -> None:
        """End what nobody claimed."""
        await self.dashboard.close()


class Folder:
    """The dashboards of a directory, as they appear, change and vanish."""

    def __init__(self, services: Services, route: Route, directory: Path, settings: Settings) -> None:
        self._services, self._route, self._directory, self.settings = services, route, directory, settings
        self._dashboards: dict[Path, Dashboard] = {}
        self._started = False

    def start(self) -> None:
        """Begin whatever is done ahead of visitors, for the notebooks that there are now, and again when asked."""
        self._started = True
        if self.settings.warm > 0:
            for name in routes.names(self._directory):
                self.find({"name": name})

    def find(self, params: Mapping[str, str]) -> Dashboard | None:
        """Return the dashboard of a name."""
        notebook = routes.find(self._directory, params["name"])
        if notebook is None:
            return None
        if notebook not in self._dashboards:
            self._dashboards[notebook] = Dashboard(self._services, notebook, self.settings)
            if self._started:
                self._dashboards[notebook].start()
        return self._dashboards[notebook]

    def is_plain(self, params: Mapping[str, str]) -> bool:
        """Whether the name could be that of a notebook that is meant to be seen."""
        return routes.is_plain(params["name"])

    def entries(self) -> list[Entry]:
        """List the notebooks."""
        found = ((name, routes.find(self._directory, name)) for name in routes.names(self._directory))
        base = self._route.path.rstrip("/")
        return [Entry(f"{base}/{name}", {"name": name}, path, self.settings) for name, path in found if path]

    async def sweep(self) -> None:
        """Drop the dashboards whose notebooks have vanished."""
        for notebook in [path for path in self._dashboards if not path.is_file()]:
            await self._dashboards.pop(notebook).close()
        if self._started:
            self.start()

    async def close(self) -> None:
        """End what nobody claimed."""
        await asyncio.gather(*(dashboard.close() for dashboard in self._dashboards.values()))


class Application(web.Application):
    """A server of dashboards; add handlers to it as to any other. ``close`` ends its kernels.

    It starts its warm kernels when it listens, or with its first request where another server
    hands it that.
    """

    def __init__(
        self,
        *,
        sources: Callable[[Services], Sequence[tuple[Route, Fixed | Folder]]],
        index: Route | None,
        identity_provider: IdentityProvider | type[IdentityProvider] | None,
        on_error: OnError | None,
        base_url: str,
        token: str | None,
        cookie_secret: bytes | None,
        idle_timeout: float,
        connect_timeout: float,
        trust_xheaders: bool,
        config: Config,
        log: logging.Logger,
    ) -> None:
        os.environ.pop("KERNEL_APP_META_KEY", None)
        self._idle_timeout, self._connect_timeout, self._trust_xheaders = idle_timeout, connect_timeout, trust_xheaders
        self._connection_dir = Path(tempfile.mkdtemp(prefix="app-meta-"))
        self._running: asyncio.Task[None] | None = None
        self._closed = False
        secret = cookie_secret or os.urandom(32)
        self.services = services = _services(config, log, base_url, self._connection_dir, secret)
        self._sources = sources(services)
        provider = _provider(identity_provider, token, config, log)
        super().__init__(
            [*self._routes(index), *_identity_routes(provider, base_url), *_voila_routes(services)],
            default_handler_class=handlers.NotFoundHandler,
            dashboard_services=services,
            dashboard_on_error=on_error,
            base_url=base_url,
            config=config,
            cookie_secret=secret,
            identity_provider=provider,
            authorizer=AllowAllAuthorizer(config=config, log=log, identity_provider=provider),
            login_url=url_path_join(base_url, "login"),
            xsrf_cookies=True,
            xsrf_cookie_kwargs={"path": base_url},
            allow_remote_access=True,
            kernel_manager=services.kernels,
            kernel_spec_manager=services.specs,
            kernel_websocket_connection_class=stamped(ZMQChannelsWebsocketConnection, services.desk),
            jinja2_env=_server_templates(),
            log_function=log_request,
        )

    def _routes(self, index: Route | None) -> list[Any]:
        base = self.services.base_url.rstrip("/")
        found: list[Any] = []
        for route, source in sorted(self._sources, key=_specificity):
            if isinstance(source, Fixed):
                found.append((f"{base}{route.pattern()}", handlers.PageHandler, {"source": source}))
        if index:
            found.append((f"{base}{index.pattern()}", handlers.IndexHandler, {"entries": self._entries}))
        kernels = f"{base}/api/kernels/{KERNEL}"
        found += [
            (kernels, handlers.KernelHandler),
            (f"{kernels}/channels", handlers.ChannelsHandler),
            (f"{base}/voila/api/shutdown/{KERNEL}", handlers.ShutdownHandler),
        ]
        for route, source in sorted(self._sources, key=_specificity):
            if isinstance(source, Folder):
                below = "" if route.path == "/" else route.pattern().removesuffix("/?")
                own = rf"(?!(?:{'|'.join(routes.RESERVED)})(?:/|$))" if route.path == "/" else ""
                found.append((f"{base}{below}/{own}(?P<name>.+)", handlers.PageHandler, {"source": source}))
        return found

    def _entries(self) -> list[Entry]:
        return [entry for _, source in self._sources for entry in source.entries()]

    def listen(self, port: int, address: str | None = None, **options: Any) -> HTTPServer:
        """Listen, and start what is to run ahead of visitors."""
        options.setdefault("xheaders", self._trust_xheaders)
        server = super().listen(port, address or "", **options)
        IOLoop.current().add_callback(self.start)
        return server

    def start(self) -> None:
        """Start the warm kernels, and look after those that were left; once is enough."""
        if self._running is None and not self._closed:
            self._running = self.services.spawn(self._look_after())

    def find_handler(self, request: Any, **options: Any) -> Any:
        """Start with the first request, where another server hands it in."""
        self.start()
        return super().find_handler(request, **options)

    async def _look_after(self) -> None:
        for _, source in self._sources:
            source.start()
        period = min(5.0, self._idle_timeout / 4, self._connect_timeout / 4)
        swept = time.monotonic()
        while True:
            await asyncio.sleep(max(period, 0.1))
            await self._end_abandoned()
            if time.monotonic() - swept >= 5:
                swept = time.monotonic()
                for _, source in self._sources:
                    if isinstance(source, Folder):
                        await source.sweep()

    async def _end_abandoned(self) -> None:
        """End the kernels whose pages are gone, and the pages whose kernels are."""
        services = self.services
        for kernel_id, visit in services.visits.items():
            limit = self._idle_timeout if visit.connected else self._connect_timeout
            gone = kernel_id not in services.kernels or (visit.kernel and not await visit.kernel.is_alive())
            if gone or visit.away() > limit:
                services.spawn(services.visits.end(kernel_id))

    async def close(self) -> None:
        """End all kernels and forget all visits. The application cannot be started again."""
        self._closed = True
        if self._running:
            self._running.cancel()
        await asyncio.gather(*(source.close() for _, source in self._sources))
        await self.services.visits.end_all()
        await ensure_async(self.services.kernels.shutdown_all())
        for task in tuple(self.services.tasks):
            task.cancel()
        self.services.sockets.destroy(linger=0)
        shutil.rmtree(self._connection_dir, ignore_errors=True)


def _specificity(entry: tuple[Route, Fixed | Folder]) -> tuple[tuple[bool, ...], int]:
    route, _ = entry
    return route.rank, -len(route.segments)


def _services(config: Config, log: logging.Logger, base_url: str, folder: Path, secret: bytes) -> Services:
    specs = KernelSpecManager(config=config, log=log)
    kernels = AsyncMappingKernelManager(
        config=_kernels_config(config),
        log=log,
        connection_dir=str(folder),
        kernel_spec_manager=specs,
        allowed_message_types=list(handlers.ALLOWED),
    )
    sockets = zmq.asyncio.Context()
    sockets.setsockopt(zmq.RECONNECT_IVL, RECONNECT)
    voila = VoilaConfiguration(config=_authors_query(config))
    visits = Visits(lambda kernel_id: _shut_down(kernels, kernel_id))
    desk = _desk(config, log, kernels, visits, secret)
    return Services(config, log, base_url, kernels, specs, voila, desk, visits, sockets)


def _authors_query(config: Config) -> Config:
    """Return a configuration in which ``?theme=`` and ``?template=`` are the author's own, unless it says otherwise."""
    defaults = {"allow_theme_override": "NOTEBOOK", "allow_template_override": "NOTEBOOK"}
    return Config({"VoilaConfiguration": {**defaults, **config.get("VoilaConfiguration", {})}})


def _kernels_config(config: Config) -> Config:
    """Return the configuration of kernels: a crashed one stays dead, its page cannot come back; no port is opened."""
    own = dict(config.get("KernelManager", {}))
    if os.name == "posix":
        own.setdefault("transport", "ipc")
    changed = Config(config)
    changed["KernelManager"] = Config({**own, "autorestart": False})
    return changed


async def _shut_down(kernels: AsyncMappingKernelManager, kernel_id: str) -> None:
    if kernel_id in kernels:
        await ensure_async(kernels.shutdown_kernel(kernel_id))


def _desk(
    config: Config, log: logging.Logger, kernels: AsyncMappingKernelManager, visits: Visits, secret: bytes
) -> Desk:
    extension = AppMetaExtension(config=config, log=log)
    extension.refuse_unknown_options()
    extension.announce()

    async def facts(kernel_id: str, request: Any) -> Mapping[str, Any]:
        visit = visits.get(kernel_id)
        return await hooks.facts(visit.dashboard.settings.meta if visit else None, request, log)

    return Desk(
        extension.policy(),
        Origins(lambda kernel_id: kernel_id in kernels),
        log,
        hmac.digest(secret, b"jupyter-app-meta client ids", "sha256"),
        extension.stamp_limit,
        extension.tcp_nodelay,
        facts,
    )


def _provider(
    given: IdentityProvider | type[IdentityProvider] | None, token: str | None, config: Config, log: logging.Logger
) -> IdentityProvider:
    if isinstance(given, IdentityProvider):
        return given
    options: dict[str, Any] = {} if token is None else {"token": token}
    if given is None and token is None and not _has_secret(config):
        options["token"] = ""  # open to everybody who reaches it, as dashboards are
    provider = (given or PasswordIdentityProvider)(config=config, log=log, **options)
    if provider.login_handler_class is LoginFormHandler:
        provider.login_handler_class = VoilaLoginHandler  # finds its style among Voila's files
    return provider


def _has_secret(config: Config) -> bool:
    sections = (config.get(name, {}) for name in ("IdentityProvider", "PasswordIdentityProvider"))
    named = any(section.get("token") or section.get("hashed_password") for section in sections)
    return named or bool(os.environ.get("JUPYTER_TOKEN"))


def _identity_routes(provider: IdentityProvider, base_url: str) -> list[Any]:
    return [(url_path_join(base_url, path), *rest) for path, *rest in provider.get_handlers()]


def _voila_routes(services: Services) -> list[Any]:
    """Return the routes of Voila's own files: scripts, styles, themes, widgets."""
    base = url_path_join(services.base_url, "voila")
    labextensions = get_voila_labextensions_path(services.voila.extra_labextensions_path)
    static = [*collect_static_paths(["voila", "nbconvert"], services.voila.template), DEFAULT_STATIC_FILES_PATH]
    themes = {
        "themes_url": "/voila/api/themes",
        "path": os.path.join(get_data_dir(), "themes"),
        "labextensions_path": labextensions,
        "no_cache_paths": ["/"],
    }
    return [
        (f"{base}/templates/(.*)", TemplateStaticFileHandler),
        (f"{base}/static/(.*)", MultiStaticFileHandler, {"paths": static, "default_filename": "index.html"}),
        (f"{base}/api/themes/(.*)", ThemesHandler, themes),
        (f"{base}/labextensions/(.*)", FileFindHandler, {"path": labextensions, "no_cache_paths": ["/"]}),
    ]


def _server_templates() -> Environment:
    """Return the templates of jupyter_server's own pages, such as the login."""
    environment = Environment(
        loader=FileSystemLoader(DEFAULT_TEMPLATE_PATH_LIST), extensions=["jinja2.ext.i18n"], autoescape=True
    )
    environment.install_null_translations(newstyle=False)  # type: ignore[attr-defined]  # added by the extension
    return environment
