"""Only what shows a page starts a kernel: no picture, prefetch, health check or link's preview does."""

from __future__ import annotations

import socket as sockets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from harness import NO_TLS, Server
from stage import eventually, kernels, staging, visit, write

APP = """
app = create_app(identity_provider=People).with_app(path="/", root="page.ipynb")
"""

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Cookie": "person=alice"}
NO_PAGE = {
    "picture": {"Sec-Fetch-Dest": "image", "Sec-Fetch-Site": "cross-site"},
    "picture of ours": {"Sec-Fetch-Dest": "image", "Sec-Fetch-Site": "same-origin"},
    "script": {"Sec-Fetch-Dest": "script"},
    "fetch": {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors"},
    "style": {"Sec-Fetch-Dest": "style"},
    "object": {"Sec-Fetch-Dest": "object"},
    "frame of another site": {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "cross-site"},
    "prefetch": {"Sec-Purpose": "prefetch", "Sec-Fetch-Dest": "document"},
    "prerender": {"Sec-Purpose": "prefetch;prerender", "Sec-Fetch-Dest": "document"},
    "old prefetch": {"Purpose": "prefetch"},
    "old Firefox": {"X-Moz": "prefetch"},
    "socket": {"Upgrade": "websocket", "Connection": "Upgrade"},
    "json": {"Accept": "application/json"},
    "image": {"Accept": "image/avif,image/webp,*;q=0.1"},
    "AWS": {"User-Agent": "ELB-HealthChecker/2.0", "Accept": "*/*"},
    "Kubernetes": {"User-Agent": "kube-probe/1.30", "Accept": "*/*"},
    "Google": {"User-Agent": "GoogleHC/1.0", "Accept": "*/*"},
    "Slack": {"User-Agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "Accept": "*/*"},
    "Facebook": {"User-Agent": "facebookexternalhit/1.1", "Accept": "*/*"},
    "search engine": {"User-Agent": "Mozilla/5.0 (compatible; bingbot/2.0)", "Accept": "text/html"},
}
PAGES = {
    "navigation": {"Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "cross-site"},
    "frame of ours": {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "same-origin"},
    "curl": {"Accept": "*/*", "User-Agent": "curl/8.0"},
    "phone": {"User-Agent": "Mozilla/5.0 (Linux; Android 9; CUBOT X20) Safari/537.36"},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose start page is a dashboard."""
    home = tmp_path_factory.mktemp("purpose")
    write(home / "root" / "page.ipynb", "%md # Sales & more", "print('it ran')")
    with staging(home, APP) as server:
        yield server


def get(server: Server, headers: dict[str, str]) -> httpx.Response:
    """GET the page as this client does."""
    return httpx.get(server.url, headers={**BROWSER, **headers}, timeout=60, verify=NO_TLS)


@pytest.mark.parametrize("name", NO_PAGE)
def test_no_kernel(server: Server, name: str) -> None:
    """It is told that there is a page and its title, or to come again when the page is wanted."""
    answer = get(server, NO_PAGE[name])
    ahead = any("prefetch" in value for value in NO_PAGE[name].values())
    assert answer.status_code == (503 if ahead else 200)
    assert ahead or '<meta property="og:title" content="Sales &amp; more">' in answer.text
    assert "it ran" not in answer.text
    assert not kernels(server)


def test_no_kernel_for_a_probe_that_says_nothing(server: Server) -> None:
    """A load balancer that asks for the start page six times with nothing but a Host costs nothing."""
    host, port = server.url.split("/")[2].split(":")
    for _ in range(6):
        with sockets.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
            assert connection.recv(100)
    assert not kernels(server)


@pytest.mark.parametrize("name", PAGES)
def test_pages_run(server: Server, name: str) -> None:
    """A page that a person will see is run, even if the browser has an odd name."""
    answer = get(server, PAGES[name])
    assert answer.status_code == 200 and "it ran" in answer.text
    eventually(lambda: kernels(server))
    kernel_id = next(iter(kernels(server)))
    httpx.post(f"{server.url}voila/api/shutdown/{kernel_id}", headers=BROWSER, verify=NO_TLS)
    eventually(lambda: not kernels(server))


def test_frame_of_a_site_that_the_deployer_names_is_a_page(tmp_path: Path) -> None:
    """Where other sites may show pages in a frame, such a frame gets the page."""
    write(tmp_path / "root" / "page.ipynb", "print('it ran')")
    app = """app = create_app(identity_provider=People, frame_ancestors="'self' https://portal.example.org")
app = app.with_app(path="/", root="page.ipynb")"""
    with staging(tmp_path, app) as server:
        answer = get(server, NO_PAGE["frame of another site"])
        assert answer.status_code == 200 and "it ran" in answer.text
        assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'self' https://portal.example.org"
        assert "it ran" not in get(server, NO_PAGE["picture"]).text


def test_pages_tell_other_sites_nothing(server: Server) -> None:
    """A page is framed by its own site alone, and shares no window with others."""
    opened = visit(server, "alice")
    headers = opened.response.headers
    assert headers["Content-Security-Policy"] == "frame-ancestors 'self'"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"
    opened.close()
    eventually(lambda: not kernels(server))
