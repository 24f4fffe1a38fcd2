"""What is read of real requests on a real tornado server, from raw bytes on the socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_server.auth import IdentityProvider
from starlette.datastructures import Address
from tornado.httpserver import HTTPServer, _HTTPRequestContext
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.netutil import bind_sockets, bind_unix_socket
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler, websocket_connect

from jupyter_app_meta.model import User
from jupyter_app_meta.policy import Policy, RawRequest
from jupyter_app_meta.server import capture

CANARY = "CANARY7c1"
ALICE = User(username="alice", is_owner=True)
PATTERN = r"/base(?:/(?P<folder>[^/]+)/(?P<name>.*))?"


class Page(RequestHandler):
    """A handler that has what jupyter_server's have, and keeps what is captured of its request."""

    base_url = "/base/"
    identity_provider = IdentityProvider(token="x")

    def get(self, folder: str | None = None, name: str | None = None) -> None:
        """Capture a request."""
        self.application.settings["seen"].append(capture.raw_request(self, ALICE))  # type: ignore[arg-type]  # stands in


class Socket(WebSocketHandler):
    """The same on a WebSocket, captured once it is open."""

    base_url = "/base/"
    identity_provider = IdentityProvider(token="x")

    def open(self, *args: str, **kwargs: str) -> None:
        """Capture the handshake."""
        self.application.settings["seen"].append(capture.raw_request(self, None))  # type: ignore[arg-type]  # stands in

    def on_message(self, message: str | bytes) -> None:
        """Ignore what is sent."""


Visit = Callable[[int, "Path"], Awaitable[object]]


def serve(visit: Visit, tmp_path: Path, **settings: Any) -> list[RawRequest]:
    """Return what is captured while visits are made to a server on a TCP port and a unix socket."""
    seen: list[RawRequest] = []

    async def main() -> None:
        handlers = [(r"/base/socket/(?P<name>.*)", Socket), (PATTERN, Page)]
        application = Application(handlers, seen=seen, cookie_secret="s", log_function=lambda handler: None, **settings)
        server = HTTPServer(application, xheaders=True)
        tcp = bind_sockets(0, "127.0.0.1")
        server.add_sockets([*tcp, bind_unix_socket(str(tmp_path / "socket"))])
        try:
            await visit(tcp[0].getsockname()[1], tmp_path / "socket")
        finally:
            server.stop()
            await server.close_all_connections()

    asyncio.run(main())
    return seen


def request(lines: bytes, target: bytes = b"/base/a/b", host: bytes = b"Host: h:1\r\n") -> bytes:
    """Return the bytes of a request with these header lines."""
    return b"GET " + target + b" HTTP/1.1\r\n" + host + lines + b"Connection: close\r\n\r\n"


def captured(data: bytes, tmp_path: Path, *, unix: bool = False, **settings: Any) -> RawRequest:
    """Return what is captured of a request with these bytes."""

    async def visit(port: int, path: Path) -> None:
        opening = asyncio.open_unix_connection(path) if unix else asyncio.open_connection("127.0.0.1", port)
        reader, writer = await opening
        writer.write(data)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert answer.startswith(b"HTTP/1.1 200"), answer

    (raw,) = serve(visit, tmp_path, **settings)
    return raw


def test_facts_are_copied(tmp_path: Path) -> None:
    """Method, URL, path parameters and headers are what the browser sent; nothing is judged here."""
    target = b"/base/some%20folder/a%C3%A9.ipynb?token=1&q=2#no"
    raw = captured(request(b"X-A: 1\r\nx_b: 2\r\n", target), tmp_path)
    assert (raw.method, raw.url) == ("GET", f"http://h:1{target.decode()}")
    assert raw.base_url == "http://h:1/base/"
    assert raw.path_params == {"folder": "some folder", "name": "aé.ipynb"}
    assert raw.headers == (("Host", "h:1"), ("X-A", "1"), ("X_b", "2"), ("Connection", "close"))
    assert raw.user is ALICE


def test_repeated_headers_are_pairs(tmp_path: Path) -> None:
    """Of a repeated header every value is kept, in order."""
    raw = captured(request(b"X-A: 1\r\nX-B: 2\r\nx-a: 3\r\n"), tmp_path)
    assert [value for name, value in raw.headers if name == "X-A"] == ["1", "3"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (b"Cookie: a=1; b=2\r\n", {"a": "1", "b": "2"}),
        (b"Cookie: a=1\r\nCookie: b=2; c=3\r\n", {"a": "1", "b": "2", "c": "3"}),
        (b'Cookie: a="x; y"\r\n', {"a": '"x'}),
        (b'Cookie: a="x\\073 y"; b=2\r\n', {"a": "x; y", "b": "2"}),
        (b"Cookie: =nameless; b=2; alone; c=\r\n", {"b": "2", "c": ""}),
        (b"Cookie: a=1; a=2\r\n", {"a": "2"}),
        (b"Cookie: a=x=y=z\r\n", {"a": "x=y=z"}),
        (b"Cookie: odd name=1; [x]=2; a/b=3; $v=4\r\n", {"odd name": "1", "[x]": "2", "a/b": "3", "$v": "4"}),
        (b"Cookie: a=\xe9\xff\r\n", {"a": "\xe9\xff"}),
        (b"Cookie: a=1, b=2\r\n", {"a": "1, b=2"}),
        (b"Cookie: \r\n", {}),
        (b"", {}),
    ],
)
def test_cookies_are_read_from_every_line(lines: bytes, expected: dict[str, str], tmp_path: Path) -> None:
    """Two Cookie lines lose no cookie, values are plain strings, and an odd cookie does not affect the others."""
    assert dict(captured(request(lines), tmp_path).cookies) == expected


def test_comma_joined_cookies_show_no_neighbour(tmp_path: Path) -> None:
    """Where a proxy joined Cookie lines with a comma, a session does not cross inside a harmless cookie."""
    raw = captured(request(f"Cookie: theme=dark, session={CANARY}; lang=en\r\n".encode()), tmp_path)
    found = Policy.of(cookies_allow=["*"]).request(raw)
    assert dict(found.cookies) == {"lang": "en"}


def test_many_big_cookies_are_read(tmp_path: Path) -> None:
    """As many cookies as fit into a request's headers are captured."""
    line = "; ".join(f"c{number}={'x' * 4000}" for number in range(15))
    raw = captured(request(f"Cookie: {line}\r\n".encode()), tmp_path)
    assert len(raw.cookies) == 15


@pytest.mark.parametrize("target", [b"/base/a/b?q=%ff&r=\xff", b"/base/a/b?%00=%00", b"/base/a/b?a[]=1;b=2&&=&%"])
def test_odd_bytes_are_captured(target: bytes, tmp_path: Path) -> None:
    """A query that is not UTF-8, or a missing query, is copied like any other."""
    raw = captured(request(b"X-A: \xe9\xff\r\n", target), tmp_path)
    assert raw.url == f"http://h:1{target.decode('latin-1')}"
    found = Policy.of(headers_allow=["*"]).request(raw)
    assert found.headers["x-a"] == "\xe9\xff"
    assert str(found.url).isascii()


def test_peer_is_the_sockets_own(tmp_path: Path) -> None:
    """Although the server trusts X-Real-IP and X-Forwarded-For, the peer is who really connected."""
    raw = captured(request(b"X-Real-IP: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\n"), tmp_path)
    assert raw.client is not None
    assert raw.client.host == "127.0.0.1"
    assert raw.client.port > 0


def test_unix_socket_has_no_peer(tmp_path: Path) -> None:
    """Behind a unix socket no address is known, even if headers claim one."""
    raw = captured(request(b"X-Real-IP: 10.0.0.1\r\n"), tmp_path, unix=True)
    assert raw.client is None
    assert not Policy.of(trusted_proxies=["0.0.0.0/0", "::/0"]).trusts(raw.client)


def test_peer_behind_ipv6_has_host_and_port() -> None:
    """The four parts of an IPv6 address become the two that are asked for."""
    address = ("2001:db8::1", 4711, 0, 0)
    stream: Any = SimpleNamespace(socket=None)
    connection: Any = SimpleNamespace(context=_HTTPRequestContext(stream, address, "http"))
    found = HTTPServerRequest(
        start_line=RequestStartLine("GET", "/", "HTTP/1.1"),
        connection=connection,
        headers=HTTPHeaders(Host="h"),
    )
    assert capture.peer(found) == Address("2001:db8::1", 4711)


def test_open_websocket_is_captured_like_a_page(tmp_path: Path) -> None:
    """The handshake's facts, its peer too, are still there when the connection has been upgraded."""

    async def visit(port: int, _: Path) -> None:
        connection = await websocket_connect(f"ws://127.0.0.1:{port}/base/socket/1?session_id=2")
        connection.close()
        await connection.read_message()

    (raw,) = serve(visit, tmp_path)
    assert raw.path_params == {"name": "1"}
    assert raw.url.endswith("/base/socket/1?session_id=2")
    assert raw.client is not None
    assert raw.client.host == "127.0.0.1"


def test_missing_host_is_no_error(tmp_path: Path) -> None:
    """An HTTP/1.0 client need not name the host."""
    raw = captured(b"GET /base/a/b HTTP/1.0\r\n\r\n", tmp_path)
    assert raw.base_url == "http://127.0.0.1/base/"


def test_optional_path_parameter_is_left_out(tmp_path: Path) -> None:
    """A part of the path that is not there has no value, rather than the text None."""
    raw = captured(request(b"", b"/base"), tmp_path)
    assert raw.path_params == {}


def test_servers_own_cookies_are_named(tmp_path: Path) -> None:
    """The login cookie, the XSRF cookie and the Hub's are the server's own, under any configured name."""
    assert captured(request(b""), tmp_path).own_cookies == {"username-h-1"}
    hub = SimpleNamespace(cookie_name="dashboards")
    raw = captured(request(b"Cookie: dashboards=1; guard=2; a=3\r\n"), tmp_path, xsrf_cookie_name="guard", hub_auth=hub)
    assert raw.own_cookies == {"username-h-1", "guard", "dashboards"}
    assert dict(Policy.of(cookies_allow=["a", "guard", "dash*"]).request(raw).cookies) == {"a": "3"}
