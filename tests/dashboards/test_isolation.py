"""No visitor runs code, reaches another visitor's kernel, or finds out whether there is one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket
from harness import FORMATS, V1, Format, Json, Server, Socket, Visitor, pack, without_kernels
from jupyter_server.services.kernels.connection.base import serialize_msg_to_ws_v1
from stage import ASK, SLIDER, WHO, Opened, browse, eventually, kernel_process, kernels, move, staging, visit, write

APP = """
app = (create_app(identity_provider=People, config={"AppMetaExtension": {"cookies_allow": ["theme"]}})
       .with_app(path="/page", root="page.ipynb")
       .with_app(path="/quiet", root="quiet.ipynb")
       .with_app(path="/broken", root="broken.ipynb")
       .with_app(path="/slow", root="slow.ipynb")
       .with_app(path="/raises", root="quiet.ipynb", authorize=lambda user, request: 1 / 0)
       .with_app(path="/warm", root="page.ipynb", warm=1)
       .with_index())
"""

NOBODYS = "00000000-0000-4000-8000-000000000000"
"""The id of a kernel that does not exist."""

REFUSED = (
    *("execute_request", "complete_request", "inspect_request", "history_request", "is_complete_request"),
    *("connect_request", "usage_request", "apply_request", "abort_request", "clear_request"),
    *("interrupt_request", "shutdown_request", "debug_request", "create_subshell_request"),
    *("delete_subshell_request", "list_subshell_request", "input_reply", "app_meta_claim_request"),
    *("", " comm_msg", "COMM_MSG", "comm_msg\x00", "execute_reply", "status", "stream", "no_such_type"),
)

CHANNELS = ("shell", "control", "stdin")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for several people."""
    home = tmp_path_factory.mktemp("isolation")
    write(home / "root" / "page.ipynb", WHO, SLIDER)
    write(
        home / "root" / "quiet.ipynb", "from jupyter_app_meta import app_meta\nm = app_meta()", "display(m, m.request)"
    )
    write(home / "root" / "slow.ipynb", f"{ASK}import time\nprint('begun', flush=True)\ntime.sleep(600)")
    (home / "root" / "broken.ipynb").write_text("no notebook")
    with staging(home, APP) as server:
        yield server


@pytest.fixture(scope="module")
def unclaimed(server: Server) -> str:
    """The id of a kernel that waits for a visitor who never comes."""
    return next(iter(eventually(lambda: kernels(server))))


@pytest.fixture(scope="module")
def hers(server: Server, unclaimed: str) -> Opened:
    """A page that alice has opened."""
    return visit(server, "alice", "/page", region="emea")


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A file that is there as soon as any of our code was run."""
    return tmp_path / "executed"


def touching(socket: Socket, mark: Path, msg_type: str = "execute_request") -> Json:
    """Return a message that writes a file, where it is run."""
    code = f"open({str(mark)!r}, 'w')"
    content = {"code": code, "silent": False, "user_expressions": {"x": code}, "value": code, "restart": False}
    return socket.message(msg_type, {**content, "command": "evaluate", "arguments": {"expression": code}})


@pytest.mark.parametrize("format", FORMATS)
def test_only_comm_and_info_messages_reach_the_kernel(server: Server, hers: Opened, mark: Path, format: Format) -> None:
    """Every other type is refused on every channel, which closes the socket; the page goes on with another one."""
    kernel = kernel_process(server, hers.kernel_id)
    for msg_type in REFUSED:
        for channel in CHANNELS:
            socket = hers.connect(format=format)
            socket.send(touching(socket, mark, msg_type), channel)
            with pytest.raises(ConnectionError):
                socket.until(lambda message: False)
            assert not [message for message in socket.seen if message["header"]["msg_type"].endswith("_reply")]
            socket.connection.shutdown()
    socket = hers.connect(format=format)
    for channel in ("shell", "control"):
        socket.collect(socket.send(socket.message("kernel_info_request", {}), channel))
    assert move(socket, hers, 1).startswith("alice|{'region': 'emea'}|")
    assert move(socket, hers, 2).endswith("|2")
    assert not mark.exists() and kernel.is_running()
    socket.close()


def headers_in_disguise(header: Json) -> Iterator[bytes]:
    """Yield the bytes of headers that one reader may take for a comm message and another one for code."""
    text = json.dumps({**header, "msg_type": "execute_request"})
    twice = text.replace('"msg_type": "execute_request"', '"msg_type": "%s", "msg_type": "%s"')
    yield (twice % ("comm_msg", "execute_request")).encode()
    yield (twice % ("execute_request", "comm_msg")).encode()
    escaped = text.replace('"msg_type"', r'"msg\u005ftype"')
    yield escaped.encode()
    yield escaped.replace("{", '{"msg_type": "comm_msg", ', 1).encode()
    yield (escaped[:-1] + ', "msg_type": "comm_msg"}').encode()
    yield text.replace("execute_request", r"execute\u005frequest").encode()
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"):
        yield text.encode(encoding)
    yield text.encode() + b" " + json.dumps(header).encode()
    yield json.dumps(header).encode() + b"\x00" + text.encode()
    for odd in (None, ["comm_msg"], {"comm_msg": 1}, 5, True):
        yield json.dumps({**header, "msg_type": odd}).encode()
    yield from (b"", b"null", b"[]", b'"comm_msg"', b"{}", b'["msg_type"]', b"\xff\xfe{", b"[" * 3000)


def frame(socket: Socket, message: Json, header: bytes) -> str | bytes:
    """Return the frame of a message with a header of these bytes."""
    if socket.format == "v1":
        parts = [header, *(json.dumps(message[name]).encode() for name in ("parent_header", "metadata", "content"))]
        return bytes(serialize_msg_to_ws_v1(parts, "shell"))
    packed = pack({**message, "header": "@header@"}, "shell", "text")
    assert isinstance(packed, str)
    text = packed.encode().replace(b'"@header@"', header)
    if socket.format == "text":
        return text.decode(errors="surrogateescape").encode(errors="replace").decode(errors="replace")
    return (1).to_bytes(4, "big") + (8).to_bytes(4, "big") + text


@pytest.mark.parametrize("format", FORMATS)
def test_headers_in_disguise_run_nothing(server: Server, hers: Opened, mark: Path, format: Format) -> None:
    """Keys twice or with escapes, and other encodings, are read once, and sent on as they were read."""
    socket = hers.connect(format=format)
    for header in headers_in_disguise(socket.message("comm_msg", {})["header"]):
        message = touching(socket, mark)
        try:
            socket.send_frame(frame(socket, message, header))
            socket.collect(socket.send(socket.message("kernel_info_request", {})))
        except (ConnectionError, websocket.WebSocketException):  # what cannot be read may cost the connection
            socket = hers.connect(format=format)
    assert move(socket, hers, 3).endswith("|3")
    assert move(socket, hers, 4).endswith("|4")
    assert not mark.exists()
    socket.close()


@pytest.mark.parametrize("format", FORMATS)
def test_forged_stamps_in_callbacks_are_replaced(server: Server, hers: Opened, format: Format) -> None:
    """A visitor cannot say who they are in a message's metadata."""
    socket = hers.connect(format=format)
    forged = {"v": 1, "user": {"username": "root", "is_authenticated": True}, "mac": "0" * 64}
    for value, stamp in enumerate((forged, json.dumps(forged), None, [forged]), start=10):
        assert move(socket, hers, value, {"app_meta": stamp}).startswith("alice|")
    socket.close()


def attempt(visitor: Visitor, method: str, kernel_id: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers (without the date) and body of what a browser gets that reaches for a kernel."""
    visitor.http.follow_redirects = False
    visitor.http.cookies.set("_xsrf", "f00d" * 8)
    if method == "WEBSOCKET":
        return handshake(visitor, kernel_id, visitor.server.url.rstrip("/"))
    path = f"voila/api/shutdown/{kernel_id}" if method == "POST" else f"api/kernels/{kernel_id}"
    response = visitor.http.request(method, path, headers={"X-XSRFToken": "f00d" * 8})
    return response.status_code, _undated(response.headers), response.content


def handshake(visitor: Visitor, kernel_id: str, origin: str | None) -> tuple[int, dict[str, str], bytes]:
    """Return what the server answers to a browser that wants a kernel's WebSocket."""
    url = f"{visitor.server.url.replace('http', 'ws', 1)}api/kernels/{kernel_id}/channels?session_id=x"
    try:
        connection = websocket.create_connection(
            url, cookie=visitor.cookie_line() or None, origin=origin, suppress_origin=origin is None, subprotocols=[V1]
        )
    except websocket.WebSocketBadStatusException as error:
        return error.status_code, _undated(error.resp_headers or {}), bytes(error.resp_body or b"")
    connection.close(timeout=2)
    return 101, {}, b""


def _undated(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in dict(headers).items() if name.lower() != "date"}


@pytest.mark.parametrize("person", ["bob", None])
@pytest.mark.parametrize("method", ["GET", "DELETE", "POST", "WEBSOCKET"])
def test_kernels_of_others_are_as_kernels_that_do_not_exist(
    server: Server, hers: Opened, unclaimed: str, person: str | None, method: str
) -> None:
    """Another person, and a client without a login, get the same 403, byte for byte, for any kernel or none."""
    visitor = server.visitor(cookies={"person": person} if person else {})
    missing = attempt(visitor, method, NOBODYS)
    assert missing[0] == 403
    assert attempt(visitor, method, hers.kernel_id) == missing
    assert attempt(visitor, method, unclaimed) == missing
    assert {hers.kernel_id, unclaimed} <= kernels(server).keys()


def test_visitor_reaches_their_own_kernel(server: Server, hers: Opened) -> None:
    """What is refused to others is given to the visitor whose page it is."""
    status, headers, body = attempt(hers.visitor, "GET", hers.kernel_id)
    assert status == 200 and json.loads(body)["id"] == hers.kernel_id
    assert headers["content-type"] == "application/json"
    assert attempt(hers.visitor, "WEBSOCKET", hers.kernel_id)[0] == 101


def test_visitor_ends_their_own_kernel(server: Server) -> None:
    """DELETE ends the kernel's process, and from then on there is none."""
    opened = visit(server, "alice", "/quiet")
    process = kernel_process(server, opened.kernel_id)
    assert attempt(opened.visitor, "DELETE", opened.kernel_id)[0] == 204
    eventually(lambda: not process.is_running())
    assert attempt(opened.visitor, "GET", opened.kernel_id)[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        *("api", "api/me", "api/kernels", "api/kernelspecs", "api/sessions", "api/contents", "api/contents/page.ipynb"),
        *("api/terminals", "api/status", "api/nbconvert", "api/events", "metrics", "tree", "lab", "files/page.ipynb"),
        *("nbconvert/html/page.ipynb", "view/page.ipynb", "page.ipynb", "voila/query/{id}", "voila/files/page.ipynb"),
        *("voila/render/page.ipynb", "api/shutdown", "voila/api/kernels/{id}", "api/kernels/{id}/restart"),
        *("api/kernels/{id}/interrupt", "api/kernels/{id}/channels/x", "voila/static/..%2f..%2fpage.ipynb"),
        *("voila/static/../../page.ipynb", "voila/templates/lab/../../../page.ipynb", "voila/query/{id}/"),
    ],
)
def test_nothing_else_of_a_jupyter_server_is_there(server: Server, hers: Opened, path: str) -> None:
    """No list, file, session, terminal, restart or request data is to be had, also not by a visitor of the kernel."""
    hers.visitor.http.cookies.set("_xsrf", "f00d" * 8)
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        response = hers.visitor.http.request(
            method, path.format(id=hers.kernel_id), headers={"X-XSRFToken": "f00d" * 8}, follow_redirects=False
        )
        is_open = (method, path) == ("GET", "metrics")  # numbers, for this machine
        assert response.status_code in ((200,) if is_open else (403, 404, 405)), (method, response.status_code)
        assert hers.kernel_id not in response.text.replace(path.format(id=hers.kernel_id), "")
        assert "cell_type" not in response.text and "<alice" not in response.text


def test_another_origin_is_refused(server: Server, hers: Opened) -> None:
    """No page of another site opens a visitor's WebSocket or ends their kernel, though their cookies come along."""
    host = server.url.split("/")[2]
    for origin in ("http://evil.example", "null", f"http://{host}.evil.example", f"http://{host[:-1]}", "https://"):
        assert handshake(hers.visitor, hers.kernel_id, origin)[0] == 403, origin
        closing = hers.visitor.http.post(f"voila/api/shutdown/{hers.kernel_id}", headers={"Origin": origin})
        assert closing.status_code == 403, origin
    assert handshake(hers.visitor, hers.kernel_id, f"http://{host}")[0] == 101
    assert hers.kernel_id in kernels(server)


def test_closing_page_needs_no_xsrf_token(server: Server) -> None:
    """The page's script posts without one, and the kernel's process ends."""
    opened = visit(server, "alice", "/quiet")
    process = kernel_process(server, opened.kernel_id)
    origin = {"Origin": server.url.rstrip("/")}
    response = opened.visitor.http.post(f"voila/api/shutdown/{opened.kernel_id}", headers=origin)
    assert response.status_code == 204
    eventually(lambda: not process.is_running())
    assert opened.close().status_code == 403


CANARY = "CANARY7f3a"
SECRETS: dict[str, str] = {
    "cookies": "person=alice; theme=COOKIE-{c}; sid=SID-{c}; remember_token=REMEMBER-{c}; _xsrf=XSRF-{c}",
    "headers": "Authorization X-Forwarded-User X-Api-Key X-XSRFToken Proxy-Authorization X-Request-Id Accept-Language",
    "query": "token api_key auth",
}


def loaded(server: Server) -> Visitor:
    """Return alice's browser, with a secret wherever one may be."""
    headers = {name: f"{name}-{CANARY}" for name in SECRETS["headers"].split()}
    return server.visitor(headers={**headers, "Cookie": SECRETS["cookies"].format(c=CANARY)})


def query() -> dict[str, str]:
    """Return a query full of secrets."""
    return {name: f"{name}-{CANARY}" for name in SECRETS["query"].split()}


def test_page_and_log_hold_no_cookie_header_or_token(server: Server) -> None:
    """Neither a page, its displays of the request, an error page nor the log has a value that a browser sent along."""
    visitor = loaded(server)
    opened = browse(visitor, "/quiet", **query())
    assert opened.response.status_code == 200 and "The request behind this code" in opened.html
    assert CANARY not in opened.html and "theme" in opened.html
    for path in ("/nothing", "/broken", "/raises", "/", "/quiet/../x", "/api/kernels", f"/api/kernels/{NOBODYS}"):
        assert CANARY not in browse(visitor, path, **query()).response.text
    socket = visitor.connect(opened.kernel_id, query=f"&token={CANARY}")
    socket.collect(socket.send(socket.message("kernel_info_request", {})))
    socket.send(socket.message("execute_request", {"code": CANARY}))
    with pytest.raises(ConnectionError):
        socket.until(lambda message: False)
    assert CANARY not in server.log


def test_unreadable_message_leaves_no_token_in_the_log(server: Server) -> None:
    """A malformed message may cost a visitor the connection, but the log has no error that shows its address."""
    opened, before = visit(server, "alice", "/quiet"), len(server.log)
    socket = opened.connect(query=f"&token={CANARY}")
    socket.send_frame(frame(socket, socket.message("comm_msg", {}), b"[]"))
    with pytest.raises((ConnectionError, websocket.WebSocketException, TimeoutError)):
        socket.until(lambda message: False, timeout=2)
    assert CANARY not in server.log[before:]


def test_visitor_who_leaves_early_leaves_nothing_behind(server: Server) -> None:
    """A page whose visitor has left ends its kernel, and the log has no error that shows the request."""
    visitor, before, logged = loaded(server), kernels(server).keys(), len(server.log)
    with visitor.http.stream("GET", "slow", params=query()) as response:
        begun = eventually(lambda: kernels(server).keys() - before)
        assert response.status_code == 200
    eventually(lambda: not begun & kernels(server).keys())
    assert CANARY not in server.log[logged:] and "Uncaught" not in without_kernels(server.log[logged:])


def test_anonymous_browsers_are_two_identities(tmp_path: Path) -> None:
    """Without a login, each browser reaches its own kernels, and no other browser's."""
    write(tmp_path / "root" / "page.ipynb", WHO, SLIDER)
    with staging(tmp_path, "app = create_app().with_app(path='/', root='page.ipynb')") as server:
        first, second = visit(server, None), visit(server, None)
        names = [re.findall(r"<(\w+)\|", opened.html)[0] for opened in (first, second)]
        assert len(set(names)) == 2
        for method in ("GET", "POST", "DELETE", "WEBSOCKET"):
            assert attempt(second.visitor, method, first.kernel_id) == attempt(second.visitor, method, NOBODYS)
        assert move(first.connect(), first, 5).startswith(f"{names[0]}|")
        again = browse(first.visitor)
        assert f"<{names[0]}|" in again.html and again.kernel_id != first.kernel_id
