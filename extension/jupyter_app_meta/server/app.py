"""The server extension: its options become one frozen Policy, and the parts of the server half are connected.

A wrong option stops the server, because half a privacy policy protects no visitor. ``serve`` and ``voila`` make an
``AppMetaExtension`` only to read its options.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, NoReturn

from jupyter_events import EventLogger
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from traitlets import Bool, Integer, List, TraitError, Unicode, Union
from traitlets import Callable as Function
from traitlets.config import Config

from .. import wire
from .._version import __version__
from ..errors import PolicyError
from ..model import HTTPRequest
from ..policy import OPEN_HEADERS, USER_FIELDS, Policy, openings
from ..state.stores.base import Store
from . import hooks
from .audit import EventAudit, event_logger
from .connections import wrap_connection
from .context import StampingContext
from .execution import wrap_execution
from .links.options import StateOptions
from .live import page, routes
from .live.editors import Editors, Lab
from .managers import wrap_kernel_manager
from .pages.origins import Origins
from .pages.sessions import wrap_session_manager
from .reports import logs
from .stores import beside, opened


class AppMetaExtension(StateOptions, ExtensionApp):
    """Tells kernels which request caused each message, as far as these options allow."""

    name = "jupyter_app_meta"
    _store: Store | None = None
    _lab: Lab | None = None
    description = "Tells kernels which request caused each message."
    version = __version__
    load_other_extensions = True

    user_fields = List(
        Unicode(),
        default_value=list(USER_FIELDS),
        help="The fields of the user that kernels may see. A shorter list also drops the fields that an identity "
        "provider adds.",
    ).tag(config=True)
    headers_allow = List(
        Unicode(),
        help="Patterns of further request headers that kernels may see, such as 'referer' or 'x-ab-*'. "
        "Identity headers of a proxy need their exact name, and address headers a longer pattern than 'x-*'. This "
        "option never forwards credentials.",
    ).tag(config=True)
    unsafe_headers = List(
        Unicode(), help="Exact names of credential headers that kernels may see. Logged at each start."
    ).tag(config=True)
    cookies_allow = List(
        Unicode(),
        help="Patterns of further cookies that kernels may see, such as 'sidebar' or 'ab_*'. "
        "By default kernels see only well-known preferences (theme, lang, tz). This option never forwards credentials.",
    ).tag(config=True)
    unsafe_cookies = List(
        Unicode(), help="Exact names of credential cookies that kernels may see. Logged at each start."
    ).tag(config=True)
    unsafe_query = List(
        Unicode(), help="Exact names of credential query parameters that kernels may see. Logged at each start."
    ).tag(config=True)
    trusted_proxies = List(
        Unicode(),
        help="Networks (CIDR) of the reverse proxies in front of this server. The server believes "
        "forwarded headers and user_header only from them.",
    ).tag(config=True)
    user_header = Unicode(
        help="The header in which a trusted proxy names the user, such as X-Forwarded-User. The server "
        "ignores it unless the request comes from one of trusted_proxies."
    ).tag(config=True)
    stamp_limit = Integer(
        wire.DEFAULT_LIMIT,
        min=wire.MIN_LIMIT,
        max=wire.MAX_LIMIT,
        help="The most bytes that one request may take in a message. Items that do not fit are dropped whole.",
    ).tag(config=True)
    request_hook = Union(
        [Function(), Unicode()],
        default_value="",
        allow_none=True,
        help="A function that adds your own fields to each connection's request, or its name, such as "
        "'our_module:our_function'. It takes the HTTPRequest and returns a dict of JSON values of at most 4096 bytes. "
        "It may be async. Cells see the fields as app_meta().request.meta.",
    ).tag(config=True)
    audit = Bool(
        False,
        help="Write an event for each cell and each callback: the user, the kernel and the time, never code. "
        "EventLogger.handlers sets where the events go.",
    ).tag(config=True)
    state_url = Unicode(
        help="Where state is kept: sqlite:////absolute/path.db, redis://host, postgresql://user@host/database, "
        "mariadb://user@host/database, the URL of another SQL database that SQLAlchemy knows, or 'off'. By default it "
        "is a SQLite file beside Jupyter's data, which only this account can read. Several servers behind one address "
        "need one Redis or database."
    ).tag(config=True)
    state_url_file = Unicode(
        help="A file with the URL for state_url. A password in it appears neither in the command line nor in the "
        "environment."
    ).tag(config=True)
    tcp_nodelay = Bool(
        True, help="Switch off Nagle's algorithm on kernel connections, which delays replies by up to 40 ms."
    ).tag(config=True)

    def policy(self) -> Policy:
        """Return the policy of these options; raises PolicyError for an unusable value."""
        narrowed = set(self.user_fields) != set(USER_FIELDS)
        return Policy.of(
            user_fields=self.user_fields if narrowed else None,
            headers_allow=self.headers_allow,
            unsafe_headers=self.unsafe_headers,
            cookies_allow=self.cookies_allow,
            unsafe_cookies=self.unsafe_cookies,
            unsafe_query=self.unsafe_query,
            secret_query=getattr(self.serverapp, "extra_log_scrub_param_keys", ()),
            trusted_proxies=self.trusted_proxies,
            user_header=self.user_header,
        )

    def meta(self) -> hooks.Meta | None:
        """Return the function that request_hook is or names; raises PolicyError if it is not a function."""
        return hooks.load("request_hook", self.request_hook)

    def _load_config(self, cfg: Config, *arguments: Any, **options: Any) -> None:
        hooks.keep(cfg, "AppMetaExtension", "request_hook")
        super()._load_config(cfg, *arguments, **options)

    def _config_file_name_default(self) -> str:
        return "jupyter_app_meta_config"

    def _link_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        # Otherwise an error in our configuration file would only be logged, and half of the file would apply.
        self.raise_config_file_errors = True
        try:
            super()._link_jupyter_server_extension(serverapp)
            self.refuse_unknown_options()
            self.policy()
            self.meta()
        except Exception as error:
            self._refuse(serverapp, error)

    def refuse_unknown_options(self) -> None:
        """Raise PolicyError for a configured name that is not an option; the message names the nearest one."""
        known = self.class_trait_names(config=True)
        for name in self.config.get(type(self).__name__, {}):
            if name not in known:
                near = get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(OPTIONS)}."
                raise PolicyError(name, f"there is no such option; {hint}")

    def _refuse(self, serverapp: ServerApp, error: Exception) -> NoReturn:
        # jupyter_server only logs what an extension raises, and would serve without the policy.
        cause = "" if isinstance(error, TraitError | PolicyError) else f"{type(error).__name__} in its configuration: "
        serverapp.log.critical("jupyter-app-meta refuses to start. %s%s", cause, error)
        raise SystemExit(1) from error

    def initialize_settings(self) -> None:
        """Open the store. Wrap the server's classes once the loop runs: all other extensions have loaded by then."""
        os.environ.pop(wire.KEY_VARIABLE, None)  # kernels of this server have their own keys
        logs.join(self.log)
        self.announce()
        assert self.serverapp is not None
        try:
            self._store = opened(self, self.keep)
        except Exception as error:
            self._refuse(self.serverapp, error)
        self.serverapp.io_loop.add_callback(self.wire)

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        self.wire()

    async def stop_extension(self) -> None:
        """Close the links to kernels and the store."""
        assert self.serverapp is not None
        if self._lab:
            await self._lab.close()
        if self._store:
            beside.end(self._store)
            self._store.close()

    def initialize_handlers(self) -> None:
        """Add the routes of live pages, and the page that shows them."""
        self.handlers.extend(routes.routes(APIHandler, owner_may=True))
        self.handlers.append((f"/{page.PATH}", type("Who", (page.Who, JupyterHandler), {"owner_may": True})))

    def wire(self) -> None:
        """Wrap the connection class and the managers that are configured now; idempotent."""
        app = self.serverapp
        assert app is not None
        settings = app.web_app.settings
        if "app_meta_context" not in settings:
            lab = self._lab = Lab.open(self._store, self.terms(), self.state_realm, app) if self._store else None
            context = self.stamping_context(
                lambda kernel_id: kernel_id in settings["kernel_manager"],
                settings["cookie_secret"],
                events=app.event_logger,
                grants=lab.kept.grants if lab else None,
            )
            if lab and context.audit:
                lab.kept.service.forgotten = context.audit.forgot
            live = Editors(lab.board, lab.kept, context.origins) if lab else None
            settings["app_meta_context"] = replace(context, live=live)
        context = settings["app_meta_context"]
        context.doors.see(settings["identity_provider"], context.policy)
        for manager in (app.kernel_manager, settings["kernel_manager"]):  # an extension may have set its own
            wrap_kernel_manager(manager, context)
        wrap_session_manager(app.session_manager, context)
        wrap_execution(app.web_app, context)
        connection = wrap_connection(settings["kernel_websocket_connection_class"], context)
        settings["kernel_websocket_connection_class"] = connection
        app.kernel_websocket_connection_class = connection

    def stamping_context(
        self,
        lives: Callable[[str], bool],
        cookie_secret: bytes,
        *,
        meta: hooks.KernelMeta | None = None,
        events: EventLogger | None = None,
        grants: hooks.Granting | None = None,
    ) -> StampingContext:
        """Return what stamps are made from under these options.

        ``lives`` says whether a kernel with an id exists. ``meta`` takes the place of ``request_hook``. ``events`` is
        the server's own event logger.
        """
        audit = EventAudit(event_logger(self.config, self.log, events), self.log) if self.audit else None
        return StampingContext(
            policy=self.policy(),
            origins=Origins(lives),
            log=self.log,
            secret=hmac.digest(cookie_secret, b"jupyter-app-meta client ids", "sha256"),
            limit=self.stamp_limit,
            nodelay=self.tcp_nodelay,
            meta=meta or self._kernel_meta(),
            audit=audit,
            grants=grants,
            admins=frozenset(self.admins),
        )

    def _kernel_meta(self) -> hooks.KernelMeta | None:
        hook = self.meta()
        if hook is None:
            return None

        async def kernel_meta(_: str, request: HTTPRequest) -> Mapping[str, Any]:
            return await hooks.meta_of(hook, request, self.log)

        return kernel_meta

    def announce(self) -> None:
        """Log one line that says what is forwarded, and one line for each risky option."""
        self.log.info("jupyter-app-meta forwards %s.", self._summary())
        for name in ("unsafe_headers", "unsafe_cookies", "unsafe_query"):
            if values := getattr(self, name):
                self.log.warning("AppMetaExtension.%s forwards credentials to kernels: %s", name, ", ".join(values))
        for warning in self.warnings():
            self.log.warning("%s", warning)

    def warnings(self) -> list[str]:
        """Return one sentence for each risk in these options and the server's."""
        found = openings.warnings(self.policy())
        if self.user_header and not self.trusted_proxies:
            found.append("AppMetaExtension.user_header is ignored: set AppMetaExtension.trusted_proxies too.")
        if self.audit and not self.config.get("EventLogger", {}).get("handlers"):
            found.append("AppMetaExtension.audit writes no events: add a handler to EventLogger.handlers.")
        session: Any = self.config.get("Session", {})
        if session.get("key") is not None and not session.get("key"):
            found.append("Session.key is empty, so no message can be signed: kernels will know no request.")
        elif session.get("key") or session.get("keyfile"):
            found.append("Session.key is fixed, so all kernels share one key and can sign for each other.")
        return found

    def _summary(self) -> str:
        fields = "user" if set(self.user_fields) == set(USER_FIELDS) else f"user ({', '.join(self.user_fields)})"
        policy = self.policy()
        headers = ", ".join(["common headers", *openings.opened(policy, "headers")[len(OPEN_HEADERS) :]])
        cookies = ", ".join(openings.opened(policy, "cookies"))
        return f"{fields}; page URL and query without credentials; {headers}; {cookies}"


OPTIONS = (*AppMetaExtension.class_own_traits(config=True), *StateOptions.class_traits(config=True))
