"""What one visitor or one address may have of a server, and what happens where there is no more."""

from __future__ import annotations

import os
import re
import socket as sockets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from harness import NO_TLS, Server, free_port
from stage import Opened, browse, eventually, kernels, staging, visit, write

from jupyter_app_meta.dashboards import create_app
from jupyter_app_meta.dashboards.load.limits import Limits, descriptors, memory

APP = """
app = (create_app({options})
       .with_app(path="/page", root="page.ipynb"))
"""
FEW = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (90, 90))
from jupyter_app_meta.dashboards import builder
builder.raise_descriptors = lambda: None
app = create_app(max_connections={connections}).with_index().with_app(path="/page", root="page.ipynb")
"""


def app(home: Path, **options: object) -> str:
    """Return a server of one page with these options."""
    write(home / "root" / "page.ipynb", "print('page')")
    return APP.format(options=", ".join(f"{name}={given}" for name, given in options.items()))


def closed(*pages: Opened) -> None:
    """Close these pages."""
    for opened in pages:
        opened.close()


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of four pages, for people whom a provider names."""
    home = tmp_path_factory.mktemp("named")
    with staging(home, app(home, identity_provider="People", max_pages=4)) as server:
        yield server


def test_one_visitor_leaves_room(named: Server) -> None:
    """One visitor gets half of the pages, in however many browsers; others at the same address get the rest."""
    pages = [visit(named, "mallory", "page") for _ in range(2)]
    refused = visit(named, "mallory", "page").response
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "10")
    others = [visit(named, name, "page") for name in ("alice", "bob")]
    assert [opened.response.status_code for opened in others] == [200, 200]
    assert visit(named, "carol", "page").response.status_code == 503
    closed(*pages, *others)
    eventually(lambda: not kernels(named))


def test_an_address_leaves_room(tmp_path: Path) -> None:
    """A browser that forgets its cookies is another visitor each time, and still gets no more than its address."""
    options = {"max_pages": 4, "config": {"AppMetaExtension": {"trusted_proxies": ["127.0.0.1/32"]}}}
    with staging(tmp_path, app(tmp_path, **options)) as server:
        pages = [come(server, "10.0.0.1") for _ in range(3)]
        assert [opened.response.status_code for opened in pages] == [200] * 3
        assert come(server, "10.0.0.1").response.status_code == 429
        assert come(server, "10.9.9.9, 10.0.0.1").response.status_code == 429  # the rest of the list is the client's
        other = come(server, "10.0.0.2")
        assert other.response.status_code == 200
        closed(*pages, other)


def test_an_unknown_proxy_is_an_address(tmp_path: Path) -> None:
    """X-Forwarded-For of a peer that is not a trusted proxy does not change a visitor's address."""
    with staging(tmp_path, app(tmp_path, max_pages=2, max_pages_per_visitor=0)) as server:
        first = come(server, "10.0.0.1")
        assert (first.response.status_code, come(server, "10.0.0.2").response.status_code) == (200, 429)
        assert come(server, "10.0.0.3").response.status_code == 429
        (line,) = [line for line in server.log.splitlines() if "max_pages_per_address" in line]
        assert "127.0.0.1" in line and "AppMetaExtension.trusted_proxies" in line
        closed(first)


def come(server: Server, address: str) -> Opened:
    """Open a page in a new browser at an address behind a proxy."""
    return browse(server.visitor(headers={"X-Forwarded-For": address}), "page")


def test_quiet_pages_end(tmp_path: Path) -> None:
    """A page that is open while its visitor sends nothing does not live for ever; one that is used does."""
    with staging(tmp_path, app(tmp_path, quiet_timeout=8, idle_timeout=4)) as server:
        quiet = visit(server, None, "page")
        quiet.connect()
        used = visit(server, None, "page")
        socket = used.connect()

        def only_one_is_left() -> bool:
            socket.send(socket.message("kernel_info_request", {}))
            return list(kernels(server)) == [used.kernel_id]

        eventually(only_one_is_left, timeout=60)
        closed(used)


def test_defaults() -> None:
    """The defaults are found from the machine; each is a limit, and one visitor never has all pages."""
    found = Limits().found()
    assert found.max_pages and 4 <= found.max_pages <= 500
    assert found.max_pages_per_visitor and 1 <= found.max_pages_per_visitor <= found.max_pages // 2
    assert found.max_pages_per_address and found.max_pages_per_address < found.max_pages
    assert found.max_connections and found.max_connections <= max(32, descriptors() // 2)
    assert memory() > 2**20
    none = Limits(max_pages=0, max_pages_per_visitor=0, max_pages_per_address=0, max_connections=0).found()
    assert (none.max_pages, none.max_pages_per_visitor, none.max_pages_per_address, none.max_connections) == (0,) * 4


async def test_connections(tmp_path: Path) -> None:
    """A peer holds half of the connections; its next one is told to try again, and gets in when another has left."""
    builder = create_app(max_connections=8).with_index().with_app(path="/a", root=write(tmp_path / "a.ipynb", "1"))
    application, port = builder.build(), free_port()
    server = application.listen(port, "127.0.0.1")
    try:
        with ExitStack() as stack:
            held = [stack.enter_context(sockets.create_connection(("127.0.0.1", port))) for _ in range(4)]
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", verify=NO_TLS) as client:
                refused = await client.get("/")
                assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
                held[0].close()
                for _ in range(1000):
                    if (answer := await client.get("/")).status_code == 200:
                        break
                assert answer.status_code == 200
    finally:
        server.stop()
        await application.close()


@pytest.mark.parametrize("connections", [0, None])
def test_out_of_descriptors(tmp_path: Path, connections: int | None) -> None:
    """Where the process has no descriptor left the log does not grow, and the server is back when some are free."""
    write(tmp_path / "root" / "page.ipynb", "1")
    with staging(tmp_path, FEW.format(connections=connections)) as server:
        address = ("127.0.0.1", int(re.findall(r":(\d+)", server.url)[0]))
        before = os.path.getsize(server.log_file)
        with ExitStack() as stack:
            crowd = [stack.enter_context(sockets.create_connection(address, timeout=60)) for _ in range(120)]
            for connection in crowd[100:]:
                assert connection.recv(12) in (b"HTTP/1.1 503", b"")
        eventually(lambda: httpx.get(server.url, timeout=30, verify=NO_TLS).status_code == 200)
        # A page that could not be rendered meanwhile has a traceback. Endless tries would be megabytes.
        assert os.path.getsize(server.log_file) - before < 50_000
        assert "Refusing connections" in server.log
