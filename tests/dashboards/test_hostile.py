"""What a visitor may send, open and leave unread: it costs other visitors nothing, and reveals nothing."""

from __future__ import annotations

import re
import socket as sockets
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import psutil
import pytest
import websocket
from harness import FORMATS, NO_TLS, Format, Server, Socket, kernelspec, without_kernels
from stage import Opened, eventually, kernels, staging, visit, write

APP = """
import asyncio
from jupyter_app_meta.dashboards.web import pages
pages.STALLED = 1
async def slowly(request):
    await asyncio.sleep(0.5)
    return {}
app = (create_app(identity_provider=People, max_pages=6)
       .with_app(path="/page", root="page.ipynb")
       .with_app(path="/asked", root="page.ipynb", meta=slowly)
       .with_app(path="/slow", root="slow.ipynb")
       .with_app(path="/big", root="big.ipynb")
       .with_app(path="/broken", root="broken.ipynb"))
"""
SECRET = "postgres://CANARY"
RAISES = f"""import ipywidgets
DB = {SECRET!r}
button = ipywidgets.Button()
button.on_click(lambda _: (_ for _ in ()).throw(ValueError(DB)))
print("button", button.comm.comm_id)"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of three pages, and at most six of them open at a time."""
    home = tmp_path_factory.mktemp("hostile")
    write(home / "root" / "page.ipynb", RAISES)
    write(home / "root" / "slow.ipynb", "import time; time.sleep(1)", f"password = {SECRET!r}; time.sleep(1)")
    write(home / "root" / "big.ipynb", "print('x' * 20_000_000)")
    write(home / "root" / "broken.ipynb", "1", kernel="broken")
    kernelspec(home, "broken", executable="/nowhere/python")
    with staging(home, APP) as server:
        yield server


@pytest.fixture
def page(server: Server) -> Iterator[Opened]:
    """A visitor's page, which ends with the test."""
    opened = visit(server, "mallory", "/page")
    yield opened
    opened.close()
    eventually(lambda: not kernels(server))


def answers(server: Server) -> bool:
    """Whether the server still serves others."""
    with suppress(httpx.TransportError):
        return httpx.get(server.url, timeout=60, verify=NO_TLS).status_code == 404
    return False


def comes_in(server: Server) -> Opened:
    """Return the page of a visitor who tries until there is room."""

    def attempt() -> Opened | None:
        opened = visit(server, "late", "/page")
        return opened if opened.response.status_code == 200 else None

    opened = eventually(attempt)
    assert opened is not None
    return opened


def heard(socket: Socket, seconds: float) -> list[str]:
    """Return the types of the messages that come within some seconds."""
    types, deadline = [], time.monotonic() + seconds
    with suppress(TimeoutError):
        while (left := deadline - time.monotonic()) > 0:
            types.append(socket.receive(left)["header"]["msg_type"])
    return types


@pytest.mark.parametrize("format", FORMATS)
def test_messages_with_buffers_come_in_each_format(server: Server, page: Opened, format: Format) -> None:
    """A widget's bytes reach the browser, whichever format it speaks, and the server goes on."""
    socket, comm_id = page.connect(format=format), uuid.uuid4().hex
    names = {"_model_name": "ImageModel", "_view_name": "ImageView"}
    for kind in ("model", "view"):
        names |= {f"_{kind}_module": "@jupyter-widgets/controls", f"_{kind}_module_version": "2.0.0"}
    content = {"comm_id": comm_id, "target_name": "jupyter.widget", "data": {"state": names, "buffer_paths": []}}
    socket.send(socket.message("comm_open", content, {"version": "2.0.0"}))
    socket.send(socket.message("comm_msg", {"comm_id": comm_id, "data": {"method": "request_state"}}))
    told = socket.until(lambda message: bool(message["buffers"]))
    assert told[-1]["content"]["comm_id"] == comm_id
    assert answers(server)


@pytest.mark.parametrize("format", FORMATS)
def test_sources_stay_with_the_author(server: Server, format: Format) -> None:
    """A client that connects while the page's cells run does not see their source."""
    visitor = server.visitor(cookies={"person": f"reader-{format}"})
    text = ""
    with visitor.http.stream("GET", "slow") as response:
        pieces = response.iter_text()  # a loop that is left would close the page
        while '"kernelId"' not in text:
            text += next(pieces)
        opened = Opened(visitor, httpx.Response(200, text=text))
        socket = opened.connect(format=format)
        types = heard(socket, 3)
    opened.close()
    assert "status" in types and "execute_input" not in types
    assert SECRET not in str(socket.seen)


def test_tracebacks_of_callbacks_stay_with_the_author(page: Opened) -> None:
    """A callback that raises tells its visitor neither the values nor the code."""
    socket = page.connect()
    found = re.search(r"button ([0-9a-f]{32})", page.html)
    assert found
    comm_id = found[1]
    socket.send(
        socket.message("comm_msg", {"comm_id": comm_id, "data": {"method": "custom", "content": {"event": "click"}}})
    )
    error = socket.until(lambda message: message["header"]["msg_type"] == "error")[-1]
    assert "CANARY" not in str(error["content"])


def test_one_page_has_a_few_sockets(server: Server, page: Opened) -> None:
    """No visitor exhausts the server by connecting to their own page again and again."""
    opened: list[Socket] = []
    refused = 0
    while len(opened) < 20:
        try:
            opened.append(page.connect())
        except websocket.WebSocketBadStatusException as error:
            refused = error.status_code
            break
    assert refused == 429 and 2 <= len(opened) <= 8
    assert answers(server)


def test_closed_pages_leave_no_descriptors(server: Server) -> None:
    """A page whose socket is still open when it says that it closes leaves nothing behind, as browsers do it."""
    process = psutil.Process(server.process.pid)

    def come_and_go(times: int) -> int:
        for number in range(times):
            opened = visit(server, f"guest-{number}", "/page")
            socket = opened.connect()
            assert opened.close().status_code == 204
            with suppress(ConnectionError, websocket.WebSocketException, TimeoutError):
                while True:
                    socket.receive(10)
            opened.visitor.http.close()
        eventually(lambda: not kernels(server))
        return process.num_fds()

    before = come_and_go(3)
    come_and_go(6)
    eventually(lambda: process.num_fds() <= before + 6)


def test_who_does_not_read_their_page_keeps_nothing(server: Server) -> None:
    """A browser that takes nothing of its page loses its kernel, long before it leaves."""
    host, port = server.url.split("/")[2].split(":")
    with sockets.socket() as connection:
        connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 1024)
        connection.connect((host, int(port)))
        connection.sendall(f"GET /big HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: person=sloth\r\n\r\n".encode())
        eventually(lambda: kernels(server))
        eventually(lambda: not kernels(server))


def test_so_many_pages_and_no_more(server: Server) -> None:
    """If max_pages are open, a visitor is told when to try again, and gets in when another one has left."""
    pages = [visit(server, f"guest-{number}", "/page") for number in range(6)]
    refused = visit(server, "late", "/page").response
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
    pages[0].close()
    late = comes_in(server)
    for opened in (late, *pages[1:]):
        opened.close()


def test_simultaneous_visitors_are_not_more_than_may_be(server: Server) -> None:
    """A visitor who arrives while another's page is about to begin does not get that visitor's place."""
    eventually(lambda: not kernels(server))
    with ThreadPoolExecutor(10) as pool:
        came = list(pool.map(lambda number: visit(server, f"guest-{number}", "/asked"), range(10)))
    assert sorted(opened.response.status_code for opened in came) == [200] * 6 + [503] * 4
    for opened in came:
        if opened.response.status_code == 200:
            opened.close()


@pytest.mark.unforked("No such file")
def test_pages_whose_kernels_do_not_start_leave_room(server: Server) -> None:
    """A page that could not be opened does not count as an open page."""
    comes_in(server).close()
    eventually(lambda: not kernels(server))
    for number in range(8):
        assert visit(server, f"guest-{number}", "/broken").response.status_code == 500
    comes_in(server).close()


def test_strangers_cannot_send_big_bodies(server: Server) -> None:
    """No route reads more than a form needs."""
    with suppress(httpx.TransportError):
        assert httpx.post(f"{server.url}nosuch", content=b"x" * 1_000_000).status_code >= 400
    assert answers(server)


def test_odd_static_paths_are_not_found(server: Server) -> None:
    """What names no file of Voila's answers 404 or 403, and leaves no traceback in the log."""
    before = len(server.log)
    for path in ("voila/templates/x", "voila/templates/%2e%2e", "voila/templates/no/other/x", "voila/static/%2e%2e/x"):
        assert httpx.get(server.url + path, verify=NO_TLS).status_code in (403, 404)
    assert "Traceback" not in without_kernels(server.log[before:])
