"""A real JupyterHub with its proxy and its single-user servers, and the browsers and scripts of its users."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
import pytest
from harness import AWARE, NO_TLS, Server, Visitor, free_port, kernelspec, python_path, runtime

USERS = ("alice", "bob", "carol", "admin")
MARK = "APP_META_TEST_HUB"
FORM = "/hub/login?next=/hub/home"  # otherwise the Hub starts a server for each user who logs in
PAGE, WELCOME = "files/welcome.txt", "welcome to a user's server"

HUB_CONFIG = """
import sys
from jupyterhub.auth import DummyAuthenticator
from jupyterhub.utils import exponential_backoff

# Between two looks whether a server has started or ended the Hub waits for up to 5 s: here for 0.3 s.
exponential_backoff.__defaults__ = (0.2, 2, 0.3, 10, 0.1)

class Login(DummyAuthenticator):
    async def authenticate(self, handler, data):
        name = data["username"]
        shown = {{"display_name": f"{{name.title()}} of the Hub"}}
        return {{"name": name, "user_info": shown, "auth_state": {{"access_token": f"{canary}-of-{{name}}"}}}}

c.JupyterHub.authenticator_class = Login
c.Authenticator.enable_auth_state = True
c.Authenticator.allow_all = True
c.Authenticator.allowed_users = {users!r}
c.Authenticator.admin_users = {{"admin"}}
c.CryptKeeper.keys = [{crypt_key!r}]

c.JupyterHub.bind_url = {url!r}
c.JupyterHub.hub_port = {hub_port}
c.JupyterHub.db_url = "sqlite:///jupyterhub.sqlite"
c.JupyterHub.cleanup_servers = False
c.JupyterHub.cleanup_proxy = False
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0}}
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.auth_token = {proxy_token!r}

# Servers may ask the Hub for what the authenticator keeps of a user.
c.Spawner.oauth_client_allowed_scopes = ["admin:auth_state!user"]
c.JupyterHub.load_groups = {{"analysts": {{"users": ["bob"]}}, "owners": {{"users": ["alice"]}}}}
c.JupyterHub.services = [
    {{"name": "harness", "api_token": {tokens[harness]!r}}},
    {{"name": "robot", "api_token": {tokens[robot]!r}}},
    {{"name": "alice", "api_token": {tokens[alice]!r}}},
]
c.JupyterHub.load_roles = [
    {{"name": "user", "scopes": ["self", "shares!user", "read:users:name", "admin:auth_state!user"]}},
    {{"name": "harness", "scopes": ["admin:users", "admin:servers", "tokens"], "services": ["harness"]}},
    {{"name": "visiting", "scopes": ["access:servers!user=alice"], "services": ["robot", "alice"]}},
]

c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {home!r} + "/home/{{username}}"
c.LocalProcessSpawner.interrupt_timeout = 10
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.environment = {environment!r}
c.Spawner.environment["JUPYTER_RUNTIME_DIR"] = lambda spawner: {runtime!r} + "/" + spawner.user.name
"""

SERVER_CONFIG = """
c.ServerApp.jpserver_extensions = {{
    "jupyter_app_meta": True, "jupyterlab": False, "jupyterlab_jupytext": False, "jupyter_lsp": False,
    "jupyter_server_terminals": False, "notebook": False, "notebook_shim": False, "voila.server_extension": False,
}}
c.ServerApp.reraise_server_extension_failures = True
c.ServerApp.allow_root = True
c.MultiKernelManager.default_kernel_name = {kernel!r}
c.KernelManager.transport = "ipc"  # a free port may be taken before the kernel takes it
"""


class Token(NamedTuple):
    """An API token of a user, and the id by which it is revoked."""

    value: str
    id: str


class Hub:
    """A Hub, its proxy and its users' servers, each in a process of its own, all their output in one log."""

    def __init__(self, home: Path, *, config: str, hub_config: str, extension: bool) -> None:
        self.home, self.extension = home, extension
        self.closing = ExitStack()
        self.tokens = {name: secrets.token_hex(16) for name in ("harness", "robot", "alice")}
        self.canary = f"CANARY{secrets.token_hex(6)}"
        self.port, self._hub_port, self._api_port = free_port(), free_port(), free_port()
        self._proxy_token = secrets.token_hex(16)
        self._write(config, hub_config)
        self._log = (home / "server.log").open("ab")
        self.process: subprocess.Popen[bytes] | None = None
        self._started: list[subprocess.Popen[bytes]] = []
        self._http = httpx.Client(
            base_url=f"{self.url}hub/api",
            headers={"Authorization": f"token {self.tokens['harness']}"},
            timeout=60,
            verify=NO_TLS,
        )

    @property
    def url(self) -> str:
        """The address of the proxy, which everybody uses."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def log(self) -> str:
        """Everything that the Hub, its proxy, the servers and their kernels wrote so far."""
        return (self.home / "server.log").read_text(errors="replace")

    def start(self) -> None:
        """Start the proxy and the Hub, and wait until the Hub answers."""
        self.run([find_proxy(), *self._proxy_arguments()], CONFIGPROXY_AUTH_TOKEN=self._proxy_token)
        self.start_hub()

    def start_hub(self) -> None:
        """Start the Hub's own process beside a proxy and servers that may be there, and wait until it answers."""
        self.process = self.run([sys.executable, "-m", "jupyterhub", "-f", str(self.home / "jupyterhub_config.py")])
        self.wait(self._answers, "the Hub")

    def stop_hub(self) -> None:
        """End the Hub's own process; the proxy, the servers and their kernels stay."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(30)

    def stop(self) -> None:
        """Close what browsers left open, and end all processes that came of this Hub."""
        self.closing.close()
        self._http.close()
        processes = self._processes()
        for process in processes:
            _signal(process.terminate)
        for process in psutil.wait_procs(processes, timeout=5)[1] + self._processes():
            _signal(process.kill)
        for started in self._started:
            started.wait(5)
        self._log.close()

    def run(self, command: list[str], **environment: str) -> subprocess.Popen[bytes]:
        """Start a program that ends with the Hub, in an environment without anything of the developer's Jupyter."""
        foreign = ("JUPYTER", "JPY_", "COV_", "CONFIGPROXY_", "IPYTHON")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        own = {MARK: str(self.home), "HOME": str(self.home)}
        own |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": python_path()}
        process = subprocess.Popen(
            command,
            cwd=self.home,
            env={**kept, **own, **environment},
            stdout=self._log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
        self._started.append(process)
        return process

    def wait(self, condition: Callable[[], bool], what: str) -> float:
        """Wait for a condition and return how many seconds it took."""
        begin = time.monotonic()
        while not condition():
            if time.monotonic() - begin > 120:  # a Hub on a busy machine
                raise TimeoutError(f"{what} did not come:\n{self.log}")
            time.sleep(0.05)
        return time.monotonic() - begin

    def api(self, method: str, path: str, body: Any = None, *, token: str = "") -> Any:
        """Call the Hub's API, as the harness's own service or with another token; return its JSON."""
        headers = {"Authorization": f"token {token}"} if token else {}
        response = self._http.request(method, path, json=body, headers=headers)
        if response.is_error:
            raise RuntimeError(f"{method} {path}: {response.status_code} {response.text}")
        return response.json() if response.content else None

    def start_server(self, *names: str) -> None:
        """Start users' servers and wait until they are ready."""
        for name in names:
            self.api("POST", f"/users/{name}/server")
        for name in names:
            self.wait(partial(self._is_ready, name), f"the server of {name}")

    def stop_server(self, name: str) -> None:
        """Stop a user's server and wait until it is gone."""
        self.api("DELETE", f"/users/{name}/server")
        self.wait(lambda: not self._server(name), f"the end of the server of {name}")

    def share(self, owner: str, guest: str) -> None:
        """Let a user into an owner's server, as the owner does it."""
        self.api("POST", f"/shares/{owner}/", {"user": guest}, token=self.token(owner).value)

    def unshare(self, owner: str, guest: str) -> None:
        """Take the permission back, as the owner does it."""
        self.api("PATCH", f"/shares/{owner}/", {"user": guest}, token=self.token(owner).value)

    def token(self, name: str, *scopes: str) -> Token:
        """Make an API token for a user, with all their permissions unless scopes are named."""
        made = self.api("POST", f"/users/{name}/tokens", {"scopes": scopes} if scopes else {})
        return Token(made["token"], made["id"])

    def revoke(self, name: str, token: Token) -> None:
        """Delete a user's API token."""
        self.api("DELETE", f"/users/{name}/tokens/{token.id}")

    def browser(self, name: str = "") -> Browser:
        """Return a new browser, logged in to the Hub by its form where a name is given."""
        browser = Browser(self)
        if name:
            browser.log_in(name)
        return browser

    def script(self, token: str, owner: str) -> Guest:
        """Return a client without cookies that presents an API token to a user's server."""
        return Guest(UserServer(self, owner), headers={"Authorization": f"token {token}"})

    def _server(self, name: str) -> dict[str, Any]:
        servers: dict[str, dict[str, Any]] = self.api("GET", f"/users/{name}").get("servers", {})
        return servers.get("", {})

    def _is_ready(self, name: str) -> bool:
        server = self._server(name)
        if not server:
            raise RuntimeError(f"the server of {name} ended:\n{self.log}")
        return server["ready"] is True

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"the Hub ended with {self.process.returncode}:\n{self.log}")
        try:
            return self._http.get("/").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _write(self, config: str, hub_config: str) -> None:
        kernelspec(self.home, AWARE, "--ext=jupyter_app_meta")
        for name in USERS:
            # jupyter_server_fileid opens a database in the data directory, which it expects to be there.
            (self.home / "home" / name / ".local" / "share" / "jupyter").mkdir(parents=True)
            (self.home / "home" / name / "welcome.txt").write_text(WELCOME)
        (self.home / "config").mkdir()
        (self.home / "config" / "jupyter_server_config.py").write_text(SERVER_CONFIG.format(kernel=AWARE) + config)
        values = {
            "home": str(self.home),
            "users": set(USERS),
            "url": self.url,
            "hub_port": self._hub_port,
            "api_port": self._api_port,
            "proxy_token": self._proxy_token,
            "tokens": self.tokens,
            "canary": self.canary,
            "crypt_key": secrets.token_hex(32),
            "environment": self._server_environment(),
            "runtime": str(runtime(self.home)),
        }
        (self.home / "jupyterhub_config.py").write_text(HUB_CONFIG.format_map(values) + hub_config)

    def _server_environment(self) -> dict[str, str]:
        return {
            MARK: str(self.home),
            "JUPYTERHUB_SINGLEUSER_EXTENSION": str(int(self.extension)),
            **({} if self.extension else {"JUPYTERHUB_SINGLEUSER_APP": "jupyter-server"}),
            "JUPYTER_CONFIG_DIR": str(self.home / "config"),
            "JUPYTER_PATH": str(self.home / "data"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONNOUSERSITE": "1",
        }

    def _proxy_arguments(self) -> list[str]:
        listening = ["--ip", "127.0.0.1", "--port", str(self.port)]
        api = ["--api-ip", "127.0.0.1", "--api-port", str(self._api_port)]
        return [*listening, *api, "--error-target", f"http://127.0.0.1:{self._hub_port}/hub/error"]

    def _processes(self) -> list[psutil.Process]:
        """Return what came of this Hub, orphans too: all of it has inherited the mark."""
        return [process for process in psutil.process_iter() if _environment(process).get(MARK) == str(self.home)]


class UserServer(Server):
    """A user's server, behind the Hub's proxy."""

    def __init__(self, hub: Hub, owner: str) -> None:
        assert hub.process is not None
        super().__init__(hub.home, f"{hub.url}user/{owner}/", hub.process, token="")
        self.closing = hub.closing


class Browser:
    """One person's browser: a cookie jar for the Hub and all the servers behind it."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.jar = CookieJar()
        self.http = httpx.Client(base_url=hub.url, cookies=self.jar, follow_redirects=True, timeout=60, verify=NO_TLS)
        hub.closing.callback(self.http.close)

    def log_in(self, name: str) -> None:
        """Fill in the Hub's login form."""
        page = self.http.get(FORM)
        form = {"username": name, "password": "any", "_xsrf": _hidden(page.text, "_xsrf")[0]}
        self.http.post(FORM, data=form).raise_for_status()

    def log_out(self) -> None:
        """Log out of the Hub."""
        self.http.get("/hub/logout").raise_for_status()

    def visit(self, owner: str) -> Guest:
        """Open a page of a user's server, through the Hub's OAuth and its form, and return this browser there."""
        guest = Guest(UserServer(self.hub, owner), jar=self.jar)
        page = guest.get(PAGE)
        if page.url.path == "/hub/api/oauth2/authorize" and page.is_success:
            form = {"_xsrf": _hidden(page.text, "_xsrf")[0], "scopes": _hidden(page.text, "scopes")}
            self.http.post(page.url, data=form)
        return guest


class Guest(Visitor):
    """A person's browser, or a script, on one user's server."""

    def __init__(
        self, server: Server, *, jar: CookieJar | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(server, headers=headers)
        self.jar = CookieJar() if jar is None else jar
        self.http.cookies.jar = self.jar
        server.closing.callback(self.http.close)

    @property
    def welcomed(self) -> bool:
        """Whether the server shows a page of its own, as it is asked now."""
        return self.get(PAGE).text == WELCOME

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """Call the API as a page of the server does, with the XSRF token that belongs to it."""
        headers = {"X-XSRFToken": self._xsrf(), **options.pop("headers", {})}
        return self.http.request(method, path, json=body, headers=headers, **options)

    def cookie_line(self) -> str:
        """The Cookie header that this browser would send to the server: only what its paths allow."""
        return str(self.http.build_request("GET", "api").headers.get("cookie", ""))

    def _xsrf(self) -> str:
        """The token of the longest path that matches; the Hub has one of its own."""
        path = httpx.URL(self.server.url).path
        found = [cookie for cookie in self.jar if cookie.name == "_xsrf" and path.startswith(cookie.path)]
        return max(found, key=lambda cookie: len(cookie.path)).value or "" if found else ""


@contextmanager
def hub_running(home: Path, *, config: str = "", hub_config: str = "", extension: bool = True) -> Iterator[Hub]:
    """Run a Hub in ``home``; ``config`` is text for the users' servers, ``hub_config`` for the Hub itself.

    With ``extension`` the users' servers are jupyter_server with JupyterHub's extension, without it
    JupyterHub's older subclass of it.
    """
    hub = Hub(home, config=config, hub_config=hub_config, extension=extension)
    try:
        hub.start()
        yield hub
    finally:
        hub.stop()


def find_proxy() -> str:
    """Return the configurable-http-proxy to use; where there is none, skip."""
    installed = Path(sys.prefix, "node", "node_modules", ".bin", "configurable-http-proxy")
    for path in (os.environ.get("CONFIGURABLE_HTTP_PROXY"), str(installed), "configurable-http-proxy"):
        if path and (found := shutil.which(path)):
            return found
    pytest.skip("there is no configurable-http-proxy: tools/ensure-hub-proxy.sh installs one")


def _hidden(page: str, name: str) -> list[str]:
    """Return the values of a form's hidden fields."""
    return re.findall(rf'<input\s+type="hidden"\s+name="{name}"\s+value="([^"]*)"', page)


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return dict(process.environ())
    except psutil.Error:
        return {}


def _signal(send: Callable[[], None]) -> None:
    with suppress(psutil.NoSuchProcess):
        send()
