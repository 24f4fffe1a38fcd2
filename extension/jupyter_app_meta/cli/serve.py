"""``jupyter app-meta serve``: the command line and the configuration file of a dashboard server."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server.auth.identity import IdentityProvider, PasswordIdentityProvider
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from jupyter_server.utils import url_path_join
from traitlets import Bool, Bytes, Callable, TraitError, Type, Unicode, Union
from voila.configuration import VoilaConfiguration
from voila.execute import VoilaExecutor

from .._version import __version__
from ..dashboards.builder import Builder, create_app
from ..dashboards.hooks import Authorize
from ..dashboards.hub.service import identity_provider, refuse_others, service
from ..dashboards.load.limits import DEFAULT_LIMIT, PAGES
from ..dashboards.setup import configured
from ..dashboards.setup.browser import open_page
from ..dashboards.setup.managers import has_secret
from ..dashboards.setup.ports import authority
from ..errors import AppMetaError, DashboardError, PolicyError
from ..lifespans import is_of_lifespan
from ..server import hooks
from ..server.app import AppMetaExtension
from ..server.local import LOOPBACK
from ..server.reports import logs, operator
from . import arguments, dev, logins
from .program import Program
from .traits import automatic, count, limit, names, seconds, switch, text

SAME = (
    *("warm", "fork", "fork_spares", "base_url", "idle_timeout", "connect_timeout", "files", "template_paths"),
    *("trust_xheaders", "server_id", "public_url", "local_hostnames", "allow_remote_access", "allow_origin"),
    *("allow_origin_pat", "frame_ancestors", "page_cookies", "redirect_origins", "log_users"),
    *("max_pages", "max_pages_per_visitor", "max_pages_per_address", "max_connections", "quiet_timeout", "max_upload"),
)
"""Options that ``create_app`` has by the same name."""


class Serve(Program):
    """Serve a notebook, or a folder of notebooks, as dashboards that know who is looking."""

    name = "jupyter-app-meta-serve"
    version = __version__
    description = """Serve a notebook, or a folder of notebooks, as dashboards that know who is looking."""
    examples = """
    jupyter app-meta serve notebooks/                 # every notebook of a folder, and an index
    jupyter app-meta serve sales.ipynb --warm 4       # four kernels are run ahead of their visitors
    jupyter app-meta serve notebooks/ --users people.toml --ip=0.0.0.0
    jupyter app-meta serve notebooks/ --identity-provider=our_login.Provider --ip=0.0.0.0
    jupyter app-meta serve notebooks/ --hub           # the command of a service in jupyterhub_config.py
    jupyter app-meta serve notebooks/ --AppMetaExtension.cookies_allow=theme --VoilaConfiguration.theme=dark
    """
    config_file_name = Unicode("jupyter_app_meta_config")
    raise_config_file_errors = Bool(True)
    classes: ClassVar[list[type]] = [  # type: ignore[misc]  # traitlets says less
        AppMetaExtension,
        PasswordIdentityProvider,
        AsyncMappingKernelManager,
        KernelSpecManager,
        VoilaConfiguration,
        VoilaExecutor,
        *logins.PROVIDERS,
    ]

    port = count(8866, "The port to listen on; 0 takes any free port.", most=65535)
    port_retries = count(50, "How many of the next ports to try if the port is in use; 0 insists on the port.")
    ip = text("The address to listen on; 0.0.0.0 listens on all.", "localhost")
    base_url = text("The prefix of all URLs, such as /apps/. A reverse proxy must pass it on.", "/")
    open_browser = switch("Open the start page in a browser.", default=True)
    token = text("The token that visitors must present. Without one every visitor is admitted.")
    auto_token = switch("Generate a token and print it.")
    identity_provider_class = Type(
        PasswordIdentityProvider,
        klass=IdentityProvider,
        help="The jupyter_server IdentityProvider that says who a visitor is, such as our_login.Provider.",
    ).tag(config=True)
    warm = count(0, "How many warm kernels to keep for each notebook.")
    warm_max_age = seconds(3600, "Seconds after which a kernel that has run ahead is replaced by a new one.")
    fork = automatic(
        "Run notebooks ahead, and fork that process for each visitor (Linux). By default those that are opened often."
    )
    fork_spares = count(2, "How many forks of each notebook to keep ahead of their visitors.")
    idle_timeout = seconds(300, "Seconds after which the kernel of a page that lost its connection is shut down.")
    connect_timeout = seconds(60, "Seconds after which the kernel of a page that never connected is shut down.")
    max_pages = count(
        PAGES,
        "How many pages may be open at the same time; the next visitor gets 503. By default one for each 128 MiB of "
        "memory, at most 500. 0 means no limit.",
    )
    max_pages_per_visitor = limit(
        "How many of them one visitor may have open (429). By default half of max_pages, at most 20. 0 means no limit."
    )
    max_pages_per_address = limit(
        "How many of them visitors from one address may have open, if no identity provider names them (429). By "
        "default three quarters of max_pages. Behind a proxy it needs AppMetaExtension.trusted_proxies. "
        "0 means no limit."
    )
    max_connections = limit(
        "How many connections may be open at the same time, half of them from one address (503). By default half "
        "of the process's limit of open files. 0 means no limit."
    )
    quiet_timeout = seconds(
        86_400, "Seconds after which a page's kernel is shut down if its visitor sends nothing; 0 means never.", least=0
    )
    max_upload = count(
        DEFAULT_LIMIT,
        "How many bytes a page may send in one message, such as a FileUpload's. A larger one closes its connection.",
        least=1,
    )
    files = names(
        "Patterns of further files beside notebooks that visitors of their pages may have, such as '*.csv' or "
        "'data/*.json'. Pictures are served anyway (VoilaConfiguration.file_allowlist); hidden files never are."
    )
    template_paths = names(
        "Folders whose error.html, 403.html, login.html, index.html, logout.html or page.html take the place of "
        "the server's own pages."
    )
    trust_xheaders = switch("Believe X-Scheme and X-Forwarded-Proto: only behind a proxy that sets them.")
    hub = switch("Run as a service of JupyterHub, which starts this command and authenticates visitors.")
    authorize = Union(
        [Callable(), Unicode()],
        default_value="",
        help="The rule for who may see a page: a function, or its name ('our_module:our_function'), that takes the "
        "user and the request and returns True, False or a URL to redirect to. It may be async.",
    ).tag(config=True)
    lifespan = Union(
        [Callable(), Unicode()],
        default_value="",
        help="The context around the server: an asynccontextmanager function, or its name ('our_module:lifespan'). It "
        "is entered before the first page and left after the last kernel. It may take the application.",
    ).tag(config=True)
    public_url = text(
        "The address of the start page as visitors see it, such as https://example.org/apps/. Set it if a proxy "
        "changes the Host and does not say so (X-Forwarded-Host is believed from AppMetaExtension.trusted_proxies)."
    )
    local_hostnames = names(
        "Names such as dashboards.example.org under which visitors reach this server, if it listens on a loopback "
        "address and a proxy passes their Host on. It also answers to localhost, and to the host of public_url; all "
        "other names get 403, as in jupyter_server."
    )
    allow_remote_access = automatic(
        "Answer to each name, even on a loopback address. A website that visitors of this machine's browser look "
        "at can then reach the server. By default the address decides (ip)."
    )
    allow_origin = text(
        "Another origin whose scripts may use pages, such as https://portal.example.org, as in jupyter_server."
    )
    allow_origin_pat = text("Like allow_origin, as a regular expression that matches whole origins.")
    frame_ancestors = text(
        "The sites that may show pages in a frame, such as \"'self' https://portal.example.org\". For a site other "
        "than our own, cookies are SameSite=None, Secure and Partitioned, which needs https.",
        "'self'",
    )
    page_cookies = names(
        "Names of cookies that notebooks may set for visitors, such as 'region' (app_meta().page.set_cookie)."
    )
    redirect_origins = names(
        "Other servers, such as https://portal.example.org, to which notebooks may redirect (app_meta().page.redirect)."
    )
    cookie_secret = Bytes(
        help="The secret that signs cookies. By default it is kept beside the file of state, readable only by this "
        "account, or in the database of AppMetaExtension.state_url, where all servers find it."
    ).tag(config=True)
    server_id = text(
        "What the ids of this server's kernels begin with, such as aaaa: four digits or lower-case letters. A proxy in "
        "front of several servers sends a kernel's requests to its server by it. Each server needs its own."
    )
    cookie_secret_file = text(
        "A file with the secret that signs cookies, at least 32 bytes; it is created if it does not exist."
    )
    metrics_token_file = text(
        "A file with the token, at least 16 characters, that clients of /metrics present (Authorization: Bearer). "
        "Without it only clients of this machine may read them, and none behind a proxy."
    )
    dev = switch(
        "For the author: pages reload when a file changes, show tracebacks, and have a bar to look as another person. "
        "Only on this machine; combine it with --users to choose from a file."
    )
    log_users = switch("Name visitors in access lines; if not, each is a number of this server.", default=True)
    log_json = switch("Write the log as lines of JSON, for programs that collect logs.")

    aliases: ClassVar[dict[str, str]] = arguments.ALIASES  # type: ignore[misc]  # as above
    flags: ClassVar[dict[str, Any]] = arguments.FLAGS  # type: ignore[misc]  # as above

    def start(self) -> None:
        """Serve until Ctrl-C."""
        super().start()
        operator.use(self.log, json=self.log_json)
        try:
            self.builder().run(
                port=self.port, ip=self.ip, ready=self._ready, port_retries=self.port_retries, bound=self._bound
            )
        except OSError as error:
            if is_of_lifespan(error):
                raise
            self.log.critical("%s", error if error.filename else arguments.not_bound(self.ip, self.port, error))
            self.exit(1)
        except (AppMetaError, TraitError) as error:
            self.log.critical("%s", error)
            self.exit(1)
        finally:
            if self._opened:
                self._opened.unlink(missing_ok=True)

    _opened: Path | None = None

    def builder(self) -> Builder:
        """Return the builder of these options; raises DashboardError for options that cannot be served."""
        arguments.refuse_unknown(self.config, self.class_trait_names(config=True))
        if self.auto_token and not self.token:
            self.token = os.urandom(24).hex()
        self._choose_login()
        if self.hub:
            self._join_hub()
        if self.config_file and not Path(self.config_file).is_file():
            raise DashboardError(f"The configuration file {self.config_file} does not exist.")
        place = arguments.place(self.extra_args)
        for path in arguments.unread(place, self.loaded_config_files):
            self.log.warning("%s is not read: it is beside the notebooks. Name it with --config=%s.", path, path)
        read = {*configured.read(self._provider(), self.config), *configured.OWN, "GatewayClient"}
        builder = create_app(
            identity_provider=self._provider(),
            token=self.token or None,
            cookie_secret=self.cookie_secret or None,
            cookie_secret_file=self.cookie_secret_file or None,
            metrics_token=arguments.secret("metrics_token_file", self.metrics_token_file),
            max_age=self.warm_max_age,
            lifespan=self._function("lifespan"),
            config=self.without_others(read),
            log=self.log,
            **{name: getattr(self, name) for name in SAME},
        )
        authorize: Authorize | None = self._function("authorize")
        if place.is_file():
            return builder.with_app(path="/", root=place, authorize=authorize)
        return builder.with_index().with_dynamic_directory(path="/", directory=place, validate=authorize)

    def _choose_login(self) -> None:
        """Use the provider that an option such as ``--users`` chooses, or for ``--dev`` made-up visitors."""
        if self.dev:
            dev.apply(self)
            return
        rivals = {"--token": bool(self.token), "--hub": self.hub, "a password": has_secret(self.config)}
        if chosen := logins.chosen(self.config, self._provider(), rivals):
            self.identity_provider_class = chosen

    def _join_hub(self) -> None:
        """Take the address from the Hub that started this command, and ask it who a visitor is."""
        names = self.config.get("AppMetaExtension", {}).get("user_header")
        refuse_others(login=bool(self.token) or self._provider() is not None, user_header=bool(names))
        self.ip, self.port, self.base_url = service()
        self.port_retries = 0  # the Hub's proxy knows only this port
        if self.allow_remote_access is None:
            self.allow_remote_access = True  # the proxy passes each visitor's Host on, and the Hub logs visitors in
        self.identity_provider_class = identity_provider()
        self.trust_xheaders = True  # otherwise links of pages behind a proxy with TLS would be plain http

    def _function(self, option: str) -> Any:
        """Return the function that an option is or names; None if the option is empty."""
        try:
            return hooks.load(option, getattr(self, option))
        except PolicyError as error:
            raise DashboardError(f"Serve.{option}: {error.problem}") from error

    def _provider(self) -> type[IdentityProvider] | None:
        """Return the deployer's identity provider, None for jupyter_server's own."""
        found: type[IdentityProvider] = self.identity_provider_class
        return None if found is PasswordIdentityProvider else found

    def _bound(self, port: int) -> None:
        self.port = port

    def _ready(self) -> None:
        self.log.info("Configuration: %s.", ", ".join(map(str, self.loaded_config_files)) or "none")
        url = url_path_join(f"http://{authority(self.ip, self.port)}", self.base_url, "/")
        link = f"{url}?token={self.token}" if self.auto_token else url
        self.log.info("Dashboards are served at %s (Ctrl-C stops).", link, extra=logs.AS_IT_IS)
        if self.ip not in LOOPBACK and not self.token and self._provider() is None and not has_secret(self.config):
            self.log.warning(
                "No authentication: every client that can reach %s has access. Set --token or --identity-provider.",
                self.ip,
            )
        if self.open_browser:
            self._opened = open_page(link, secret=self.auto_token)


def main(given: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    arguments.refuse_misspelt(given)
    sys.path.append(str(Path.cwd()))  # our_login.Provider is there
    found: Any = Serve.launch_instance(list(arguments.with_token(given)))
    return int(found or 0)
