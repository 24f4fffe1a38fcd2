"""``--proxy-header`` over HTTP: a trusted proxy names the visitor, and every other request is refused."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from harness import serving
from stage import served, serving_folder, write

from jupyter_app_meta.dashboards import DashboardError, create_app
from jupyter_app_meta.providers import ProxyIdentityProvider

OPTIONS = {"header": "X-Forwarded-User", "groups_header": "X-Forwarded-Groups", "trusted_proxies": ["127.0.0.0/8"]}

NAMED = [
    ([("X-Forwarded-User", "alice")], 200),
    ([("x-forwarded-user", "alice")], 200),
    ([("X-Forwarded-User", "Zo\u00eb".encode().decode("latin-1"))], 200),
    ([], 401),
    ([("X-Forwarded-User", "")], 401),
    ([("X-Forwarded-User", " ")], 401),
    ([("X_Forwarded_User", "alice")], 401),
    ([("X-Forwarded_User", "alice")], 401),
    ([("X-Forwarded-User", "alice"), ("X-Forwarded-User", "admin")], 401),
    ([("X-Forwarded-User", "alice"), ("X_Forwarded_User", "admin")], 401),
    ([("X-Forwarded-User", "a" * 300)], 401),
    ([("X-Forwarded-User", "\xff")], 401),
    ([("X-Forwarded-User", "a\tb")], 401),
    ([("X-Forwarded-User", "alice"), ("X-Forwarded-Groups", "a"), ("X-Forwarded-Groups", "b")], 401),
    ([("X-Forwarded-User", "alice"), ("X_Forwarded_Groups", "admins")], 401),
    ([("X-Forwarded-User", "alice"), ("Cookie", "x=y"), ("Authorization", "token t")], 200),
    ([("Authorization", "token t")], 401),
]


def ask(port: int, path: str, lines: list[tuple[str, str]]) -> tuple[int, str]:
    """Send a request with just these header lines, and return its status and its text."""
    text = "".join(f"{name}: {value}\r\n" for name, value in lines)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{text}\r\n".encode("latin-1")
        )
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode("utf-8", "replace")
    return int(answer.split(" ", 2)[1]), answer


def test_request_is_named_by_the_proxy_or_refused(tmp_path: Path) -> None:
    """No request is anonymous, on no route; a kernel sees the name and the groups, and not the header."""
    cell = (
        "from jupyter_app_meta import app_meta\nm = app_meta()\n"
        "print(f'<{m.user.username}|{m.user.groups}|{m.request.headers.get(\"x-forwarded-user\")}>')"
    )
    write(tmp_path / "root" / "who.ipynb", cell)
    options = ("--proxy-header", "X-Forwarded-User", "--trusted-proxy", "127.0.0.0/8")
    groups = "--ProxyIdentityProvider.groups_header=X-Forwarded-Groups"
    with serving_folder(tmp_path, *options, groups) as server:
        port = int(server.url.rstrip("/").rpartition(":")[2])
        for lines, status in NAMED:
            assert ask(port, "/", lines)[0] == status, lines
        for path in ("/who", "/login", "/logout", "/api/kernels/1-2-3-4-5"):
            assert ask(port, path, [])[0] in (401, 403, 404), path
        named = {"X-Forwarded-User": "alice", "X-Forwarded-Groups": "sales, ops"}
        text = server.visitor(token=False, headers=named).get("who").text.replace("&#39;", "'")
        assert "&lt;alice|('sales', 'ops')|None&gt;" in text
        assert "Nobody is authenticated" not in server.log


async def test_request_from_elsewhere_is_refused(tmp_path: Path) -> None:
    """A client that is not the proxy names no user, whatever it says about its address."""
    config = {"ProxyIdentityProvider": {**OPTIONS, "trusted_proxies": ["10.0.0.0/8"]}}
    builder = create_app(identity_provider=ProxyIdentityProvider, trust_xheaders=True, config=config)
    builder = builder.with_app(path="/x", root=write(tmp_path / "x.ipynb", "1")).with_index()
    async with served(builder) as client:
        for more in ({}, {"X-Real-IP": "10.0.0.1"}, {"X-Forwarded-For": "10.0.0.1"}):
            assert (await client.get("/", headers={"X-Forwarded-User": "alice", **more})).status_code == 401


async def test_logout_leads_to_the_proxys_own(tmp_path: Path) -> None:
    """The proxy knows how to log out."""
    config = {"ProxyIdentityProvider": {**OPTIONS, "logout_url": "/oauth2/sign_out"}}
    builder = create_app(identity_provider=ProxyIdentityProvider, config=config)
    builder = builder.with_app(path="/x", root=write(tmp_path / "x.ipynb", "1"))
    async with served(builder) as client:
        client.headers["X-Forwarded-User"] = "alice"
        await client.get("/logout")
        answer = await client.post("/logout", data={"_xsrf": client.cookies["_xsrf"]})
        assert (answer.status_code, answer.headers["Location"]) == (303, "/oauth2/sign_out")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"trusted_proxies": []}, "needs --trusted-proxy: the network"),
        ({"trusted_proxies": ["10.0.0.0/99"]}, "--trusted-proxy"),
        ({"header": "X_Forwarded_User"}, "must be a header's name"),
        ({"header": "Authorization"}, "holds a credential"),
        ({"header": ""}, "must be a header's name"),
        ({"groups_header": "a b"}, "groups_header must be"),
        ({"token": "secret"}, "cannot be combined with ProxyIdentityProvider"),
    ],
)
def test_option_is_refused_with_its_fix(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    """The message names the option."""
    builder = create_app(
        identity_provider=ProxyIdentityProvider, config={"ProxyIdentityProvider": {**OPTIONS, **options}}
    )
    with pytest.raises(DashboardError, match=said) as caught:
        builder.with_app(path="/x", root=write(tmp_path / "x.ipynb", "1")).check()
    assert "secret" not in str(caught.value)


def test_jupyter_server_takes_the_same_provider(tmp_path: Path) -> None:
    """On JupyterLab's server each route answers 401 to a request that the proxy did not name."""
    config = (
        "c.ServerApp.identity_provider_class = 'jupyter_app_meta.providers.ProxyIdentityProvider'\n"
        f"c.ProxyIdentityProvider.update({OPTIONS!r})\n"
    )
    with serving(tmp_path, config=config, token="") as server:
        stranger = server.visitor(token=False).http
        assert [stranger.get(path).status_code for path in ("api/me", "api/kernels", "tree", "")] == [401] * 4
        alice = server.visitor(token=False, headers={"X-Forwarded-User": "alice"})
        assert alice.get("api/me").json()["identity"]["username"] == "alice"
