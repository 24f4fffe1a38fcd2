"""Behind proxies that change the address: pages, sockets and links have the one that the visitor sees."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import pytest
import websocket
from harness import NO_TLS, Server, free_port
from nginx import UPGRADE, answers, nginx, program
from stage import SLIDER, WHO, Opened, move, served, serving_folder, visit, write
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from jupyter_app_meta.dashboards import DashboardError, create_app
from jupyter_app_meta.dashboards.setup import ports
from jupyter_app_meta.dashboards.web.arrivals.front import Front
from jupyter_app_meta.dashboards.web.arrivals.hosts import Hosts

SERVER = """
  server {{
    listen 127.0.0.1:{port};
    location {prefix} {{
      proxy_pass http://127.0.0.1:{behind}{below};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      {headers}
    }}
  }}
"""
NAMED = "proxy_set_header X-Forwarded-Host $http_host;"
PROXIES = {
    # what the proxy does: (its headers, what it cuts off, options of the server, the prefix)
    "says the host": (NAMED, "", ["--AppMetaExtension.trusted_proxies=127.0.0.0/8"], "/"),
    "passes the host on": (
        "proxy_set_header Host dashboards.example.org; proxy_set_header X-Forwarded-Host $http_host;",
        "",
        ["--AppMetaExtension.trusted_proxies=127.0.0.0/8", "--local-hostnames=dashboards.example.org"],
        "/",
    ),
    "says the port apart": (
        "proxy_set_header X-Forwarded-Host 127.0.0.1; proxy_set_header X-Forwarded-Port $server_port;",
        "",
        ["--AppMetaExtension.trusted_proxies=127.0.0.0/8"],
        "/",
    ),
    "cuts off the prefix and says so": (
        f"{NAMED} proxy_set_header X-Forwarded-Prefix /apps;",
        "/",
        ["--AppMetaExtension.trusted_proxies=127.0.0.0/8", "--base-url=/apps/"],
        "/apps/",
    ),
    "rewrites the host": (
        "proxy_set_header Host backend;",
        "",
        ["--Serve.public_url=http://127.0.0.1:{port}", "--Serve.allow_remote_access=True"],
        "/",
    ),
    "loses the port": ("proxy_set_header Host $host;", "", ["--Serve.allow_origin=http://127.0.0.1:{port}"], "/"),
    "loses the port of many": (
        "proxy_set_header Host $host;",
        "",
        [r"--Serve.allow_origin_pat=http://127\.0\.0\.1:\d+"],
        "/",
    ),
    "cuts off the prefix": (
        "proxy_set_header Host backend;",
        "/",
        ["--Serve.public_url=http://127.0.0.1:{port}/apps/", "--base-url=/apps/", "--local-hostnames=backend"],
        "/apps/",
    ),
    "says the host to a server that does not know it": (NAMED, "", [], "/"),
}
STRANGER = "says the host to a server that does not know it"


@contextmanager
def proxied(home: Path, name: str) -> Iterator[Server]:
    """Run a server, and a proxy of this kind in front of it; yield the server as visitors see it."""
    headers, below, options, prefix = PROXIES[name]
    program()
    write(home / "root" / "page.ipynb", WHO, "print('<' + str(m.request.url) + '>')", SLIDER)
    port = free_port()
    arguments = [option.format(port=port) for option in options]
    with serving_folder(home, ".", *arguments, "--identity-provider=providers.People", prefix=prefix) as behind:
        inner = SERVER.format(port=port, prefix=prefix, behind=urlsplit(behind.url).port, below=below, headers=headers)
        front = Server(home, f"http://127.0.0.1:{port}{prefix}", behind.process, "")
        with nginx(home, UPGRADE + inner, lambda: answers(front.url)), front.closing:
            yield front


def elsewhere(opened: Opened) -> None:
    """Connect to a page's kernel from another site."""
    url = f"{opened.visitor.server.url.replace('http:', 'ws:')}api/kernels/{opened.kernel_id}/channels"
    websocket.create_connection(url, cookie=opened.visitor.cookie_line(), origin="http://elsewhere.example").shutdown()


@pytest.mark.parametrize("name", [name for name in PROXIES if name != STRANGER])
def test_page_and_socket_work(tmp_path: Path, name: str) -> None:
    """A page's callback is answered; where the address is known, the notebook is told it."""
    with proxied(tmp_path, name) as server:
        opened = visit(server, "alice", "page", region="emea")
        if "loses" not in name:
            assert f"<{server.url}page?region=emea>" in opened.html
        assert move(opened.connect(), opened, 4).startswith("alice|{'region': 'emea'}|")
        with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
            elsewhere(opened)
        location = server.visitor().http.get("page", follow_redirects=False).headers["location"]
        assert location.startswith((urlsplit(server.url).path, server.url))
        assert opened.close().status_code == 204


def test_a_strangers_word_is_not_believed(tmp_path: Path) -> None:
    """X-Forwarded-Host of a peer that is not one of trusted_proxies changes nothing."""
    with proxied(tmp_path, STRANGER) as server:
        opened = visit(server, "alice", "page")
        assert f"<{server.url}page>" not in opened.html
        with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
            opened.connect()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"public_url": "example.org"}, "public_url must be the address that visitors see"),
        ({"public_url": "https://example.org/?x"}, "public_url must be the address that visitors see"),
        (
            {"public_url": "https://example.org/apps"},
            "public_url has the path /apps/, and base_url is /: give base_url",
        ),
        ({"allow_origin": "https://example.org/"}, "allow_origin must be an origin such as"),
        ({"allow_origin_pat": "("}, "allow_origin_pat must be a regular expression"),
        (
            {"allow_origin": "https://a.b", "allow_origin_pat": ".*"},
            "allow_origin cannot be combined with allow_origin_pat",
        ),
        ({"frame_ancestors": "self"}, None),
        ({"frame_ancestors": "'self'; script-src *"}, "frame_ancestors must be sources separated by spaces"),
        ({"frame_ancestors": ""}, "frame_ancestors must be sources separated by spaces"),
        ({"frame_ancestors": 5}, "frame_ancestors is 5: give a str"),
        ({"local_hostnames": ["https://a.b"]}, "local_hostnames is of type list: give a list of names such as"),
        ({"local_hostnames": "a.b"}, "local_hostnames is of type str: give a list of names such as"),
    ],
)
async def test_options_that_cannot_be(tmp_path: Path, options: dict[str, str], message: str | None) -> None:
    """An address that is not valid is refused by name."""
    builder = create_app(**options).with_app(path="/a", root=write(tmp_path / "a.ipynb", "1"))  # type: ignore[arg-type]  # wrong on purpose
    if message is None:
        await builder.build().close()
    else:
        with pytest.raises(DashboardError, match=message.replace("(", r"\(")):
            builder.build()


async def test_second_xsrf_cookie_is_another_servers(tmp_path: Path) -> None:
    """Of two ``_xsrf`` cookies the first is believed, which browsers send of the longer path."""
    app = create_app(token="sesame", base_url="/apps").with_index()
    async with served(app.with_app(path="/a", root=write(tmp_path / "a.ipynb", "1"))) as client:
        text = (await client.get("/apps/login")).text
        own, token = client.cookies["_xsrf"], text.split('name="_xsrf" value="')[1].split('"')[0]
        client.cookies.clear()
        cookie = f"theme=dark; _xsrf={own}; a=b; _xsrf=2|f00d|f00d|17"
        answer = await client.post(
            "/apps/login", data={"_xsrf": token, "password": "sesame"}, headers={"Cookie": cookie}
        )
        assert answer.status_code == 302


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ('"[2001:db8::1]:80"', "2001:db8::/64"),
        ("198.51.100.1, 203.0.113.7:4711, 10.0.0.5:9", "203.0.113.7"),
        ("10.0.0.5:9", "10.0.0.1"),
        ("unknown", "10.0.0.1"),
        ("203.0.113.7, nonsense", "10.0.0.1"),
        (None, "10.0.0.1"),
    ],
)
def test_whose_address_counts(told: str | None, counted: str) -> None:
    """Behind a proxy the address that it tells counts, with or without a port; else all its visitors are one."""
    hosts = Hosts(log=logging.getLogger(__name__))
    front = Front("/", None, lambda peer: peer is not None and peer.host.startswith("10."), hosts)
    headers = HTTPHeaders({"Host": "h", **({"X-Forwarded-For": told} if told else {})})
    peer = SimpleNamespace(context=SimpleNamespace(address=("10.0.0.1", 5)))
    request = HTTPServerRequest(
        start_line=RequestStartLine("GET", "/", "HTTP/1.1"), headers=headers, connection=cast(Any, peer)
    )
    assert front.address(request) == counted


@pytest.mark.parametrize(
    ("addresses", "host", "is_answered"),
    [
        (["127.0.0.1"], "localhost:8866", True),
        (["127.0.0.1", "::1"], "[::1]:8866", True),
        (["127.0.0.1"], "127.8.9.10", True),
        (["127.0.0.1"], "LocalHost", True),
        (["127.0.0.1"], "Dashboards.example.org:80", True),
        (["127.0.0.1"], "rebound.example:8866", False),
        (["::1"], "rebound.example", False),
        (["127.0.0.1"], "localhost.rebound.example", False),
        (["127.0.0.1"], "127.0.0.1.rebound.example", False),
        (["127.0.0.1"], "192.168.1.5", False),
        (["127.0.0.1"], "0.0.0.0:8866", False),
        (["127.0.0.1"], "127.1", False),
        (["127.0.0.1"], "[2001:db8::1]", False),
        (["127.0.0.1"], "[::::]", False),
        (["127.0.0.1", "10.0.0.7"], "rebound.example", True),
        (["0.0.0.0"], "rebound.example", True),
        (["::"], "rebound.example", True),
        ([], "rebound.example", True),
    ],
)
def test_names_of_this_machine(addresses: list[str], host: str, *, is_answered: bool) -> None:
    """A server on loopback addresses answers to loopback addresses, to localhost and to the names that are listed."""
    hosts = Hosts(["dashboards.example.org"], log=logging.getLogger(__name__))
    hosts.listens(addresses)
    assert hosts.answers_to(host) is is_answered


@pytest.mark.parametrize(("allow", "addresses"), [(True, ["127.0.0.1"]), (False, ["0.0.0.0"]), (False, [])])
def test_the_deployer_decides_about_names(*, allow: bool, addresses: list[str]) -> None:
    """The option comes before the addresses."""
    hosts = Hosts(allow_all=allow, log=logging.getLogger(__name__))
    hosts.listens(addresses)
    assert hosts.answers_to("rebound.example") is allow


async def test_a_website_that_leads_here_reads_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A page, a file, a socket's handshake: each is refused under a strange name, and the page says what to do."""
    write(tmp_path / "page.ipynb", "1")
    (tmp_path / "logo.png").write_bytes(b"PNG")
    app = create_app(local_hostnames=["friend.example"]).with_dynamic_directory(path="/", directory=tmp_path)
    rebound = {"Host": "rebound.example:8866", "X-Forwarded-Host": "localhost"}
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Origin": "http://rebound.example:8866",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    channels = "/api/kernels/00000000-0000-0000-0000-000000000000/channels"
    async with served(app.with_index()) as http:
        for path, headers in (("/", {}), ("/page", {}), ("/logo.png", {}), ("/login", {}), (channels, upgrade)):
            refused = await http.get(path, headers={**rebound, **headers})
            assert refused.status_code == 403 and "local_hostnames" in refused.text, path
            assert "rebound" not in refused.text and not refused.cookies
            assert "Go to the start page" not in refused.text  # which would be refused as well
        for host in ("localhost", "friend.example:80"):
            assert (await http.get("/", headers={"Host": host})).status_code == 200
    assert caplog.text.count("Refused a request for the host rebound.example:8866") == 1


@pytest.mark.parametrize(
    ("address", "options", "is_answered"),
    [
        ("127.0.0.1", {}, False),
        ("0.0.0.0", {}, True),  # other machines reach it
        ("127.0.0.1", {"allow_remote_access": True}, True),
        ("127.0.0.1", {"public_url": "https://dashboards.example.org"}, True),
        ("127.0.0.1", {"trust_xheaders": True}, True),
        ("127.0.0.1", {"config": {"AppMetaExtension": {"trusted_proxies": ["127.0.0.1/32"]}}}, True),
        ("127.0.0.1", {"token": "sesame"}, True),
        ("127.0.0.1", {"token": "sesame", "local_hostnames": ["friend.example"]}, False),
    ],
)
async def test_names_in_a_server_of_the_deployers(
    tmp_path: Path, address: str, options: dict[str, Any], *, is_answered: bool
) -> None:
    """An application that anybody on this machine may read refuses the name of a website, and no proxy is refused."""
    write(tmp_path / "page.ipynb", "1")
    builder = create_app(**options).with_app(path="/page", root=tmp_path / "page.ipynb").with_index()
    application, port = builder.build(), free_port()
    server = HTTPServer(application)
    server.listen(port, address)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, verify=NO_TLS) as http:
            answer = await http.get("/login", headers={"Host": "rebound.example"})
            assert (answer.status_code != 403) is is_answered
            for host in ("localhost", f"127.0.0.1:{port}", *options.get("local_hostnames", ())):
                assert (await http.get("/login", headers={"Host": host})).status_code != 403
    finally:
        server.stop()
        await application.close()


def test_looking_for_sockets_leaves_no_descriptor_open(tmp_path: Path) -> None:
    """A process has a few sockets, and many files and pipes."""

    def copies(number: int) -> int:
        """Return how many descriptors of this process are of the same file."""
        wanted, count = os.fstat(number), 0
        for other in range(4096):
            with suppress(OSError):
                count += os.path.samestat(os.fstat(other), wanted)
        return count

    with (tmp_path / "file").open("w") as file, socket.create_server(("127.0.0.1", 0)) as server:
        assert ports.listening(server.getsockname()[1]) == {"127.0.0.1"}
        assert copies(file.fileno()) == copies(server.fileno()) == 1
