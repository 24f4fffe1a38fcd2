"""Behind a reverse proxy, below a prefix: everything stays there, and everything works."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from urllib.parse import urlsplit

import pytest
import websocket
from harness import Server, free_port
from nginx import UPGRADE, answers, nginx, program
from stage import ASK, SLIDER, WHO, eventually, kernel_process, move, serving_folder, visit, write

PREFIX = "/apps/dash/"

SERVER = """
  server {{
    listen 127.0.0.1:{port};
    location {prefix} {{
      proxy_pass http://127.0.0.1:{behind};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Forwarded-Proto https;
    }}
    location / {{ return 418 "outside of the prefix"; }}
  }}
"""
"""What a deployer writes, and a page that says so where something leaves the prefix."""


PIECES = (
    f"{ASK}print('the ' + 'first')",
    "import os, time\nwhile not os.path.exists('go'):\n    time.sleep(0.02)",
    "print('the ' + 'last')",
)
"""Cells that print something before and after they are told to go on."""


OWN = ("login", "logout", "api/me", "static/plots", "voila/x")
"""Names of notebooks that are paths of the server as well."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A folder that is served below a prefix; its URL is that of the proxy in front of it."""
    program()
    home = tmp_path_factory.mktemp("proxy")
    write(home / "root" / "books" / "page.ipynb", WHO, "print('<' + str(m.request.url) + '>')", SLIDER)
    write(home / "root" / "books" / "slow.ipynb", *PIECES)
    for name in OWN:
        write(home / "root" / "books" / f"{name}.ipynb", "print('the notebook itself')")
    options = (f"--base-url={PREFIX}", "--identity-provider=providers.People", "--Serve.trust_xheaders=True")
    with serving_folder(home, "books", *options, prefix=PREFIX) as behind:
        port, back = free_port(), urlsplit(behind.url).port
        front = Server(home, f"http://127.0.0.1:{port}{PREFIX}", behind.process, "")
        lines = UPGRADE + SERVER.format(port=port, behind=back, prefix=PREFIX)
        with nginx(home, lines, lambda: answers(front.url)), front.closing:
            yield front


def test_page_knows_its_address_as_the_visitor_sees_it(server: Server) -> None:
    """Scheme, host, port and prefix are those of the proxy."""
    opened = visit(server, "alice", "page", region="emea")
    assert "<alice|{'region': 'emea'}|{'name': 'page'}|run>" in opened.html
    assert f"<{server.url.replace('http:', 'https:')}page?region=emea>" in opened.html
    opened.close()


def test_callback_works_through_the_proxy(server: Server) -> None:
    """A WebSocket is passed on, is the visitor's own, and closing the page ends its kernel."""
    opened = visit(server, "bob", "page", region="apac")
    process = kernel_process(server, opened.kernel_id)
    assert move(opened.connect(), opened, 4).startswith("bob|{'region': 'apac'}|")
    with pytest.raises(websocket.WebSocketBadStatusException):
        server.visitor(cookies={"person": "alice"}).connect(opened.kernel_id)
    assert opened.close().status_code == 204
    eventually(lambda: not process.is_running())


@pytest.mark.parametrize("path", ["", "page", "missing", "api/kernels/x", "no/such/page"])
def test_every_address_in_a_page_is_below_the_prefix(server: Server, path: str) -> None:
    """Links, scripts, styles and what the page's script is told lead nowhere else, and are there."""
    opened = visit(server, "alice", path)
    assert opened.response.status_code != 418
    found = {unescape(url) for url in re.findall(r"""(?:href|src)=["'](/[^"'/][^"']*|/)["']""", opened.response.text)}
    found |= {f"{url}voila/static/voila.js" for url in re.findall(r'"baseUrl": "([^"]*)"', opened.response.text)}
    assert found and all(url.startswith(PREFIX) for url in found), found
    for url in found:
        if url.removeprefix(PREFIX).startswith(OWN):
            continue  # another test's
        method = "GET" if url == PREFIX else "HEAD"  # a page would be run
        answer = opened.visitor.http.request(method, f"{server.url.removesuffix(PREFIX)}{url}")
        assert answer.status_code == 200, url


def test_index_lists_no_name_that_is_the_servers_own(server: Server) -> None:
    """Each link leads to its notebook, also where one is called as a path of the server."""
    visitor = server.visitor(cookies={"person": "alice"})
    links = re.findall(r'<a href="([^"]*)"><span>', visitor.get("").text)
    assert f"{PREFIX}page" in links
    for link in [link for link in links if link.removeprefix(PREFIX).startswith(OWN)]:
        assert "the notebook itself" in visitor.http.get(f"{server.url.removesuffix(PREFIX)}{link}").text, link


def test_redirects_stay_below_the_prefix(server: Server) -> None:
    """A visitor who is not logged in is redirected to this server's login, and back."""
    visitor = server.visitor()
    for path in ("", "page", "page?region=emea"):
        answer = visitor.http.get(path, follow_redirects=False)
        assert answer.status_code == 302
        assert urlsplit(answer.headers["location"]).path == f"{PREFIX}login", path
        assert f"next={PREFIX.replace('/', '%2F')}{path.split('?')[0]}" in answer.headers["location"]
    assert visitor.get("page").status_code != 418


def test_cookies_are_the_prefixs_own(server: Server) -> None:
    """Another application of the same host is not sent what this one remembers."""
    visitor = server.visitor()
    visitor.get("login")
    assert all(cookie.path.startswith(PREFIX.rstrip("/")) for cookie in visitor.http.cookies.jar)


def test_page_comes_piece_by_piece(server: Server) -> None:
    """What is done already is seen while a slow cell still runs."""
    go, text = server.home / "root" / "books" / "go", ""
    with server.visitor(cookies={"person": "alice"}).http.stream("GET", "slow") as response:
        for piece in response.iter_text():
            text += piece
            if "the first" in text:
                go.touch()
    assert "the last" in text
