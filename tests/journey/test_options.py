"""Options of the server: each opens what it says, and a wrong one stops the start with its name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from harness import _environment, serving

from conftest import PEOPLE

OPEN = """
c.AppMetaExtension.user_fields = ["username", "kind"]
c.AppMetaExtension.headers_allow = ["x-ab-*", "referer", "x-forwarded-user", "x-forwarded-for"]
c.AppMetaExtension.unsafe_headers = ["Authorization"]
c.AppMetaExtension.cookies_allow = ["theme", "ab_*"]
c.AppMetaExtension.unsafe_cookies = ["sid"]
c.AppMetaExtension.unsafe_query = ["api_key"]
c.AppMetaExtension.trusted_proxies = ["127.0.0.0/8"]
"""


def test_options_open_what_they_name(tmp_path: Path) -> None:
    """Every option of the policy opens exactly what it names, and each unsafe one is logged."""
    with serving(tmp_path, config=PEOPLE + OPEN, token="") as server:
        cookies = {"person": "alice", "theme": "dark", "ab-test": "B", "sid": "S", "session": "no", "other": "no"}
        headers = {
            "X-AB-Arm": "left",
            "X-Forwarded-User": "proxied",
            "X-Forwarded-Email": "no",
            "X-Forwarded-For": "6.6.6.6, 203.0.113.7, 127.0.0.2",
            "Authorization": "Bearer yes",
            "X-Api-Key": "no",
            "Referer": "http://u:p@h/x?token=no&a=1#frag",
        }
        visitor = server.visitor(cookies=cookies, headers=headers)
        socket = visitor.connect(visitor.start_kernel(), query="&api_key=yes&token=no&plain=1")
        seen = socket.who()
        assert (seen["user"]["username"], seen["user"]["name"], seen["user"]["is_authenticated"]) == (
            "alice",
            None,
            True,
        )
        assert seen["cookies"] == {"theme": "dark", "ab-test": "B", "sid": "S"}
        assert seen["query"] == {"api_key": "yes", "plain": "1"}
        assert seen["headers"]["authorization"] == "Bearer yes"
        assert seen["headers"]["x-ab-arm"] == "left"
        assert seen["headers"]["x-forwarded-user"] == "proxied"
        assert seen["headers"]["referer"] == "http://h/x?a=1"
        assert not {"x-forwarded-email", "x-api-key", "cookie"} & set(seen["headers"])
        code = "from jupyter_app_meta import app_meta; print(app_meta().request.client.host)"
        assert socket.run(code).text == "203.0.113.7\n"
        for name in ("unsafe_headers", "unsafe_cookies", "unsafe_query"):
            assert server.log.count(f"AppMetaExtension.{name} forwards credentials") == 1
        assert server.log.count("jupyter-app-meta forwards ") == 1
        assert "Bearer yes" not in server.log


def test_options_on_the_command_line(tmp_path: Path) -> None:
    """Options are settable on the command line, single values and lists."""
    options = ("cookies_allow=theme", "headers_allow=x-a", "headers_allow=x-b", "tcp_nodelay=False")
    arguments = [f"--AppMetaExtension.{option}" for option in options]
    with serving(tmp_path, config=PEOPLE, token="", arguments=arguments) as server:
        visitor = server.visitor(cookies={"person": "a", "theme": "dark"}, headers={"X-A": "1", "X-B": "2"})
        seen = visitor.connect(visitor.start_kernel()).who()
        assert seen["cookies"] == {"theme": "dark"}
        assert (seen["headers"]["x-a"], seen["headers"]["x-b"]) == ("1", "2")


def test_own_config_file(tmp_path: Path) -> None:
    """Options may stand in a file of their own, jupyter_app_meta_config.py."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "jupyter_app_meta_config.py").write_text("c.AppMetaExtension.cookies_allow = ['theme']\n")
    with serving(tmp_path, config=PEOPLE, token="") as server:
        visitor = server.visitor(cookies={"person": "a", "theme": "dark"})
        assert visitor.connect(visitor.start_kernel()).who()["cookies"] == {"theme": "dark"}


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("--AppMetaExtension.cookies_alow=theme", "'cookies_allow'"),
        ("--AppMetaExtension.nonsense=1", "there is no such option"),
        ("--AppMetaExtension.user_fields=shoe_size", "unknown field 'shoe_size'"),
        ("--AppMetaExtension.trusted_proxies=everybody", "'everybody' is not an address or CIDR"),
        ("--AppMetaExtension.unsafe_headers=x-*", "exact names only"),
        ("--AppMetaExtension.unsafe_headers=Cookie", "never forwarded"),
        ("--AppMetaExtension.unsafe_cookies=_xsrf", "never forwarded"),
        ("--AppMetaExtension.unsafe_cookies=jupyterhub-session-id", "never forwarded"),
        ("--AppMetaExtension.user_header=two words", "is not a header name"),
        ("--AppMetaExtension.stamp_limit=1000000", "stamp_limit"),
        ("--AppMetaExtension.tcp_nodelay=perhaps", "tcp_nodelay"),
    ],
)
def test_wrong_option_is_refused_at_the_start(tmp_path: Path, argument: str, says: str) -> None:
    """Trap: an extension that raises while loading is only logged. A wrong option stops the server, and is named."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "jupyter_server_config.py").write_text(
        "c.ServerApp.jpserver_extensions = {'jupyter_app_meta': True}\nc.ServerApp.allow_root = True\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "jupyter_server", "--no-browser", "--port=0", argument],
        env=_environment(tmp_path, {}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert says in done.stderr
    assert argument.partition("=")[0].split(".")[1] in done.stderr
    assert "Traceback" not in done.stderr


def test_broken_config_file_of_ours_is_refused(tmp_path: Path) -> None:
    """A file whose second half was not read would open more than it says: the server does not start."""
    (tmp_path / "config").mkdir()
    file = tmp_path / "config" / "jupyter_app_meta_config.py"
    file.write_text(
        "c.AppMetaExtension.cookies_allow = ['theme']\nnonsense\nc.AppMetaExtension.user_fields = ['kind']\n"
    )
    refused = pytest.raises(RuntimeError, match=r"refuses to start. NameError in its configuration")
    with refused, serving(tmp_path, config=PEOPLE, token=""):
        pass


def test_untrusted_peer_cannot_name_the_user(tmp_path: Path) -> None:
    """Trap: an identity header trusted from any client. Without trusted_proxies the header is nothing but a claim."""
    config = PEOPLE + "c.AppMetaExtension.user_header = 'X-Forwarded-User'\n"
    for proxies, expected in (("[]", "alice"), ("['10.0.0.0/8']", "alice"), ("['127.0.0.1']", "admin")):
        home = tmp_path / expected / proxies.strip("[]'").replace("/", "-")
        home.mkdir(parents=True)
        with serving(home, config=f"{config}c.AppMetaExtension.trusted_proxies = {proxies}\n", token="") as server:
            visitor = server.visitor(cookies={"person": "alice"}, headers={"X-Forwarded-User": "admin"})
            kernel = visitor.start_kernel()
            assert visitor.connect(kernel).who()["user"]["username"] == expected
            assert ("user_header is ignored" in server.log) == (proxies == "[]")
            if expected == "admin":
                direct = server.visitor(cookies={"person": "alice"})
                assert direct.connect(kernel).who()["user"] is None


@pytest.mark.parametrize(("key", "says"), [("b''", "Session.key is empty"), ("b'fixed'", "Session.key is fixed")])
def test_session_key_in_the_config_is_warned_of(tmp_path: Path, key: str, says: str) -> None:
    """One key for all kernels is warned of at the start; with an empty one nothing is believed."""
    with serving(tmp_path, config=f"{PEOPLE}c.Session.key = {key}\n", token="") as server:
        assert says in server.log
        visitor = server.visitor(cookies={"person": "alice"})
        user = visitor.connect(visitor.start_kernel()).who()["user"]
        assert (user is None) == (key == "b''")


def test_limit_drops_whole_items_and_says_so(tmp_path: Path) -> None:
    """Oversized cookies, queries and headers are dropped whole and listed; user and url stay."""
    config = PEOPLE + "c.AppMetaExtension.cookies_allow = ['*']\nc.AppMetaExtension.headers_allow = ['x-*']\n"
    with serving(tmp_path, config=config, token="") as server:
        visitor = server.visitor(
            cookies={"person": "alice", **{f"big{n}": "v" * 4000 for n in range(4)}}, headers={"X-Huge": "h" * 17000}
        )
        kernel = visitor.start_kernel()
        seen = visitor.connect(kernel).who()
        assert seen["user"]["username"] == "alice"
        assert "headers.x-huge" in seen["truncated"]
        assert any(name.startswith("cookies.big") for name in seen["truncated"])
        kept = [value for name, value in seen["cookies"].items() if name.startswith("big")]
        assert kept == ["v" * 4000] * len(kept)
        fields = server.visitor(cookies={"person": "alice"})
        seen = fields.connect(kernel, query="".join(f"&field{n}=value{n}" for n in range(990))).who()
        assert 100 < len(seen["query"]) < 990
        assert seen["url"].endswith("&".join(f"{k}={v}" for k, v in list(seen["query"].items())[-3:]))
        assert f"query.field{len(seen['query'])}" in seen["truncated"]
        assert seen["truncated"][-1].endswith("more)")
