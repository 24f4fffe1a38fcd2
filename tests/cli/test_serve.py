"""``jupyter app-meta serve``: what it refuses, and servers that it runs, over HTTP, until SIGTERM."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest
from harness import Server, without_kernels
from stage import WHO, eventually, serving_folder, visit, write

from jupyter_app_meta.cli import serve
from jupyter_app_meta.cli.arguments import with_token
from jupyter_app_meta.cli.options import Refused
from jupyter_app_meta.dashboards import Builder, DashboardError
from jupyter_app_meta.dashboards.setup import ports

if TYPE_CHECKING:
    from tests.cli.conftest import Site

SECRET = "CANARY-of-the-token"

FORWARDED = """from jupyter_app_meta import app_meta
r = app_meta().request
print(f"<{sorted(r.cookies)}|{r.headers.get('x-team')}|{r.url.path}|{'token' in r.query_params}>")"""

WITHOUT_VOILA = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "voila":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])
sys.meta_path.insert(0, Absent())
from jupyter_app_meta.cli import main
sys.exit(main(["serve", "."]))
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a notebook, a folder with another, and a text."""
    write(tmp_path / "here.ipynb", "1")
    write(tmp_path / "pages" / "a.ipynb", "1")
    (tmp_path / "text.txt").write_text("1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(*arguments: str) -> Builder:
    """Return what these arguments make the command serve."""
    app = serve.Serve()
    app.initialize(list(with_token(arguments)))
    return app.builder()


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("--wram=4", "unknown option --wram; did you mean --warm?"),
        ("--por", "unknown option --por; did you mean --port?"),
        ("--identity_provider=x", "unknown option --identity_provider; did you mean --identity-provider?"),
        ("--no-browsers", "unknown option --no-browsers; did you mean --no-browser?"),
        ("--quux", "unknown option --quux; `--help` lists the options."),
    ],
)
def test_unknown_option_is_refused_with_the_nearest(option: str, hint: str) -> None:
    """A misspelt option is refused before anything is read, with any other options beside it."""
    with pytest.raises(Refused, match=re.escape(hint)) as caught:
        serve.main([".", "--port=1", option])
    assert caught.value.status == 2


def test_refusal_is_one_line(site: Site) -> None:
    """The exit status of a wrong command line is 2, and one line says why."""
    result = site.run("serve", "--wram=4", ".")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "jupyter app-meta: unknown option --wram; did you mean --warm?\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone"], r"^gone is neither a notebook \(\.ipynb, \.py, \.md\) nor a folder\.$"),
        (["gone.ipynb"], r"^gone\.ipynb is neither"),
        (["text.txt"], r"^text\.txt is neither a notebook"),
        (["pages", "here.ipynb"], r"^Name one notebook or folder, not 2\.$"),
        (["a", "b", "c"], r"not 3\.$"),
    ],
)
def test_place_that_cannot_be_served_is_named(place: Path, arguments: list[str], said: str) -> None:
    """What is neither a notebook nor a folder, or more than one, is refused by name."""
    with pytest.raises(DashboardError, match=said):
        told(*arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--Serve.autorize=mod:rule"], r"^Serve\.autorize: there is no such option; did you mean 'authorize'\?$"),
        (["--Serve.quux=1"], r"^Serve\.quux: there is no such option; `--help-all` lists"),
        (["--Serv.authorize=mod:rule"], r"^Serv: the configuration has no such section; did you mean 'Serve'\?$"),
    ],
)
def test_misspelt_trait_is_refused(place: Path, arguments: list[str], said: str) -> None:
    """A rule under a misspelt name stops the server, which would otherwise admit every visitor."""
    with pytest.raises(DashboardError, match=said):
        told("pages", *arguments)


def test_misspelt_trait_of_a_file_is_refused(place: Path) -> None:
    """In a configuration file, too."""
    (place / "own.py").write_text("c.Serve.autorize = lambda user, request: False\nc.ServerApp.port = 1\n")
    with pytest.raises(DashboardError, match=r"did you mean 'authorize'\?"):
        told("pages", f"--config={place / 'own.py'}")


def test_failure_is_one_line(site: Site) -> None:
    """A place that cannot be served is an error of one line, with exit status 1."""
    result = site.run("serve", str(site.root / "gone"), "--no-browser")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "gone is neither a notebook (.ipynb, .py, .md) nor a folder." in result.stderr


def test_unknown_option_of_the_policy_is_refused(site: Site) -> None:
    """An option of AppMetaExtension that does not exist ends the command: it may have been meant to withhold."""
    result = site.run("serve", str(site.root), "--no-browser", "--AppMetaExtension.user_field=name")
    assert result.returncode == 1
    assert "AppMetaExtension.user_field: there is no such option; did you mean 'user_fields'?" in result.stderr
    assert "Traceback" not in result.stderr


def test_help_has_options_and_examples(site: Site) -> None:
    """``--help`` says what the options are and shows how they are used."""
    result = site.run("serve", "--help")
    assert (result.returncode, result.stderr) == (0, "")
    for wanted in ("--warm", "--identity-provider", "--token", "--base-url", "sales.ipynb --warm 4"):
        assert wanted in result.stdout


def test_missing_extra_is_named() -> None:
    """Where Voila is not installed, the command says what to install, in one line."""
    result = subprocess.run([sys.executable, "-c", WITHOUT_VOILA], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "jupyter app-meta: voila is missing: pip install 'jupyter-app-meta[dashboards]'\n"


# --- what is served --------------------------------------------------------------------------------------------------


def test_folder_is_served_below_an_index(place: Path) -> None:
    """A folder is a directory at the start, with an index; without a place it is the working directory."""
    for arguments, folder in ((["pages"], place / "pages"), ([], place), (["."], place)):
        builder = told(*arguments)
        (mount,) = builder.mounts
        assert builder.index is not None and builder.index.path == "/"
        assert (mount.dynamic, mount.route.path, mount.place) == (True, "/", folder)


def test_notebook_is_served_at_the_start(place: Path) -> None:
    """A notebook is the page of the start itself, without an index."""
    builder = told("here.ipynb", "--warm", "4")
    (mount,) = builder.mounts
    assert builder.index is None
    assert (mount.dynamic, mount.route.path, mount.place) == (False, "/", place / "here.ipynb")
    assert mount.settings.warm == 4


def test_options_reach_the_server(place: Path) -> None:
    """Each option of the command is an option of ``create_app``."""
    builder = told(
        *("pages", "--base-url=/team/x", "--token=abc", "--Serve.warm_max_age=7", "--Serve.idle_timeout=8"),
        *("--Serve.connect_timeout=9", "--Serve.trust_xheaders=True", "--identity-provider=providers.People"),
    )
    assert builder.base_url == "/team/x/"
    assert builder.mounts[0].settings.max_age == 7
    wanted = {"token": "abc", "idle_timeout": 8, "connect_timeout": 9, "trust_xheaders": True}
    assert {name: builder.options[name] for name in wanted} == wanted
    assert builder.options["identity_provider"].__name__ == "People"
    assert told("pages").options["token"] is None


def test_token_can_be_made_up(place: Path) -> None:
    """``--token`` alone, at the end, makes up another token each time."""
    tokens = [told("pages", "--token").options["token"] for _ in range(2)]
    assert tokens[0] != tokens[1] and all(len(token) >= 32 for token in tokens)


def test_place_is_not_taken_for_a_token(place: Path) -> None:
    """``serve --token pages`` serves the folder behind a token that the server makes up."""
    builder = told("--token", "pages")
    assert builder.mounts[0].place == place / "pages"
    assert builder.options["token"] != "pages"


def test_unknown_short_option_is_refused(site: Site) -> None:
    """An option with one dash that does not exist is refused like others."""
    result = site.run("serve", "-z", "swallowed", "two", "others")
    assert (result.returncode, "unknown option -z" in result.stderr) == (2, True)


def test_configuration_file_can_be_generated(site: Site) -> None:
    """``--generate-config`` writes a file that has the options of the command and of the policy."""
    result = site.run("serve", "--generate-config", JUPYTER_CONFIG_DIR=str(site.root / "made"))
    assert (result.returncode, "Traceback" in result.stderr) == (0, False)
    text = (site.root / "made" / "jupyter_app_meta_config.py").read_text()
    assert "c.Serve.warm" in text and "c.AppMetaExtension.cookies_allow" in text


# --- over HTTP, until SIGTERM ----------------------------------------------------------------------------------------


def kernels(server: Server) -> list[psutil.Process]:
    """Return the processes of a server's kernels."""
    found = []
    for child in psutil.Process(server.process.pid).children(recursive=True):
        with suppress(psutil.Error):
            found += [child] if "ipykernel_launcher" in child.cmdline() else []
    return found


def ended(server: Server, *, within: float = 60) -> int:
    """End a server by SIGTERM and return its exit status; its kernels are gone with it."""
    children = kernels(server)
    assert children
    server.closing.close()
    server.process.send_signal(signal.SIGTERM)
    status = server.process.wait(within)
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    return status


def test_server_behind_a_token(tmp_path: Path) -> None:
    """Token, base URL, configuration file and options hold, and SIGTERM ends it all without a trace of the token."""
    write(tmp_path / "root" / "pages" / "a.ipynb", "%md # The page", FORWARDED)
    config = tmp_path / "own.py"
    config.write_text("c.AppMetaExtension.headers_allow = ['x-team']\nc.Serve.warm = 0\n")
    options = ("--base-url=/team/", f"--config={config}", "--AppMetaExtension.cookies_allow=theme")
    with serving_folder(tmp_path, "pages", f"--token={SECRET}", *options, prefix="/team/") as server:
        stranger = server.visitor()
        for path in ("", "a", "a?token=wrong", "gone"):
            answer = stranger.get(path, follow_redirects=False)
            assert (answer.status_code, answer.headers["Location"].partition("?")[0]) == (302, "/team/login")
        assert stranger.get("login").status_code == 200
        visitor = server.visitor(cookies={"theme": "dark", "mood": "good"}, headers={"X-Team": "blue"})
        index = visitor.get("", params={"token": SECRET})
        assert '<a href="/team/a"><span>The page</span>' in index.text
        page = visitor.get("a", params={"token": SECRET}).text.replace("&#39;", "'")
        assert "&lt;['theme']|blue|/team/a|False&gt;" in page
        assert visitor.get("a", follow_redirects=False).status_code == 200  # a cookie, from now on
        assert ended(server) == 0
        assert f"Dashboards are served at {server.url.replace('127.0.0.1', 'localhost')} (Ctrl-C stops)." in server.log
        assert SECRET not in server.log and "Traceback" not in without_kernels(server.log)


def test_server_of_several_people_with_warm_kernels(tmp_path: Path) -> None:
    """An identity provider says who a visitor is; SIGTERM also ends kernels that wait for a visitor."""
    write(tmp_path / "root" / "who.ipynb", "import os; open(f'ran-{os.getpid()}', 'w').close()", WHO)
    with serving_folder(tmp_path, "who.ipynb", "--warm=1", "--identity-provider=providers.People") as server:
        assert "<alice|{'region': 'emea'}|{}|run>" in visit(server, "alice", region="emea").html
        assert server.visitor().get("", follow_redirects=False).headers["Location"].startswith("/login?next=")
        eventually(lambda: len(list((tmp_path / "root").glob("ran-*"))) == 2)  # the next one's other cell waits
        assert ended(server) == 0
        assert "Traceback" not in without_kernels(server.log) and "failed" not in without_kernels(server.log)


@pytest.mark.parametrize("after", [0.1])
def test_server_ends_while_a_page_begins(tmp_path: Path, after: float) -> None:
    """SIGTERM may come at any moment: while a page's kernel is being started it ends the server in order, too."""
    write(tmp_path / "root" / "who.ipynb", WHO)
    with serving_folder(tmp_path, "who.ipynb") as server:

        def ask() -> None:
            with suppress(httpx.HTTPError):
                httpx.get(server.url, timeout=20)

        visitor = threading.Thread(target=ask)
        visitor.start()
        time.sleep(after)
        server.process.send_signal(signal.SIGTERM)
        try:
            assert server.process.wait(30) == 0
        finally:
            server.process.kill()
            visitor.join()
        assert "Traceback" not in without_kernels(server.log)


def test_temporary_directory_may_be_deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels start where the path of temporary directories has some 50 characters, as on macOS."""
    write(tmp_path / "root" / "who.ipynb", WHO)
    with tempfile.TemporaryDirectory(prefix="x" * (43 - len(tempfile.gettempdir()))) as deep:
        monkeypatch.setenv("TMPDIR", deep)
        with serving_folder(tmp_path, "who.ipynb") as server:
            answer = visit(server, None).response
            server.process.kill()  # after a start that failed it would not end by itself
        assert answer.status_code == 200


# --- where it is served, and with what configuration -----------------------------------------------------------------


def answered(server: subprocess.Popen[str], wanted: str) -> str:
    """Return what a server said up to the line that has this text."""
    assert server.stderr is not None
    said = ""
    for line in server.stderr:
        said += line
        if wanted in line:
            return said
    raise AssertionError(f"the server ended without {wanted!r}:\n{said}")


@contextmanager
def serving(place: Path, *arguments: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    """Run ``python -m jupyter_app_meta serve`` in a folder, and end it by SIGTERM."""
    command = [sys.executable, "-m", "jupyter_app_meta", "serve", *arguments, "--no-browser"]
    server = subprocess.Popen(command, cwd=place, stderr=subprocess.PIPE, text=True, env={**os.environ, **env})
    try:
        yield server
    finally:
        server.terminate()
        server.communicate(timeout=60)


def test_free_port_and_configuration_are_said(place: Path) -> None:
    """Port 0 is any free one, and the link has the one that was taken; what was read as configuration is said."""
    with serving(place, "pages", "--port=0") as server:
        said = answered(server, "are served at")
        (url,) = re.findall(r"are served at (http://localhost:[1-9][0-9]*/) ", said)
        assert "Configuration: none." in said
        assert httpx.get(url, timeout=30).status_code == 200


def test_next_port_is_taken_where_one_is_in_use(place: Path) -> None:
    """A port in use is skipped with a warning, or refused with a hint if the deployer insists on it."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with serving(place, "pages", f"--port={port}", "--ip=127.0.0.1") as server:
            said = answered(server, "are served at")
            assert f"Port {port} is in use, trying {port + 1}." in said
        with serving(place, "pages", f"--port={port}", "--ip=127.0.0.1", "--Serve.port_retries=0") as server:
            said = answered(server, "Cannot listen on")
            assert f"127.0.0.1:{port} (Address already in use): choose another port (--port), or 0" in said
            assert server.wait(60) == 1


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
@pytest.mark.parametrize(
    ("ip", "authority"),
    [("::1", "[::1]:80"), ("0.0.0.0", "localhost:80"), ("::", "localhost:80"), ("10.0.0.1", "10.0.0.1:80")],
)
def test_address_is_written_as_in_a_url(ip: str, authority: str) -> None:
    """An IPv6 address has brackets; all addresses are reached at localhost."""
    assert ports.authority(ip, 80) == authority


def test_configuration_beside_the_notebooks_is_not_passed_over_in_silence(place: Path) -> None:
    """A file of options where Jupyter does not look is named, with the option that reads it."""
    (place / "pages" / "jupyter_app_meta_config.py").write_text("c.Serve.warm = 0\n")
    (place / "voila.json").write_text("{}")
    with serving(place, "pages", "--port=0") as server:
        said = answered(server, "are served at")
    for path in ("pages/jupyter_app_meta_config.py", "voila.json"):
        assert f"{path} is not read: it is beside the notebooks. Name it with --config={path}." in said
    own = place / "pages" / "jupyter_app_meta_config.py"
    with serving(place, "pages", "--port=0", f"--config={own}") as server:
        said = answered(server, "are served at")
    assert f"Configuration: {own}" in said and f"{own} is not read" not in said


def test_home_may_be_unwritable(place: Path, tmp_path: Path) -> None:
    """Nothing needs the home folder: an account without one serves its pages."""
    write(place / "pages" / "a.ipynb", "print('it runs')", kernel="python3")
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    folders = ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "XDG_RUNTIME_DIR")
    env = {name: value for name, value in os.environ.items() if name not in folders} | {"HOME": str(home)}
    command = [sys.executable, "-m", "jupyter_app_meta", "serve", "pages", "--no-browser", "--port=0"]
    if os.geteuid() == 0:  # without these rights an administrator's folders are closed to this process, too
        os.chown(home, 65534, 65534)
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner,-chown", *command]
    with subprocess.Popen(command, cwd=place, stderr=subprocess.PIPE, text=True, env=env) as server:
        try:
            (url,) = re.findall(r"are served at (\S+)", answered(server, "are served at"))
            answer = httpx.get(f"{url}a", timeout=60)
            assert (answer.status_code, "it runs" in answer.text) == (200, True)
            assert list(home.iterdir()) == []
        finally:
            server.terminate()
            server.communicate(timeout=60)
