"""Requests as no browser writes them: 4xx and never 500, a readable line in the log, and no credential in it."""

from __future__ import annotations

import re
import socket as sockets
from collections.abc import Iterator

import pytest
from harness import Server
from stage import staging, write

APP = """
app = (create_app(token="sesame-CANARY")
       .with_app(path="/page", root="page.ipynb")
       .with_app(path="/of/{who}", root="page.ipynb")
       .with_dynamic_directory(path="/all", directory=".")
       .with_index())
"""
KERNEL = "/api/kernels/00000000-0000-0000-0000-000000000000"

PATHS = """
/ /page /page/ /of/x /all/page /nosuch //x ///etc/passwd /../x /./page /page/../x /%2e%2e/x /of/%00 /of/%0a /of/%9b
/of/%ff /of/%c0%af /of/%zz /of/% /all/%00 /all/x%00.ipynb /all/..%2fx /all/%5c.. /all/.hidden /all/page%0d%0aX:y
/page%00
/voila/templates/lab/static// /voila/templates/lab/static/ /voila/templates/lab/static/%00 /voila/templates//static/x
/voila/templates/lab/static/.. /voila/templates/../static/x /voila/templates/%00/static/x /voila/templates/lab/static/x
/voila/templates/lab/static/x//y
/voila/templates/%ff/static/x /voila/templates/lab/static/%2e%2e/%2e%2e /voila/templates/lab/static/a%2f..%2fb
/voila/static/ /voila/static// /voila/static/%00 /voila/static/.. /voila/static/%ff /voila/static//etc/passwd
/voila/api/themes/ /voila/api/themes// /voila/api/themes/%00 /voila/api/themes/x/y/z /voila/api/themes/..%2f..
/voila/labextensions/ /voila/labextensions/%00 /voila/labextensions//etc/passwd /voila/labextensions/%ff
/static/ /static/%00 /static//x /static/../x /static/%ff /static/style /favicon.ico /robots.txt
/login /login?next=http://[ /login?next=%00 /login?next=%ff /login?token=%ff /login?token=a&token=b /login?%00=%00
/logout /logout?x=%ff /api /api/ /api/kernels /api/kernels/x /voila/api/shutdown/x ?token= /?token=%00 /?%ff=%ff
/page?token=\u00e9 /page?a[]=1&a[b]=2 /page?next=http://[ http://[/page http://x/page * http://127.0.0.1:x/page
""".split()
PATHS += [KERNEL, f"{KERNEL}/channels", f"{KERNEL}/channels?session_id=%ff", f"/voila/api/shutdown{KERNEL[12:]}"]
PATHS += [
    "/of/" + "x" * 5000,
    "/voila/static/" + "y" * 5000,
    "/voila/templates/lab/static/" + "z" * 5000,
    "/static/" + "y" * 300,
]
PATHS += ["/?" + "a=1&" * 2000, "/page?" + "%5B" * 3000]

HEADERS = [
    "Origin: http://[",
    "Origin: http://[::1",
    "Origin: null",
    "Origin: http://x:port",
    "Origin: \u00ff",
    "Sec-WebSocket-Origin: http://[",
    "Referer: http://[",
    "Referer: http://[::1/x?token=CANARY",
    "Referer: http://x/?token=CANARY",
    "Referer: \u009b31m",
    "Cookie: ;;;=;a;=b;\u00ff=\u00ff",
    "Cookie: _xsrf=2|x|y|z; _xsrf=",
    'Cookie: a="\\400\\x; b',
    "Accept-Language: ;;;q=x,\u00ff",
    "Accept-Language: en;q=abc",
    "If-Modified-Since: never",
    "If-None-Match: \u00ff",
    "Range: bytes=9-1,x",
    "Range: bytes=-",
    "Authorization: token",
    "Authorization: Basic \u00ff",
    "Authorization: token wrong-CANARY",
    "X-Forwarded-Proto: gopher",
    "X-Forwarded-For: \u00ff,,",
    "X-Forwarded-Host: [",
    "Sec-Fetch-Dest: \u00ff",
    "Accept: \u00ff",
    "User-Agent: \u009b2J\x1b[31m",
    "Content-Type: multipart/form-data; boundary=",
    "Content-Type: multipart/form-data; boundary=\u00ff",
    "Upgrade: websocket\r\nConnection: Upgrade",
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \u00ff",
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a\r\nOrigin: http://[",
    "Content-Length: -1",
    "Content-Length: x",
    "Transfer-Encoding: gzip",
    "Expect: 100-continue",
    "X: " + "h" * 70_000,
]
HOSTS = ["[", "[::1", "a b", "a:b:c", "x:port", "\u00ff", "a/b", "a?b", "a@b", "%00", "", "[::1]:1", "localhost", "a,b"]
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "NOSUCH"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a login, and all kinds of routes."""
    home = tmp_path_factory.mktemp("odd")
    write(home / "root" / "page.ipynb", "1")
    with staging(home, APP) as server:
        yield server


def answer(server: Server, method: str, path: str, *headers: str, host: str = "") -> int:
    """Send a request as it is; return the status, 0 where the connection was closed instead."""
    address = server.url.split("/")[2]
    name, port = address.split(":")
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host or address}", "Connection: close", *headers]
    if method in ("POST", "PUT", "PATCH") and not any("Content-Length" in line for line in headers):
        lines.append("Content-Length: 0")
    with sockets.create_connection((name, int(port)), timeout=30) as connection:
        try:
            connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
            found = b""
            while b"\r\n" not in found and (more := connection.recv(65536)):
                found += more
        except ConnectionError:
            return 0
    status = re.match(rb"HTTP/1\.1 (\d+)", found)
    return int(status[1]) if status else 0


def check_log(text: str) -> None:
    """Check that each line can be read, that none was lost, and that no credential is in it."""
    assert "Traceback" not in text and "Uncaught" not in text, text[-4000:]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]", text)
    assert "CANARY" not in text
    assert len(text) < 2_000_000


def test_odd_paths(server: Server) -> None:
    """No path makes the server fail with 500."""
    before, wrong = len(server.log), []
    for path in PATHS:
        for method in ("GET", "HEAD", "POST"):
            status = answer(server, method, path)
            if status >= 500:
                wrong.append((method, path[:80], status))
    assert not wrong
    check_log(server.log[before:])


def test_odd_headers(server: Server) -> None:
    """No header does either."""
    before, wrong = len(server.log), []
    for path in ("/", "/page", "/login", "/nosuch", f"{KERNEL}/channels", "/voila/static/x", "/voila/labextensions/x"):
        for header in HEADERS:
            for method in ("GET", "POST"):
                status = answer(server, method, path, header)
                if status >= 500:
                    wrong.append((method, path, header, status))
    assert not wrong
    check_log(server.log[before:])


def test_odd_hosts_and_methods(server: Server) -> None:
    """An invalid Host is refused, and so is a method that no route has."""
    before = len(server.log)
    for path in ("/", "/login", "/page", f"{KERNEL}/channels"):
        assert {answer(server, "GET", path, host=host) for host in HOSTS[:6]} <= {400, 0}
        assert all(answer(server, "GET", path, host=host) < 500 for host in HOSTS)
        assert all(answer(server, method, path) < 500 for method in METHODS if method != "NOSUCH")
    check_log(server.log[before:])


def test_logged_in(server: Server) -> None:
    """A visitor with the token gets no error for odd parameters beside it, and no line of the log has the token."""
    before, wrong = len(server.log), []
    token = "Authorization: token sesame-CANARY"
    odd = [path for path in PATHS if not path.startswith(("/page", "/of/x", "/all/page", "/."))]
    for path in ["/login?next=http://[", "/login?token=sesame-CANARY&next=//x", *odd]:
        status = answer(server, "GET", path, token)
        if status >= 500:
            wrong.append((path[:80], status))
    for header in HEADERS:
        status = answer(server, "POST", "/login?next=http://[", token, header)
        if status >= 500:
            wrong.append((header, status))
    assert not wrong
    check_log(server.log[before:])
