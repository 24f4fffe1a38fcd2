"""Options of jupyter_server and Voila: each has its effect on a dashboard server, or is refused by its name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from harness import Server, kernelspec
from stage import ASK, KERNEL, eventually, kernels, serving_folder, visit, write
from traitlets.config import Config, Configurable

from jupyter_app_meta.cli.serve import Serve
from jupyter_app_meta.dashboards import DashboardError, create_app
from jupyter_app_meta.dashboards.setup import configured
from jupyter_app_meta.server.app import OPTIONS

HONOURED = {
    "IdentityProvider": "cookie_name cookie_options get_secure_cookie_kwargs login_handler_class logout_handler_class "
    "secure_cookie token",
    "PasswordIdentityProvider": "hashed_password password_required",
    "MappingKernelManager": "buffer_offline_messages cull_busy cull_connected cull_idle_timeout cull_interval "
    "kernel_info_timeout traceback_replacement_message transport_encryption untracked_message_types",
    "AsyncMultiKernelManager": "kernel_manager_class",
    "MultiKernelManager": "kernel_manager_class",
    "KernelSpecManager": "allowed_kernelspecs ensure_native_kernel kernel_spec_class whitelist",
    "VoilaConfiguration": "allow_template_override allow_theme_override extension_allowlist extension_config "
    "extension_denylist extra_labextensions_path file_allowlist file_denylist http_keep_alive_timeout "
    "kernel_spec_manager_class language_kernel_mapping page_config_hook resources show_margins show_tracebacks "
    "strip_sources template theme",
    "VoilaExecutor": "cell_timeout_instruction startup_timeout",
    "NotebookClient": "allow_error_names allow_errors error_on_timeout force_raise_errors interrupt_on_timeout "
    "iopub_timeout on_cell_complete on_cell_error on_cell_execute on_cell_executed on_cell_start "
    "raise_on_iopub_timeout record_timing shell_timeout_interval skip_cells_with_tag startup_timeout timeout",
    "AppMetaExtension": " ".join(OPTIONS),
    "SessionProvider": "login_required session_length",
    "UsersIdentityProvider": "file",
    "OpenIDProvider": "allowed_groups client_id client_secret_file clock_skew groups_claim groups_wanted issuer "
    "logout_everywhere redirect_uri scopes username_claim",
    "ProxyIdentityProvider": "groups_header header logout_url trusted_proxies",
}
"""What has its effect. Whoever adds to it has seen it: the tests below show those that we have a hand in."""


def parts(cls: type) -> Iterator[type[Configurable]]:
    """Yield a class and its bases, as far as they can be configured."""
    return (base for base in cls.__mro__ if issubclass(base, Configurable) and base.__name__ not in configured.OWN)


LISTED = sorted({part for cls in Serve.classes for part in parts(cls)}, key=lambda cls: cls.__name__)


@pytest.mark.parametrize("cls", LISTED, ids=lambda cls: cls.__name__)
def test_each_listed_option_is_honoured_or_refused(cls: type[Configurable]) -> None:
    """Of all that `serve --help-all` lists, nothing is accepted and does nothing."""
    refused = {name for base, names in configured.REFUSED.items() if issubclass(base, cls) for name in names}
    names = set(cls.class_own_traits(config=True))
    honoured = set(HONOURED.get(cls.__name__, "").split()) & names
    assert names == honoured | (refused & names) and not honoured & refused


REFUSED = [
    (
        {"VoilaConfiguration": {"classic_tree": True}},
        "VoilaConfiguration.classic_tree has no effect here: leave it out",
    ),
    ({"VoilaConfiguration": {"default_pool_size": 4}}, "default_pool_size has no effect here: use warm."),
    ({"VoilaConfiguration": {"http_header_envs": ["X-A"]}}, "has no effect here: use AppMetaExtension.headers_allow;"),
    ({"VoilaConfiguration": {"file_whitelist": [".*"]}}, "use VoilaConfiguration.file_allowlist."),
    ({"VoilaConfiguration": {"allow_theme_override": "YES"}}, "allow_theme_override must be 'NOTEBOOK' or 'NO' here:"),
    ({"VoilaExecutor": {"kernel_name": "ir"}}, "VoilaExecutor.kernel_name has no effect here: each notebook names"),
    ({"NotebookClient": {"kernel_name": "ir"}}, "NotebookClient.kernel_name has no effect here: each notebook names"),
    ({"MultiKernelManager": {"default_kernel_name": "ir"}}, "default_kernel_name has no effect here: each notebook"),
    ({"KernelManager": {"autorestart": True}}, "KernelManager.autorestart must be False here: another value has no"),
    ({"GatewayClient": {"auth_token": "x"}}, "GatewayClient.auth_token has no effect here: set GatewayClient.url as"),
    ({"GatewayClient": {"url": "ftp://gateway"}}, "GatewayClient: "),
    ({"GatewayClient": {"url": "http://me:pw@gateway"}}, "GatewayClient.url must not contain a name or password,"),
    ({"GatewayClient": {"ulr": "http://gateway"}}, "GatewayClient.ulr"),
    (
        {"GatewayClient": {"url": "http://gateway", "kernelspecs_resource_endpoint": "/x"}},
        "GatewayClient.kernelspecs_resource_endpoint has no effect here: pages show no pictures of kernels.",
    ),
    (
        {"GatewayClient": {"url": "http://gateway"}, "LocalProvisioner": {"log_level": 1}},
        "LocalProvisioner.log_level has no effect with GatewayClient.url",
    ),
    (
        {"GatewayClient": {"url": "http://gateway"}, "VoilaConfiguration": {"kernel_spec_manager_class": "x"}},
        "VoilaConfiguration.kernel_spec_manager_class has no effect with GatewayClient.url",
    ),
    (
        {"KernelRestarter": {"time_to_dead": 1}},
        "KernelRestarter.time_to_dead has no effect here: a kernel that has died",
    ),
    ({"ServerApp": {"port": 1}}, "ServerApp.port has no effect here: use Serve.port."),
    ({"ServerApp": {"root_dir": "/"}}, "ServerApp.root_dir has no effect here: it is for `jupyter server`."),
    ({"Voila": {"port": 1}}, "Voila.port has no effect here: use Serve.port."),
    ({"VoilaConfigration": {"theme": "x"}}, "VoilaConfigration.theme: .* did you mean VoilaConfiguration?"),
    ({"VoilaConfiguration": {"thme": "x"}}, "VoilaConfiguration.thme: there is no such option; did you mean 'theme'?"),
    ({"IdentityProvider": {"tokn": "x"}}, "IdentityProvider.tokn: there is no such option; did you mean 'token'?"),
    ({"Quux": {"a": 1}}, "Quux.a: this command reads no such section; leave it out."),
    ({"PasswordIdentityProvider": {"password_required": True}}, "password_required needs a password: set Password"),
]


@pytest.mark.parametrize(("config", "said"), REFUSED, ids=lambda value: str(value)[:40])
def test_option_without_effect_is_refused_by_name(tmp_path: Path, config: dict[str, Any], said: str) -> None:
    """The message names the option and what to use instead."""
    builder = create_app(config=config).with_app(path="/", root=write(tmp_path / "a.ipynb", "1"))
    with pytest.raises(DashboardError, match=re.escape(said).replace(r"\.\*", ".*")):
        builder.build()


def test_gateway_of_the_environment_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels never run here if they were to run elsewhere: the variable counts like the option."""
    write(tmp_path / "a.ipynb", "1")
    app = Serve()
    app.initialize([str(tmp_path), "--GatewayClient.ws_url=ws://gateway"])
    with pytest.raises(DashboardError, match=r"GatewayClient.ws_url has no effect here: set GatewayClient.url"):
        app.builder().build()
    monkeypatch.setenv("JUPYTER_GATEWAY_URL", "http://gateway")
    config = Config({"LocalProvisioner": {"log_level": 1}})
    with pytest.raises(DashboardError, match=r"has no effect with GatewayClient.url"):
        create_app(config=config).with_app(path="/", root=tmp_path / "a.ipynb").build()


@pytest.mark.parametrize(
    "config",
    [
        {"VoilaConfiguration": {"classic_tree": False, "default_pool_size": 1, "http_header_envs": []}},
        {"TagRemovePreprocessor": {"enabled": True}, "Session": {"username": "x"}, "NotebookClient": {"timeout": 5}},
        {"KernelManager": {"transport": "tcp", "autorestart": False}, "HTMLExporter": {"theme": "light"}},
    ],
)
def test_default_values_and_known_sections_pass(config: dict[str, Any]) -> None:
    """An option with its default value is not refused, nor are classes that Jupyter makes by itself."""
    configured.check(Config(config))


def test_class_of_the_deployers_own_may_be_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A section is known as soon as the class that it is for is."""
    text = "from jupyter_server.services.kernels.kernelmanager import ServerKernelManager as Theirs\n"
    text += "class OurKernels(Theirs): pass\n"
    (tmp_path / "our_kernels.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    named = {"AsyncMultiKernelManager": {"kernel_manager_class": "our_kernels.OurKernels"}}
    configured.check(Config({**named, "OurKernels": {"transport": "tcp"}}))


def test_file_for_all_programs_may_say_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`jupyter_config` is for every program of Jupyter's: sections of others pass, misspelt options do not."""
    write(tmp_path / "a.ipynb", "1")
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    (tmp_path / "jupyter_config.py").write_text(
        "c.ServerApp.port = 1\nc.LabApp.x = 1\nc.VoilaConfiguration.theme = 'dark'\n"
    )

    def configuration() -> Config:
        app = Serve()
        app.initialize([str(tmp_path)])
        return app.builder().config

    assert configuration() == {"VoilaConfiguration": {"theme": "dark"}}
    (tmp_path / "jupyter_config.py").write_text("c.VoilaConfiguration.thme = 'dark'\n")
    with pytest.raises(DashboardError, match=r"VoilaConfiguration\.thme: there is no such option"):
        configured.check(configuration())
    (tmp_path / "jupyter_config.py").unlink()
    (tmp_path / "jupyter_app_meta_config.py").write_text("c.ServerApp.port = 1\n")
    with pytest.raises(DashboardError, match=r"ServerApp\.port has no effect here"):
        configured.check(configuration())


async def test_token_in_a_file_is_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose token is in a file does not admit every visitor."""
    (tmp_path / "token").write_text("open-sesame")
    monkeypatch.setenv("JUPYTER_TOKEN_FILE", str(tmp_path / "token"))
    application = create_app().with_app(path="/", root=write(tmp_path / "a.ipynb", "1")).build()
    assert application.settings["identity_provider"].token == "open-sesame"
    await application.close()


CONFIG = """
from pathlib import Path
from jupyter_client.kernelspec import KernelSpecManager

class OurSpecs(KernelSpecManager):
    def get_kernel_spec(self, name):
        Path("specs-were-asked").touch()
        return super().get_kernel_spec(name)

c.VoilaConfiguration.kernel_spec_manager_class = OurSpecs
c.VoilaConfiguration.strip_sources = False
c.VoilaConfiguration.http_keep_alive_timeout = 1
c.VoilaConfiguration.extension_config = {"our-extension": {"colour": "teal"}}
c.VoilaConfiguration.page_config_hook = lambda page_config, **more: {**page_config, "hooked": "by-our-hook"}
c.NotebookClient.skip_cells_with_tag = "not-here"
c.VoilaExecutor.on_cell_executed = lambda **more: Path(f"executed-{more['cell_index']}").touch()
c.VoilaExecutor.allow_errors = True
c.MappingKernelManager.cull_idle_timeout = 10  # a busy machine may start a cell late
c.MappingKernelManager.cull_interval = 1
c.MappingKernelManager.cull_connected = True
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose configuration file has one of each sort."""
    home = tmp_path_factory.mktemp("configured")
    kernelspec(home, KERNEL)
    path = write(
        home / "root" / "a.ipynb",
        "print('one' + 'sided')",
        "1 / 0",
        f"{ASK}import time; time.sleep(10.5)",
        "print('last' + 'ly')",
    )
    notebook = nbformat.read(path, 4)
    notebook.cells[0].metadata["tags"] = ["not-here"]
    nbformat.write(notebook, path)
    (home / "own.py").write_text(CONFIG)
    options = (f"--config={home / 'own.py'}", "--VoilaExecutor.startup_timeout=50")
    with serving_folder(home, "a.ipynb", *options) as server:
        yield server


def test_options_that_have_an_effect(server: Server) -> None:
    """One page shows what its configuration says."""
    opened = visit(server, None)
    opened.connect()
    text, root = opened.html, server.home / "root"
    assert "voila_heartbeat()" in text and "sided" in text and "onesided" not in text and "lastly" in text
    assert '"colour": "teal"' in text and "by-our-hook" in text
    assert (root / "specs-were-asked").exists()
    eventually((root / "executed-3").exists)
    assert not (root / "executed-0").exists()
    eventually(lambda: not kernels(server), timeout=60)  # it was idle for too long
