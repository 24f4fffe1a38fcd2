"""The web application: where each route leads, and with which settings a site is served."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from jupyter_server import DEFAULT_STATIC_FILES_PATH
from jupyter_server.auth.authorizer import AllowAllAuthorizer
from jupyter_server.auth.identity import IdentityProvider
from jupyter_server.base.handlers import FileFindHandler
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from voila.static_file_handler import MultiStaticFileHandler, TemplateStaticFileHandler
from voila.utils import get_data_dir, get_voila_labextensions_path

from ...policy import Policy
from ...server.links.granting import realm_of
from ...server.live.page import PATH
from ...server.live.routes import routes as live_routes
from ...server.page_connection import page_connection
from .. import paths
from ..files import looks
from ..hub import service
from ..living import Living
from ..peers import Peers
from ..services import Services
from ..setup import managers, ports
from ..setup.outside import Outside
from ..site import Plan, Site
from ..sources import Source
from . import access, uploads
from .around import logins
from .around.settings import server_templates
from .around.settings import settings as of_pages
from .arrivals.front import Front, public_address
from .arrivals.hosts import Hosts
from .arrivals.listener import Listener
from .base import Handler, NotFoundHandler, RefusalHandler
from .cookies import Cookies, cookies, secret_of
from .dev.changes import ChangesHandler
from .files import route as file_route
from .hosted import Themes, tolerant
from .kernels import ChannelsHandler, CookieHandler, KernelHandler, ShutdownHandler, TabHandler
from .logout import with_form
from .mounted import respell
from .operators import handlers as operators
from .operators.who import WhoHandler
from .pages import IndexHandler, PageHandler

KERNEL = r"(?P<kernel_id>\w+-\w+-\w+-\w+-\w+)"

LIMITS = {"max_body_size": 64 * 1024, "body_timeout": 30, "idle_connection_timeout": 120}
"""Limits for strangers. No route needs a larger body than a login form."""


class Application(web.Application):
    """A server of dashboards. You can add handlers to it as to any other application. ``close`` ends its kernels.

    It enters its lifespan and starts its warm kernels when it begins to listen, or at its first request if another
    server hands requests to it.
    """

    def __init__(self, plan: Plan) -> None:
        with ExitStack() as undo:
            peers = managers.peers(plan.config, plan.outside.server_id, plan.log, plan.base_url, plan.mounts)
            undo.callback(peers.close)
            face = Face.of(plan, peers)
            self.site = site = Site.open(plan, face.cookies.secret, realm_of(face.provider), peers)
            undo.pop_all()
        self.services = site.services
        site.services.context.doors.see(face.provider, site.services.context.policy)
        self._living = Living(plan.lifespan, site.services.ambient)
        self._hosts = face.hosts
        self._hosts.judges_others = _judges_others(plan.outside, face.provider, site.services.context.policy)
        trusts, trust_xheaders = site.services.context.policy.trusts, plan.outside.trust_xheaders
        self._front = Front(plan.base_url, face.public, trusts, self._hosts, trust_xheaders)
        super().__init__(
            [
                file_route(site),
                *_identity_routes(face.provider, plan.base_url),
                *tolerant(_file_routes(site.services)),
                *_routes(site),
            ],
            default_handler_class=NotFoundHandler,
            dashboard_front=self._front,
            **_own_settings(site),
            **_server_settings(site, face),
        )
        # If this were set earlier, tornado itself would serve these files, and favicon.ico and robots.txt at the root.
        self.settings["static_path"] = DEFAULT_STATIC_FILES_PATH
        self.settings["static_url_prefix"] = url_path_join(plan.base_url, "static/")

    def listen(self, port: int, address: str | None = None, **options: Any) -> HTTPServer:
        """Listen, and start."""
        sockets = {name: options.pop(name) for name in ("family", "backlog", "flags", "reuse_port") if name in options}
        room, policy = self.services.options.limits.max_connections, self.services.context.policy
        own = {"room": room, "is_proxy": policy.trusts, "log": self.services.log}
        options = {**LIMITS, "xheaders": self._front.trust_xheaders, **own, **options}
        server = Listener(self, **options)
        try:
            server.listen(port, address or "", **sockets)
        except OSError:
            server.stop()
            raise
        self._hosts.listens(ports.addresses(server))
        IOLoop.current().add_callback(self.start)
        return server

    def start(self) -> None:
        """Enter the lifespan, start the warm kernels, and look after the pages. Idempotent."""
        self._living.begin(self, self.start, self.site.close)
        if self._living.is_open and self.site.start():
            logins.announce(self.settings["identity_provider"], self.services)
            logins.share(self.settings["identity_provider"], self.services)

    async def entered(self) -> None:
        """Enter the lifespan; raises what that raises. The warm kernels wait for ``start``."""
        self._living.begin(self, lambda: None, self.site.close)
        await self._living.entered()

    async def ends(self) -> None:
        """Wait until the lifespan ends by itself, because the deployer's code in it has failed."""
        await self._living.ends()

    def find_handler(self, request: Any, **options: Any) -> Any:
        """Start at the first request, if another server hands requests in. Each request sees the lifespan's values."""
        self.start()
        self.services.ambient.variables.bind()
        if status := self._front.receive(request) or (0 if self._living.is_open else 503):
            return self.get_handler_delegate(request, RefusalHandler, {"status": status})
        respell(request)
        return super().find_handler(request, **options)

    async def close(self) -> None:
        """End all kernels, forget all visits and leave the lifespan. The application cannot be started again.

        Raises what leaving the lifespan raises.
        """
        try:
            await self._living.leave()
        finally:
            await self.site.close()


@dataclass(frozen=True, slots=True)
class Face:
    """What browsers meet of a server. It is made, or refused, before anything but the store is opened."""

    provider: IdentityProvider
    cookies: Cookies
    public: tuple[str, str] | None
    hosts: Hosts
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, plan: Plan, peers: Peers) -> Face:
        """Return the face of a server; raises DashboardError for options that contradict each other."""
        outside = plan.outside
        provider = managers.provider(plan.identity_provider, plan.token, plan.config, plan.log)
        public, of_hub = public_address(outside.public_url, plan.base_url), service.settings(provider, outside)
        own = cookies(provider, plan.base_url, outside, secret_of(outside, peers.store, peers.secret_file, plan.log))
        hosts = Hosts(outside.names(public), allow_all=outside.allow_remote_access, log=plan.log)
        return cls(provider, own, public, hosts, {"xsrf_cookies": True, **outside.settings(), **of_hub})


def _judges_others(outside: Outside, provider: IdentityProvider, policy: Policy) -> bool:
    """Whether strange names are refused in a server that the deployer has made: see ``arrivals.hosts``.

    Behind a login, a website under a name of its own reads nothing, because the visitor's browser has no cookie for it.
    """
    is_open = not provider.auth_enabled or not getattr(provider, "login_required", True)
    has_proxy = outside.public_url or outside.trust_xheaders or policy.trusted_proxies
    return bool(outside.local_hostnames) or (is_open and not has_proxy)


def _own_settings(site: Site) -> dict[str, Any]:
    """Return the settings that our own handlers read."""
    return {
        "dashboard_services": site.services,
        "app_meta_context": site.services.context,
        "app_meta_sessions": site.services.peers.board,
        "app_meta_state": site.services.state,
        "dashboard_on_error": site.plan.on_error,
        "dashboard_framed": site.plan.outside.is_framed,
        "dashboard_index": site.plan.index.path if site.plan.index else None,
        **of_pages(site.plan.template_paths),
    }


def _server_settings(site: Site, face: Face) -> dict[str, Any]:
    """Return the settings that tornado's and jupyter_server's handlers read."""
    plan, services, provider = site.plan, site.services, face.provider
    names = access.Names(face.cookies.secret, plan.outside.log_users)
    connection = page_connection(ZMQChannelsWebsocketConnection, services.context, services.incidents)
    return {
        "base_url": plan.base_url,
        "config": plan.config,
        "cookie_secret": face.cookies.secret,
        "identity_provider": provider,
        "authorizer": AllowAllAuthorizer(config=plan.config, log=plan.log, identity_provider=provider),
        "login_url": url_path_join(plan.base_url, "login"),
        "xsrf_cookie_kwargs": dict(face.cookies.attributes),
        "allow_remote_access": True,
        "kernel_manager": services.kernels,
        "kernel_spec_manager": services.specs,
        "kernel_websocket_connection_class": connection,
        "jinja2_env": server_templates(plan.template_paths),
        "log_function": access.log_function(services.context.policy, plan.log, names),
        **uploads.settings(plan.limits.max_upload),
        **face.settings,
    }


def _routes(site: Site) -> list[Any]:
    """Return the routes of kernels, the index and the pages: plain paths first, directories last."""
    base = re.escape(site.plan.base_url.rstrip("/"))
    kernel = f"{base}/api/kernels/{KERNEL}"
    found: list[Any] = [
        *operators.routes(site),
        (kernel, KernelHandler),
        (f"{kernel}/channels", ChannelsHandler),
        (f"{base}/voila/api/shutdown/{KERNEL}", ShutdownHandler),
        (f"{base}/api/app-meta/tab/{KERNEL}", TabHandler),
        (f"{base}/api/app-meta/cookie/{KERNEL}", CookieHandler),
        *((f"{base}{path}", handler) for path, handler in live_routes(Handler, owner_may=False)),
        (f"{base}/api/app-meta/changes/{KERNEL}", ChangesHandler),
        (f"{base}/{PATH}", WhoHandler),
        (f"{base}/(?:{'|'.join(paths.RESERVED)})(?:/.*)?", NotFoundHandler),
    ]
    if index := site.plan.index:
        found.append((f"{base}{index.pattern()}", IndexHandler, {"entries": site.entries}))
    ordered = sorted(site.sources, key=lambda source: source.route.order(is_folder=source.is_folder))
    return [*found, *((base + _pattern(source), PageHandler, {"source": source}) for source in ordered)]


def _pattern(source: Source) -> str:
    """Return the regular expression of a source's URLs, below the base URL."""
    own = source.route.pattern()
    if not source.is_folder:
        return own
    return "/".join(["", *filter(None, [own.removesuffix("/?").strip("/")]), "(?P<name>.+)"])


def _identity_routes(provider: IdentityProvider, base_url: str) -> list[Any]:
    base = re.escape(base_url.rstrip("/"))
    routes = tolerant(with_form(provider, provider.get_handlers()))
    return [(f"{base}{path}", *rest) for path, *rest in routes]


def _file_routes(services: Services) -> list[Any]:
    """Return the routes of Voila's own files (scripts, styles, themes, widgets) and of the login page's files."""
    base = re.escape(url_path_join(services.options.base_url, "voila"))
    login = re.escape(url_path_join(services.options.base_url, "static"))
    labextensions = get_voila_labextensions_path(services.options.voila.extra_labextensions_path)
    static = [*looks.static_paths(services.options.voila.template), DEFAULT_STATIC_FILES_PATH]
    themes = {
        "path": os.path.join(get_data_dir(), "themes"),
        "labextensions_path": labextensions,
        "no_cache_paths": ["/"],
    }
    return [
        (f"{base}/templates/([^/]+/static/[^\\0]+)", TemplateStaticFileHandler),
        (f"{base}/static/(.*)", MultiStaticFileHandler, {"paths": static, "default_filename": "index.html"}),
        (f"{base}/api/themes/(.*)", Themes, themes),
        (f"{base}/labextensions/(.*)", FileFindHandler, {"path": labextensions, "no_cache_paths": ["/"]}),
        (f"{login}/(.*)", FileFindHandler, {"path": [DEFAULT_STATIC_FILES_PATH]}),
    ]
