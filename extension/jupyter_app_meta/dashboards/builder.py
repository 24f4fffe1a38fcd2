"""``create_app()``: put a server of dashboards together, and run it or build it.

    app = (create_app(identity_provider=OurProvider)
           .with_app(path="/sales", root="pages/sales.ipynb", authorize=only_sales)
           .with_dynamic_directory(path="/reports", directory="reports"))
    app.run(port=8866)

A builder is a value: each ``with_…`` method returns a new one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from jupyter_server.auth.identity import IdentityProvider
from traitlets.config import Config

from ..errors import DashboardError
from ..lifespans import Lifespan
from ..records import Frozen
from .files import templates
from .files.beside import Rules
from .hooks import Authorize, Meta, OnError
from .load.limits import DEFAULT_LIMIT, PAGES, Limits
from .mounts import Mount, check_paths, check_place
from .paths import Route, base
from .settings import Settings
from .setup import checks, configured, managers, running
from .setup.options import expect, imported
from .setup.outside import Outside
from .site import Plan
from .web.application import Application


@dataclass(frozen=True, slots=True)
class Builder:
    """What a server will serve, and how. See ``create_app``."""

    options: Mapping[str, Any] = field(repr=False)  # the options and the configuration contain secrets
    defaults: Settings
    base_url: str
    config: Config = field(repr=False)
    log: logging.Logger
    mounts: tuple[Mount, ...] = ()
    index: Route | None = None

    def with_app(
        self,
        *,
        path: str,
        root: str | Path,
        authorize: Authorize | None = None,
        meta: Meta | None = None,
        warm: int | None = None,
        fork: bool | None = None,
        state: str | None = None,
        examples: Sequence[Mapping[str, str]] = (),
    ) -> Builder:
        """Serve the notebook ``root`` at ``path``.

        Parameters such as ``/customers/{customer_id}`` reach ``request.path_params``.
        ``authorize(user, request)`` returns True, False or a URL to redirect to. ``meta(request)``
        returns a dict for ``request.meta``. Both may be async. ``warm`` is the number of warm kernels. With ``fork``,
        each visitor's kernel is a fork of one that has run ahead.
        ``state`` is a name for the notebook's stored state, such as ``"sales"``: with it, the state stays when the
        path changes. The index shows a page with parameters for each of ``examples``, such as
        ``[{"customer_id": "1002"}]``.
        """
        checks.examples(examples, Route.of(path))
        settings = replace(
            self._settings(authorize, meta, warm, fork), state=state, examples=tuple(map(dict, examples))
        )
        return self._with(path, root, settings, dynamic=False)

    def with_dynamic_directory(
        self,
        *,
        path: str,
        directory: str | Path,
        validate: Authorize | None = None,
        meta: Meta | None = None,
        warm: int | None = None,
        fork: bool | None = None,
    ) -> Builder:
        """Serve the notebooks of a directory below ``path``. They may appear, change and vanish.

        ``validate(user, request)`` is called like ``authorize``. ``request.path_params["name"]``
        is the notebook's name, without its suffix.
        """
        return self._with(path, directory, self._settings(validate, meta, warm, fork), dynamic=True)

    def with_index(self, *, path: str = "/") -> Builder:
        """Show a list of the dashboards that a visitor may see at ``path``."""
        if self.index:
            raise DashboardError(f"The index is already at {self.index.path}: leave out the one at {path}.")
        return self._and(index=Route.of(path))

    def build(self) -> Application:
        """Return the application, a ``tornado.web.Application``; raises DashboardError if it cannot be served."""
        self.check()
        application = Application(planned(self))
        checks.announce(self._places(), application.services)
        return application

    def _places(self) -> list[checks.Place]:
        return [(mount.route, mount.place) for mount in self.mounts]

    def run(
        self,
        *,
        port: int = 8866,
        ip: str = "localhost",
        ready: Callable[[], None] = lambda: None,
        port_retries: int = 0,
        bound: Callable[[int], None] = lambda port: None,
    ) -> None:
        """Serve until Ctrl-C or SIGTERM, then end all kernels.

        Port 0 is any free port. If the port is in use, the next ``port_retries`` ports are tried. ``bound`` is called
        with the port that was taken, then ``ready``. Raises DashboardError if a notebook's kernel does not start, and
        OSError if no port is free. If the lifespan fails, raises its error after the kernels have ended.
        """

        def listening(taken: int) -> None:
            bound(taken)
            ready()

        address = running.Address(ip, port, port_retries)
        asyncio.run(running.run(self.build, self._places(), address, listening))

    def _settings(
        self, authorize: Authorize | None, meta: Meta | None, warm: int | None, fork: bool | None
    ) -> Settings:
        warm = self.defaults.warm if warm is None else warm
        meta = self.defaults.meta if meta is None else meta
        fork = self.defaults.fork if fork is None else fork
        return replace(self.defaults, authorize=authorize, meta=meta, warm=warm, fork=fork)

    def _with(self, path: str, place: str | Path, settings: Settings, *, dynamic: bool) -> Builder:
        route = Route.of(path)
        expect("directory" if dynamic else "root", place, route)
        return self._and(mounts=(*self.mounts, Mount(route, Path(place).absolute(), settings, dynamic)))

    def _and(self, **changes: Any) -> Builder:
        """Return a new builder that shares no mutable value with this one."""
        return replace(self, config=deepcopy(self.config), **changes)

    def check(self) -> None:
        """Raise DashboardError if the application cannot be served. Nothing is made."""
        defaults = {name: getattr(self.defaults, name) for name in ("meta", "max_age", "fork_spares")}
        for option, given in {**self.options, **defaults}.items():
            expect(option, given)
        if self.options["token"] and isinstance(self.options["identity_provider"], IdentityProvider):
            raise DashboardError("token cannot be combined with an identity_provider instance: pass only one.")
        configured.check(self.config, self.options["identity_provider"])
        managers.check_provider(self.options["identity_provider"], self.config)
        voila = managers.looks_of(self.config)
        Rules.of(voila, self.options["files"])
        templates.check(voila, self.config)
        templates.check_pages(self.options["template_paths"])
        for mount in self.mounts:
            check_place(mount)
            if not mount.dynamic:
                checks.readable(mount.place)
            expect("validate" if mount.dynamic else "authorize", mount.settings.authorize, mount.route)
            expect("meta", mount.settings.meta, mount.route)
            expect("warm", mount.settings.warm, mount.route)
            expect("fork", mount.settings.fork, mount.route)
            checks.can_fork(mount.settings.fork)
            expect("state", mount.settings.state, mount.route)
        check_paths(self.mounts, self.index)


def planned(builder: Builder) -> Plan:
    """Return what will be served, from options that ``check`` has accepted."""
    rest = dict(builder.options)
    outside = Outside(**{option.name: rest.pop(option.name) for option in fields(Outside)})
    limits = Limits(**{option.name: rest.pop(option.name) for option in fields(Limits)})
    outside.check(builder.log)
    return Plan(
        mounts=builder.mounts,
        index=builder.index,
        base_url=builder.base_url,
        config=deepcopy(builder.config),
        log=builder.log,
        outside=outside,
        limits=limits,
        **{**rest, **{name: tuple(rest[name]) for name in ("files", "template_paths")}},
    )


APART = ("meta", "warm", "fork", "fork_spares", "max_age", "base_url", "config", "log")
"""The options that are fields of a builder."""


def create_app(
    *,
    identity_provider: IdentityProvider | type[IdentityProvider] | str | None = None,
    on_error: OnError | None = None,
    lifespan: Lifespan | None = None,
    meta: Meta | None = None,
    token: str | None = None,
    warm: int = 0,
    fork: bool | None = None,
    fork_spares: int = 2,
    base_url: str = "/",
    cookie_secret: bytes | None = None,
    cookie_secret_file: str | Path | None = None,
    server_id: str = "",
    idle_timeout: float = 300,
    connect_timeout: float = 60,
    max_age: float = 3600,
    max_pages: int = PAGES,
    max_pages_per_visitor: int | None = None,
    max_pages_per_address: int | None = None,
    max_connections: int | None = None,
    quiet_timeout: float = 86_400,
    max_upload: int = DEFAULT_LIMIT,
    files: Sequence[str] = (),
    template_paths: Sequence[str | Path] = (),
    trust_xheaders: bool = False,
    public_url: str = "",
    local_hostnames: Sequence[str] = (),
    allow_remote_access: bool | None = None,
    allow_origin: str = "",
    allow_origin_pat: str = "",
    frame_ancestors: str = "'self'",
    page_cookies: Sequence[str] = (),
    redirect_origins: Sequence[str] = (),
    metrics_token: str | None = None,
    log_users: bool = True,
    config: Config | Mapping[str, Any] | None = None,
    log: logging.Logger | None = None,
) -> Builder:
    """Return a builder for a server of dashboards.

    ``identity_provider`` is one of jupyter_server: a class, its name (``package.module.Provider``) or an instance.
    Without it and without a ``token`` every visitor is anonymous. ``on_error(status, request)`` returns the HTML of an
    error page, or None. ``lifespan`` is an asynccontextmanager, like FastAPI's: it is entered before the first page and
    left after the last kernel, and each request sees its ContextVars. ``meta``, ``warm`` and ``max_age`` (seconds after
    which a warm kernel is replaced) are the defaults of every dashboard. So is ``fork``: each notebook runs ahead once,
    up to the first question for its visitor, and each visitor's kernel is a fork of that process; ``fork_spares`` are
    forked ahead of their visitors. It needs Linux. A notebook that cannot be forked is served as without it. None forks
    notebooks that ask who is looking while they are opened often, if no warm kernels are wanted.

    Cookies are signed with ``cookie_secret``, or with the content of ``cookie_secret_file``, or else with a secret that
    all servers of one store of state share. ``server_id``, such as ``aaaa``, is what the ids of this server's kernels
    begin with, so that a proxy in front of several servers finds it.

    A page that has lost its connection for ``idle_timeout`` seconds, or has not connected within ``connect_timeout``,
    loses its kernel, and so does a page whose visitor sends nothing for ``quiet_timeout`` seconds (0: never). If
    ``max_pages`` are open, the next visitor is told to try again (503). Beyond the limits of one visitor
    (``max_pages_per_visitor``) and of one address (``max_pages_per_address``) the answer is 429. None means that the
    machine decides, 0 means no limit. ``max_upload`` is how many bytes a page may send in one message.

    ``files`` are patterns, such as ``*.csv``, of further files beside notebooks that are served. ``template_paths`` are
    folders whose ``error.html``, ``login.html``, ``index.html`` and others take the place of the server's own pages.
    ``public_url`` is the address that visitors see, if a proxy does not tell it. A server that listens on a loopback
    address answers to localhost, to the host of ``public_url`` and to the names in ``local_hostnames``, or with
    ``allow_remote_access`` to each name. ``allow_origin`` (or, as a regular
    expression, ``allow_origin_pat``) is another origin whose scripts may use pages. ``frame_ancestors`` are the sites
    that may show pages in a frame. ``page_cookies`` are the names of cookies that notebooks may set, and
    ``redirect_origins`` other servers, such as ``https://portal.example.org``, to which they may redirect.
    ``metrics_token`` is what a client of ``/metrics`` must present; without it only
    this machine's clients may read them. Without ``log_users`` access lines do not name visitors. ``config`` is a
    traitlets Config, such as ``{"AppMetaExtension": {"cookies_allow": ["theme"]}}``.
    """
    options = {name: given for name, given in locals().items() if name not in APART}
    expect("config", config)
    options["identity_provider"] = imported(identity_provider)
    settings = Settings(meta=meta, warm=warm, max_age=max_age, fork=fork, fork_spares=fork_spares)
    log = log or logging.getLogger("jupyter_app_meta")
    own = deepcopy(Config(config or {}))
    return Builder(Frozen(options), settings, base_url=base(base_url), config=own, log=log)
