"""``jupyter app-meta passwd``, and the options of ``serve`` that say who a visitor is."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from stage import write

from jupyter_app_meta.cli import logins, serve
from jupyter_app_meta.dashboards import DashboardError
from jupyter_app_meta.providers import UsersIdentityProvider
from jupyter_app_meta.providers.users import people

if TYPE_CHECKING:
    from tests.cli.conftest import Site

COMMAND = [sys.executable, "-m", "jupyter_app_meta", "passwd", "alice"]


def typed(folder: Path, *lines: str) -> tuple[int, str]:
    """Run the command in a terminal, type these lines, and return the exit status and what was shown."""
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(folder)
        os.execv(COMMAND[0], COMMAND)
    shown = b""
    for line in lines:
        while not shown.endswith(b": "):
            shown += os.read(terminal, 1024)
        os.write(terminal, f"{line}\n".encode())
        shown += b"\n"
    try:
        while more := os.read(terminal, 1024):
            shown += more
    except OSError:  # the other end of the terminal is closed
        pass
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_password_is_asked_twice(tmp_path: Path) -> None:
    """Two different ones write nothing, two equal ones are hashed; the terminal shows neither."""
    status, shown = typed(tmp_path, "correct horse", "correct house")
    assert status == 1 and "the two passwords differ" in shown and not os.listdir(tmp_path)
    status, shown = typed(tmp_path, "correct horse", "correct horse")
    assert status == 0 and "Added alice in people.toml." in shown and "correct" not in shown
    found = people.read(tmp_path / "people.toml")["alice"]
    assert found.hash and (tmp_path / "people.toml").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("arguments", "input", "status", "said"),
    [
        (["--users", "u.toml"], "correct horse\n", 0, "Added alice in u.toml."),
        (["--users", "u.toml"], "short\n", 1, "must have 8 to 1024 characters, not 5"),
        (["--users", "gone/u.toml"], "correct horse\n", 1, "cannot be written (No such file or directory)"),
        (["--user", "u.toml"], "", 2, "did you mean --users?"),
    ],
)
def test_script_writes_a_line(tmp_path: Path, arguments: list[str], input: str, status: int, said: str) -> None:
    """The first line of a script's input is the password."""
    command = [*COMMAND, *arguments]
    result = subprocess.run(command, cwd=tmp_path, input=input, capture_output=True, text=True, check=False)
    assert (result.returncode, said in result.stdout + result.stderr) == (status, True)
    assert "Traceback" not in result.stderr


def test_hashing_needs_no_server(tmp_path: Path) -> None:
    """The command loads neither jupyter_server nor tornado."""
    code = "import sys; from jupyter_app_meta.cli import main; main(['passwd', 'a']); print([*sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, input="correct horse", capture_output=True, text=True, check=True
    )
    assert "argon2" in result.stdout and "jupyter_server" not in result.stdout and "'tornado'" not in result.stdout


def told(folder: Path, *arguments: str) -> type:
    """Return the provider that these arguments choose."""
    app = serve.Serve()
    app.initialize([str(folder), *arguments])
    app.builder().check()
    return app.identity_provider_class


def test_users_choose_the_provider(tmp_path: Path) -> None:
    """The option and the section of the configuration mean the same."""
    write(tmp_path / "a.ipynb", "1")
    (tmp_path / "people.toml").write_text("")
    for option in ("--users", "--UsersIdentityProvider.file"):
        assert told(tmp_path, f"{option}={tmp_path}/people.toml") is UsersIdentityProvider


OTHERS = [
    "--token=x", "--hub", "--identity-provider=providers.People", "--AppMetaExtension.user_header=X-User",
    "--proxy-header=X-Forwarded-User", "--oidc-issuer=https://a.b",
    "--PasswordIdentityProvider.hashed_password=argon2:x", "--IdentityProvider.token=x",
]  # fmt: skip


@pytest.mark.parametrize("other", OTHERS)
def test_two_logins_are_refused(tmp_path: Path, other: str) -> None:
    """One option says who a visitor is."""
    write(tmp_path / "a.ipynb", "1")
    (tmp_path / "people.toml").write_text("")
    with pytest.raises(DashboardError, match=r"^--users cannot be combined with "):
        told(tmp_path, "--users", f"{tmp_path}/people.toml", other)


def test_check_judges_as_serve(site: Site, tmp_path: Path) -> None:
    """A mistake in the file, and a second login, are faults for the one and refusals of the other."""
    (tmp_path / "people.toml").write_text("[alice]\nadmin = 1\n")
    place = write(tmp_path / "a.ipynb", "1", kernel="python3-app-meta")
    options = ("--users", f"{tmp_path}/people.toml")
    said = f"users file {tmp_path}/people.toml, line 2: [alice] admin must be true or false."
    assert site.check("--notebooks", str(place), *options)[1]["notebooks"] == ("fault", said)
    assert said in site.run("serve", str(place), "--no-browser", *options).stderr
    (tmp_path / "people.toml").write_text("")
    assert site.check("--notebooks", str(place), *options)[1]["notebooks"][0] == "ok"


def test_options_are_told_from_the_servers() -> None:
    """A value may be a word of its own; a server that names a provider keeps its section."""
    assert logins.taken(["--users", "x", "--a=b"]) == (["--users=x"], ["--a=b"])
    own = ["--ServerApp.identity_provider_class=x", "--UsersIdentityProvider.file=x"]
    assert logins.taken(own) == ([], own)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--oidc-issuer=http://login.example.org", "--oidc-client-id=x"], "must be an https URL"),
        (["--oidc-issuer=https://login.example.org"], "(--oidc-client-id) is missing"),
        (["--proxy-header=X-Forwarded-User"], "needs --trusted-proxy"),
        (["--proxy-header=Authorization", "--trusted-proxy=10.0.0.0/8"], "holds a credential"),
    ],
)
def test_check_judges_each_login_as_serve(site: Site, tmp_path: Path, options: list[str], said: str) -> None:
    """What one of them refuses is a fault for the other, in the same words."""
    place = str(write(tmp_path / "a.ipynb", "1", kernel="python3-app-meta"))
    status, told = site.check("--notebooks", place, *options)[1]["notebooks"]
    assert status == "fault" and said in told
    refused = site.run("serve", place, "--no-browser", *options)
    assert refused.returncode == 1 and told in refused.stderr
