"""``create_asgi_app()``: dashboards as an ASGI application, to be mounted in FastAPI, Starlette or another one.

    dashboards = (create_asgi_app(warm=2)
                  .with_app(path="/", root="pages/index.py")
                  .with_dynamic_directory(path="/reports", directory="reports"))
    dashboards.mount(app, "/dash")   # or: app.mount("/dash", dashboards.build())

The host logs visitors in, and says in ``scope["user"]`` who they are (``users``). A builder is a value: each
``with_…`` method returns a new one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from starlette.applications import Starlette
from traitlets.config import Config

from ..dashboards import DashboardError, create_app
from ..dashboards.builder import Builder, planned
from ..dashboards.hooks import Authorize, Meta, OnError
from ..lifespans import Lifespan
from . import checks
from .app import AsgiApp, Hosted
from .middleware import Wrapping
from .types import ASGIApp, MiddlewareFactory, User_, ValidateCallback


@dataclass(frozen=True, slots=True)
class AsgiBuilder:
    """What an ASGI application of dashboards will serve, and how. See ``create_asgi_app``."""

    dashboards: Builder
    hosted: Hosted

    def with_app(
        self,
        *,
        path: str,
        root: str | Path,
        authorize: Authorize | None = None,
        meta: Meta | None = None,
        warm: int | None = None,
        fork: bool | None = None,
        middleware: Sequence[MiddlewareFactory] = (),
    ) -> AsgiBuilder:
        """Serve the notebook ``root`` at ``path``, below the place at which the application is mounted.

        ``""`` is the same as ``/``. ``authorize``, ``meta``, ``warm`` and ``fork`` are those of ``create_app``.
        ``middleware`` wraps this notebook only: its pages, the files beside it, and the requests and sockets of its
        kernels. As in marimo, the last one is the outermost. It finds the notebook's file in
        ``scope["app_meta_file"]``.
        """
        made = self.dashboards.with_app(
            path=_path(path), root=root, authorize=authorize, meta=meta, warm=warm, fork=fork
        )
        return self._with(made, middleware)

    def with_dynamic_directory(
        self,
        *,
        path: str,
        directory: str | Path,
        validate: Authorize | None = None,
        validate_callback: ValidateCallback | None = None,
        meta: Meta | None = None,
        warm: int | None = None,
        fork: bool | None = None,
        middleware: Sequence[MiddlewareFactory] = (),
    ) -> AsgiBuilder:
        """Serve the notebooks of a directory below ``path``. They may appear, change and vanish.

        ``validate(user, request)`` is that of ``create_app``. ``validate_callback(app_path, scope)`` is marimo's, and
        may be given instead: ``app_path`` is the notebook's name without its suffix. False is answered with 404, an
        error with its ``status_code`` if it has one of 400 to 599, and otherwise with 403. Both may be async.
        """
        checks.expect("validate_callback", validate_callback)
        if validate is not None and validate_callback is not None:
            raise DashboardError(f"validate cannot be combined with validate_callback at {path}: pass only one.")
        made = self.dashboards.with_dynamic_directory(
            path=_path(path), directory=directory, validate=validate, meta=meta, warm=warm, fork=fork
        )
        return self._with(made, middleware, callback=validate_callback)

    def with_index(self, *, path: str = "/") -> AsgiBuilder:
        """Show a list of the dashboards that a visitor may see at ``path``.

        Dashboards with middleware of their own are not in the list, because only that knows who may see them.
        """
        return replace(self, dashboards=self.dashboards.with_index(path=_path(path)))

    def build(self) -> AsgiApp:
        """Return the application. Nothing is started, so it may be built before a fork.

        Raises DashboardError, or PolicyError for an option of ``AppMetaExtension``, if it cannot be served.
        """
        checks.check(self.dashboards.config, self.dashboards.log, self.hosted)
        self.dashboards.check()
        return AsgiApp(planned(self.dashboards), self.hosted)

    def mount(self, app: Starlette, path: str = "/") -> AsgiApp:
        """Build, mount the application at ``path`` of this host, and take part in the host's lifespan.

        The dashboards start when the host has started, and end before the host ends. ``path`` may have parameters, such
        as ``/t/{tenant}``. They reach ``request.path_params``. Raises what ``build`` raises, and DashboardError for a
        host that has no lifespan.
        """
        place = checks.place(path)
        built = self.build()
        built.join(app)
        app.mount(place, built)
        return built

    def _with(self, made: Builder, middleware: Sequence[MiddlewareFactory], **settings: Any) -> AsgiBuilder:
        """Add to the settings of the place that was added last."""
        *others, last = made.mounts
        gate = Wrapping.of(middleware, last.route.path)
        changed = replace(last, settings=replace(last.settings, gate=gate, **settings))
        return replace(self, dashboards=replace(made, mounts=(*others, changed)))


def _path(path: str) -> str:
    return "/" if isinstance(path, str) and not path else path


def create_asgi_app(
    *,
    user: User_ | None = None,
    host: ASGIApp | None = None,
    lifespan: Lifespan | None = None,
    on_error: OnError | Literal["host"] | None = None,
    meta: Meta | None = None,
    warm: int = 0,
    fork: bool | None = None,
    fork_spares: int = 2,
    max_age: float = 3600,
    max_pages: int = 0,
    idle_timeout: float = 300,
    connect_timeout: float = 60,
    files: Sequence[str] = (),
    cookie_secret: bytes | None = None,
    page_cookies: Sequence[str] = (),
    redirect_origins: Sequence[str] = (),
    config: Config | Mapping[str, Any] | None = None,
    log: logging.Logger | None = None,
) -> AsgiBuilder:
    """Return a builder for an ASGI application of dashboards.

    ``user(scope)`` returns who the visitor is, in any form that ``scope["user"]`` may have; without it,
    ``scope["user"]`` counts. It may be async, and has five seconds. ``host`` is the outermost application, which judges
    sockets, and is needed only if applications are mounted in one another. ``lifespan`` is an asynccontextmanager, like
    FastAPI's: it is entered before the first page and left after the last kernel. If ``on_error`` is ``"host"``, errors
    become Starlette's HTTPException, so that the host's exception handlers write the page; otherwise it is the
    ``on_error`` of ``create_app``. The other options are those of ``create_app`` too.

    Its options ``identity_provider``, ``token``, ``base_url`` and ``trust_xheaders`` do not exist here: the host logs
    visitors in, the mount says where the application is, and the ASGI server says who the client is. The option
    ``server_id`` is given in ``config``, as ``{"Serve": {"server_id": "aaaa"}}``.
    """
    checks.expect("on_error", on_error)
    hosted = Hosted(user=user, host=host, lifespan=lifespan, raises=on_error == "host")
    inner = create_app(
        on_error=None if isinstance(on_error, str) else on_error,
        meta=meta,
        warm=warm,
        fork=fork,
        fork_spares=fork_spares,
        max_age=max_age,
        max_pages=max_pages,
        idle_timeout=idle_timeout,
        connect_timeout=connect_timeout,
        files=files,
        cookie_secret=cookie_secret,
        page_cookies=page_cookies,
        redirect_origins=redirect_origins,
        server_id=checks.server_id(config),
        config=config,
        log=log,
    )
    return AsgiBuilder(inner, hosted)
