"""``jupyter app-meta check``, run as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

PREFERENCES = "preferences by well-known names (theme, lang, tz, ...)"

if TYPE_CHECKING:
    from tests.cli.conftest import Site


def test_a_good_site_passes(site: Site) -> None:
    """Where all is well the check says what is forwarded, and its exit status is 0."""
    status, rows = site.check()
    assert status == 0
    assert rows["server half"] == ("ok", f"enabled by {site.etc}")
    assert rows["kernel python3-app-meta"] == ("ok", "“python3-app-meta”: request-aware")
    assert rows["kernel python3"][0] == "info"
    assert "by `%load_ext jupyter_app_meta`" in rows["kernel python3"][1]
    assert "accept-language" in rows["forwards headers"][1]
    assert rows["forwards cookies"] == ("info", PREFERENCES)
    assert rows["forwards client address"] == ("info", "no")
    assert rows["options set"] == ("info", "none")


def test_the_table_is_aligned_text(site: Site) -> None:
    """People get one table whose findings begin in one column, without colours."""
    result = site.run("check", COLUMNS="80")
    lines = result.stdout.splitlines()
    assert result.returncode == 0
    assert "\x1b" not in result.stdout
    assert all(len(line) <= 80 or " " not in line.strip() for line in lines)
    column = next(line for line in lines if "server half" in line).index("enabled by")
    assert all(line[column - 2 : column] == "  " for line in lines[2:-2])
    assert lines[-1] == "no faults, no risks."


def test_a_disabled_server_half_is_a_fault(site: Site) -> None:
    """A disabled extension is a fault whose row says what disabled it and how to enable it."""
    site.enable(False)
    status, rows = site.check()
    assert status == 1
    assert rows["server half"][0] == "fault"
    assert f"disabled by {site.etc}" in rows["server half"][1]
    assert "jupyter server extension enable" in rows["server half"][1]


def test_no_request_aware_kernel_is_a_fault(site: Site) -> None:
    """A site whose kernels all need %load_ext is told how to register one that does not."""
    status, rows = site.check("--KernelSpecManager.allowed_kernelspecs=python3")
    assert status == 1
    assert rows["kernels"][0] == "fault"
    assert "jupyter app-meta kernelspec install" in rows["kernels"][1]


def test_a_kernel_without_the_package_does_not_count(site: Site) -> None:
    """A kernelspec that loads the extension in an environment that does not have it is not request-aware."""
    bare = site.root / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    site.add_kernel("bare", str(bare / "bin/python"), "--ext=jupyter_app_meta")
    site.add_kernel("gone", "/no/such/python", "--ext=jupyter_app_meta")
    status, rows = site.check("--KernelSpecManager.allowed_kernelspecs={'bare', 'gone'}")
    assert status == 1
    assert rows["kernel bare"][0] == rows["kernel gone"][0] == "risk"
    assert "not installed in the environment of" in rows["kernel bare"][1]
    assert "kernels" in rows


def test_gateway_that_does_not_answer_is_a_fault(site: Site) -> None:
    """The check asks the gateway, and names the option."""
    status, rows = site.check("--GatewayClient.url=http://127.0.0.1:1")
    assert status == 1
    assert rows["gateway"][0] == "fault" and rows["gateway"][1].endswith("start it, or correct GatewayClient.url.")


@pytest.mark.parametrize("name", ["jupyter_server_config.py", "jupyter_app_meta_config.py", "jupyter_config.py"])
def test_it_reads_the_files_that_the_server_reads(site: Site, name: str) -> None:
    """Options come from every file that `jupyter server` would read, and the command line wins."""
    site.write(name, "c.AppMetaExtension.cookies_allow = ['mood']\nc.AppMetaExtension.headers_allow = ['x-ab-*']\n")
    status, rows = site.check("--AppMetaExtension.cookies_allow=flavour")
    assert status == 0
    assert rows["forwards cookies"] == ("info", f"{PREFERENCES}, flavour")
    assert rows["forwards headers"][1].endswith(", x-ab-*")
    assert rows["options set"] == ("info", "cookies_allow = flavour; headers_allow = x-ab-*")


def test_a_named_file_is_read_instead(site: Site) -> None:
    """`--config` names a file to read, as it does for `jupyter server`; one that is missing is refused."""
    path = site.write("other.py", "c.AppMetaExtension.cookies_allow = ['mood']\n")
    assert site.check("--config", str(path))[1]["forwards cookies"] == ("info", f"{PREFERENCES}, mood")
    result = site.run("check", "--config", f"{path}x")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"jupyter app-meta: there is no configuration file {path}x.\n"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("trusted_proxies", "somewhere"),
        ("tcp_nodelay", "maybe"),
        ("stamp_limit", "5"),
        ("unsafe_cookies", "_xsrf"),
        ("request_hook", "no_such_module:facts"),
    ],
)
def test_a_wrong_value_is_a_fault_with_its_name(site: Site, option: str, value: str) -> None:
    """A value that the server would refuse is a fault that names the option."""
    status, rows = site.check(f"--AppMetaExtension.{option}={value}")
    assert status == 1
    assert rows["configuration"][0] == "fault"
    assert option in rows["configuration"][1]


IDLE = {
    "headers_allow": {
        "cookie": "never forwarded",
        "Sec-WebSocket-*": "never forwarded",
        "Authorization": "unsafe_headers",
        "*-token": "unsafe_headers",
        "x-forwarded-us*": "headers_allow",
    },
    "cookies_allow": {
        "_xsrf": "never forwarded",
        "jupyterhub-*": "never forwarded",
        "PHPSESSID": "unsafe_cookies",
        "*session": "unsafe_cookies",
    },
}


def test_an_option_that_opens_nothing_is_not_reported_as_forwarded(site: Site) -> None:
    """What is listed as forwarded is what the policy forwards; a name that it refuses is a risk that says why."""
    options = [f"--AppMetaExtension.{option}={name}" for option, idle in IDLE.items() for name in (*idle, "x-fine")]
    result = site.run("check", "--json", *options)
    rows = [(row["status"], row["subject"], row["finding"]) for row in json.loads(result.stdout)["rows"]]
    assert result.returncode == 0
    for option, idle in IDLE.items():
        (listed,) = (finding for _, subject, finding in rows if subject == f"forwards {option.partition('_')[0]}")
        risks = [finding for status, subject, finding in rows if (status, subject) == ("risk", option)]
        assert "x-fine" in listed.split(", ")
        assert len(risks) == len(idle)
        for (given, why), finding in zip(idle.items(), risks, strict=True):
            name = given.lower().replace("_", "-")
            assert name not in listed.split(", ")
            assert f"opens nothing by {name!r}" in finding and why in finding


def test_an_unknown_option_in_a_file_is_a_fault(site: Site) -> None:
    """A misspelt option in a file is a fault with the nearest name."""
    site.write("jupyter_server_config.py", "c.AppMetaExtension.cookie_allow = ['theme']\n")
    status, rows = site.check()
    assert status == 1
    assert "'cookies_allow'" in rows["configuration"][1]


def test_a_file_with_an_error_is_a_fault(site: Site) -> None:
    """A file that the server would give up half-way is a fault with file and line, without its text."""
    path = site.write("jupyter_server_config.py", "c.AppMetaExtension.cookies_allow = ['a']\nsecret = 'pa55word' +\n")
    result = site.run("check")
    assert result.returncode == 1
    assert f"{path} cannot be read to its end (SyntaxError, line 2)" in result.stdout
    assert "pa55word" not in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("--AppMetaExtension.cookie_allow=theme", "did you mean --AppMetaExtension.cookies_allow?"),
        ("--AppMetaExtention.cookies_allow=theme", "did you mean --AppMetaExtension.cookies_allow?"),
        ("--IdentityProvider.tokn=1", "did you mean --IdentityProvider.token?"),
        ("--confg=x", "did you mean --config?"),
        ("--jsn", "did you mean --json?"),
        ("--no-browsr", "did you mean --no-browser?"),
    ],
)
def test_an_unknown_argument_is_refused_with_the_nearest(site: Site, argument: str, hint: str) -> None:
    """A misspelt argument is refused in one line that has the nearest valid one."""
    result = site.run("check", argument)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert hint in result.stderr


def test_options_of_the_server_are_taken(site: Site) -> None:
    """Flags, aliases and options of `jupyter server` are accepted in each of their spellings."""
    arguments = ["--debug", "--port=9999", "--no-browser", "--AppMetaExtension.cookies_allow", "mood"]
    status, rows = site.check(*arguments, "--AppMetaExtension.cookies_allow=ab_*")
    assert status == 0
    assert rows["forwards cookies"] == ("info", f"{PREFERENCES}, mood, ab-*")


@pytest.mark.parametrize("option", ["IdentityProvider.token", "ServerApp.token"])
def test_disabled_authentication_is_a_fault(site: Site, option: str) -> None:
    """An empty token without a password is a fault, with a password it is none."""
    status, rows = site.check(f"--{option}=")
    assert status == 1
    assert rows["authentication"][0] == "fault"
    status, rows = site.check(f"--{option}=", "--PasswordIdentityProvider.hashed_password=argon2:x")
    assert status == 0
    assert "authentication" not in rows


def test_an_empty_session_key_is_a_fault(site: Site) -> None:
    """With an empty Session.key nothing can be signed, so no visitor is known."""
    status, rows = site.check("--Session.key=")
    assert (status, rows["Session.key"][0]) == (1, "fault")


def test_a_user_header_needs_trusted_proxies(site: Site) -> None:
    """A header that names the user is a fault as long as any client may send it."""
    header = "--AppMetaExtension.user_header=X-Forwarded-User"
    status, rows = site.check(header)
    assert (status, rows["user_header"][0]) == (1, "fault")
    status, rows = site.check(header, "--AppMetaExtension.trusted_proxies=10.0.0.0/8")
    assert status == 0
    assert "user_header" not in rows
    assert rows["forwards client address"] == ("info", "yes")


def test_risks_are_listed_and_do_not_fail(site: Site) -> None:
    """What is risky and may be wanted has a row each, and the exit status is 0."""
    status, rows = site.check(
        "--AppMetaExtension.unsafe_headers=Authorization",
        "--AppMetaExtension.unsafe_cookies=sid",
        "--AppMetaExtension.unsafe_query=token",
        "--AppMetaExtension.trusted_proxies=0.0.0.0/0",
        "--AppMetaExtension.audit=True",
        "--Session.key=abc",
        "--ServerApp.allow_origin=*",
    )
    assert status == 0
    risks = {subject: finding for subject, (kind, finding) in rows.items() if kind == "risk"}
    assert set(risks) == {
        "unsafe_headers",
        "unsafe_cookies",
        "unsafe_query",
        "trusted_proxies",
        "audit",
        "Session.key",
        "allow_origin",
    }
    assert "Authorization" in risks["unsafe_headers"]


def test_functions_and_handlers_of_events_are_told_by_name(site: Site) -> None:
    """A hook is listed by its name, and an audit with a handler is not a risk."""
    site.write(
        "jupyter_server_config.py",
        "import logging\ndef team(request):\n    return {}\n"
        "c.AppMetaExtension.request_hook = team\nc.AppMetaExtension.audit = True\n"
        "c.EventLogger.handlers = [logging.StreamHandler()]\n",
    )
    status, rows = site.check()
    assert status == 0
    assert rows["options set"][1] == "audit = True; request_hook = team"
    assert "audit" not in rows


def test_no_secret_is_ever_printed(site: Site) -> None:
    """Tokens, passwords and keys appear neither in the report nor in what goes wrong, at any log level."""
    canaries = {"JUPYTER_TOKEN": "canary-token"}
    arguments = [
        "--debug",
        "--Session.key=canary-key",
        "--PasswordIdentityProvider.hashed_password=canary-hash",
        "--ServerApp.cookie_secret=canary-cookie",
        "--GatewayClient.auth_token=canary-gateway",
    ]
    for more in ([], ["--json"], ["--ServerApp.port=canary-port"], ["--ServerApp.identity_provider_class=canary.C"]):
        result = site.run("check", *arguments, *more, **canaries)
        assert result.stdout
        assert "canary" not in result.stdout + result.stderr


def test_an_option_of_the_server_is_refused_by_name(site: Site) -> None:
    """A wrong value of another option is a fault that names the option and not the value."""
    status, rows = site.check("--ServerApp.port=abc")
    assert status == 1
    assert rows["configuration"] == ("fault", "ServerApp.port has a value that the server refuses.")


def test_without_jupyter_server_it_says_so(site: Site) -> None:
    """In a kernel's environment the check says that the server half is missing, and lists the kernels."""
    site.hide("jupyter_server")
    status, rows = site.check()
    assert status == 1
    assert rows["server half"][0] == "fault"
    assert "jupyter_server 2.18 or newer is needed here" in rows["server half"][1]
    assert rows["kernel python3-app-meta"][0] == "ok"


def test_report_is_printed_on_any_terminal(site: Site) -> None:
    """A terminal that has ASCII only shows question marks, and no traceback."""
    result = site.run("check", PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert (result.returncode, result.stderr) == (0, "")
    assert "forwards user" in result.stdout


def test_notebooks_to_be_served_are_judged(site: Site) -> None:
    """``--notebooks`` names the notebooks that no visitor could see, and says so of a place that is not one."""
    place = site.root / "pages"
    place.mkdir()
    spec = {"cells": [], "metadata": {"kernelspec": {"name": "python3-app-meta"}}, "nbformat": 4, "nbformat_minor": 5}
    (place / "good.ipynb").write_text(json.dumps(spec))
    code, rows = site.check("--notebooks", str(place))
    assert (code, rows["notebooks"]) == (0, ("ok", f"{place} can be served."))
    (place / "login.ipynb").write_text(json.dumps(spec))
    code, rows = site.check("--notebooks", str(place))
    assert code == 1 and "login.ipynb is not served" in rows["notebooks"][1]
    assert "is neither a notebook" in site.check("--notebooks", str(place / "gone"))[1]["notebooks"][1]


def test_place_of_the_secret_that_serve_could_not_write_is_named(site: Site) -> None:
    """A secret beside Jupyter's data is a risk, because visitors become others; the deployer's own file is a fault."""
    file = site.root / "file"
    file.write_text("not a folder")
    good, bad = {"JUPYTER_DATA_DIR": str(site.root / "data")}, {"JUPYTER_DATA_DIR": str(file)}
    code, rows = site.check("--Serve.warm=1", **good)
    own = site.root / "data" / "app-meta" / "cookie_secret"
    assert (code, rows["cookie secret"]) == (0, ("ok", f"kept in {own}."))
    assert not own.parent.exists()
    code, rows = site.check("--Serve.warm=1", **bad)
    assert (code, rows["cookie secret"][0]) == (0, "risk")
    assert f"{file}/app-meta/cookie_secret cannot be used" in rows["cookie secret"][1]
    assert "Set cookie_secret_file" in rows["cookie secret"][1]
    code, rows = site.check(f"--Serve.cookie_secret_file={file}/secret", **bad)
    assert (code, rows["cookie secret"][0]) == (1, "fault")
    assert f"cookie_secret_file {file}/secret cannot be used" in rows["cookie secret"][1]


def test_folder_of_sockets_that_serve_could_not_write_is_named(site: Site) -> None:
    """Where this account can keep no file, ``check`` and ``serve`` name the folders and the variable."""
    said = "cannot write in /nowhere, /tmp, /var/tmp. Set TMPDIR to a folder in which it can."
    env = {"TMPDIR": "/nowhere", "XDG_RUNTIME_DIR": ""}
    assert site.check("--Serve.warm=1", **env)[1]["runtime folder"][0] == "ok"
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"  # as on a disk that is full
    (site.root / "absent").mkdir()
    (site.root / "absent" / "sitecustomize.py").write_text(limit)
    code, rows = site.check("--Serve.warm=1", **env)
    assert (code, rows["runtime folder"][0]) == (1, "fault") and said in rows["runtime folder"][1]
    served = site.run("serve", "--no-browser", "--port=0", str(site.etc), **env)
    assert served.returncode == 1 and said in served.stderr
