"""Dashboards whose kernels run behind a real kernel gateway: what holds for local kernels holds for them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import httpx
import pytest
import websocket
from harness import FORMATS, Format, Server, free_port, kernelspec, launched, serving
from stage import KERNEL, SLIDER, WHO, Opened, eventually, kernel_process, kernels, move, staging, visit, write

pytestmark = pytest.mark.unforked("kernels run behind a gateway")

TOKEN = "the-gateway-token"  # a canary: it must not be seen anywhere
CANARY = "CANARY-of-the-server"
BEHIND = f"c.KernelGatewayApp.auth_token = {TOKEN!r}\n"

APP = """
GATEWAY = {{"GatewayClient": {{"url": {url!r}, "auth_token": {token!r}}}}}
app = (create_app(identity_provider=People, idle_timeout=60, config=GATEWAY)
       .with_app(path="/who", root="who.ipynb")
       .with_app(path="/slider", root="slider.ipynb")
       .with_app(path="/buffers", root="buffers.ipynb")
       .with_app(path="/kept", root="kept.ipynb")
       .with_app(path="/raises", root="raises.ipynb"))
"""
WARM = """
GATEWAY = {{"GatewayClient": {{"url": {url!r}, "auth_token": {token!r}}}}}
app = (create_app(identity_provider=People, warm=1, config=GATEWAY)
       .with_app(path="/warm", root="warm.ipynb"))
"""
HEARD = "alice heard of bob"
ENVIRONMENT = "import os; print('environment', sorted(os.environ), os.getppid()); print(list(os.environ.values()))"
BUFFERS = """import ipywidgets, traitlets
class Echo(ipywidgets.DOMWidget):
    _model_name = traitlets.Unicode("DOMWidgetModel").tag(sync=True)
echo = Echo()
echo.on_msg(lambda _, content, buffers: echo.send({"sum": sum(map(len, buffers))}, [bytes(b)[::-1] for b in buffers]))
print("echo", echo.comm.comm_id)"""
"""A cell with a widget that sends the bytes that it gets back in the other order."""
KEPT = """import ipywidgets
from jupyter_app_meta import app_meta, shared, visitor
print(f"<{visitor.state.add('visits')} of {shared.state.add('visits')}>")
slider, label = ipywidgets.IntSlider(), ipywidgets.Label("untouched")
def moved(change):
    label.value = f"{app_meta().user.username} moved {visitor.state.add('moves')}"
slider.observe(moved, "value")
@shared.state.on_change
def noted(change):
    label.value = f"{app_meta().user.username} heard of {change.by}"
print("slider", slider.comm.comm_id, "label", label.comm.comm_id)"""
"""A cell that counts its visits, with a slider that counts its moves and a label that tells of other visitors."""


@contextmanager
def gateway(home: Path, port: int | None = None) -> Iterator[Server]:
    """Run a kernel gateway whose kernels know our package; its URL has no slash at the end."""
    kernelspec(home, KERNEL)
    command = ("-m", "kernel_gateway")
    with serving(home, config=BEHIND, command=command, token="", enabled=False, port=port) as behind:
        yield behind


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """A kernel gateway, and a dashboard server whose kernels run there."""
    home = tmp_path_factory.mktemp("dashboards")
    write(home / "root" / "who.ipynb", WHO, ENVIRONMENT)
    write(home / "root" / "slider.ipynb", SLIDER)
    write(home / "root" / "buffers.ipynb", BUFFERS)
    write(home / "root" / "kept.ipynb", KEPT)
    write(home / "root" / "raises.ipynb", "password = 'CANARY-of-the-author'", "raise ValueError(password)")
    with gateway(tmp_path_factory.mktemp("gateway")) as behind:
        app = APP.format(url=behind.url.rstrip("/"), token=TOKEN)
        with staging(home, app, env={"SERVER_SECRET": CANARY}) as server:
            yield behind, server


def test_page_runs_at_the_gateway(servers: tuple[Server, Server]) -> None:
    """A cold page knows its visitor. Its kernel is the gateway's child, and ends when the page is closed."""
    behind, server = servers
    before = set(kernels(behind))
    opened = visit(server, "alice", "/who", region="emea")
    assert "<alice|{'region': 'emea'}|{}|run>" in opened.html
    assert len(set(kernels(behind)) - before) == 1 and not kernels(server)
    assert opened.kernel_id not in kernels(behind), "the id that the gateway knows stays with the server"
    opened.close()
    eventually(lambda: set(kernels(behind)) <= before)


def test_kernel_gets_its_key_and_nothing_else(servers: tuple[Server, Server]) -> None:
    """No variable of the dashboard server reaches a kernel, and no secret a page or a log."""
    behind, server = servers
    opened = visit(server, "alice", "/who")
    assert "environment [" in opened.html and "SERVER_SECRET" not in opened.html and "APP_META_KEY" not in opened.html
    opened.close()
    for text in (opened.html, server.log, behind.log):
        assert TOKEN not in text and CANARY not in text


def test_callbacks_know_their_visitor(servers: tuple[Server, Server]) -> None:
    """A widget's callback sees the visitor and the page. A forged stamp is replaced."""
    opened = visit(servers[1], "alice", "/slider", region="emea")
    said = move(opened.connect(), opened, 7, {"app_meta": "forged"})
    assert said.startswith("alice|{'region': 'emea'}|") and said.endswith("|7")
    opened.close()


def test_state_is_kept_for_kernels_at_the_gateway(servers: tuple[Server, Server]) -> None:
    """In the first render and in a callback a kernel asks for its visitor's state, and it hears of other visitors."""
    behind, server = servers
    first, again = visit(server, "alice", "/kept"), visit(server, "alice", "/kept")
    assert "<1 of 1>" in first.html and "<2 of 2>" in again.html
    assert move(again.connect(), again, 7) == "alice moved 1"
    socket = first.connect()
    assert move(socket, first, 7) == "alice moved 2"
    other = visit(server, "bob", "/kept")
    assert "<1 of 3>" in other.html
    socket.until(lambda message: message["content"].get("data", {}).get("state", {}).get("value") == HEARD)
    for opened in (first, again, other):
        opened.close()
    assert '"app_meta_state' not in str(socket.seen) and "app_meta_state" not in behind.log


@pytest.mark.parametrize("format", FORMATS)
def test_buffers_go_both_ways(servers: tuple[Server, Server], format: Format) -> None:
    """Trap: jupyter_server's own connection to a gateway breaks at the first binary message."""
    opened = visit(servers[1], "alice", "/buffers")
    found = re.search(r"echo ([0-9a-f]{32})", opened.html)
    assert found
    socket = opened.connect(format=format)
    for number in range(2):
        buffers = [] if format == "text" else [bytes(range(256)), b"x" * 300_000, b""]
        content = {"comm_id": found[1], "data": {"method": "custom", "content": {"number": number}}}
        socket.send({**socket.message("comm_msg", content), "buffers": buffers})
        answer = socket.until(lambda message: message["content"].get("data", {}).get("method") == "custom")[-1]
        assert answer["content"]["data"]["content"] == {"sum": sum(map(len, buffers))}
        assert [bytes(buffer) for buffer in answer["buffers"]] == [buffer[::-1] for buffer in buffers]
    opened.close()


def test_warm_kernel_is_claimed(tmp_path: Path, servers: tuple[Server, Server]) -> None:
    """A kernel that runs ahead at the gateway waits for its visitor, and ends with the server."""
    behind, ran = servers[0], tmp_path / "ran"
    before = set(kernels(behind))
    write(tmp_path / "root" / "warm.ipynb", f"open({str(ran)!r}, 'a').write('ahead ')", WHO)
    with staging(tmp_path, WARM.format(url=behind.url.rstrip("/"), token=TOKEN)) as server:
        for person, count in (("alice", 1), ("bob", 2)):
            eventually(partial(_has_run, ran, count))
            opened = visit(server, person, "/warm", of=person)
            assert f"<{person}|{{'of': '{person}'}}|{{}}|run>" in opened.html
        assert set(kernels(behind)) - before
    eventually(lambda: set(kernels(behind)) <= before)


def _has_run(ran: Path, times: int) -> bool:
    """Whether the first cell has run so often."""
    return ran.exists() and len(ran.read_text().split()) == times


def test_kernel_belongs_to_its_visitor(servers: tuple[Server, Server]) -> None:
    """To another visitor the kernel is unknown, whatever it is asked."""
    server = servers[1]
    opened, bob = visit(server, "alice", "/slider"), server.visitor(cookies={"person": "bob"})
    unknown = str(uuid.uuid4())
    for kernel_id in (opened.kernel_id, unknown):
        assert bob.get(f"api/kernels/{kernel_id}").status_code == 403
        assert bob.call("DELETE", f"/api/kernels/{kernel_id}").status_code == 403
        with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
            bob.connect(kernel_id)
    assert opened.visitor.get(f"api/kernels/{opened.kernel_id}").json()["id"] == opened.kernel_id
    opened.close()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("msg_type", "channel"),
    [
        ("execute_request", "shell"),
        ("execute_request", "control"),
        ("shutdown_request", "control"),
        ("input_reply", "stdin"),
        ("app_meta_claim", "control"),
        ("debug_request", "control"),
    ],
)
def test_what_visitors_may_not_send_closes_the_socket(
    servers: tuple[Server, Server], page: Opened, msg_type: str, channel: str, format: Format
) -> None:
    """Messages that execute, end or answer are refused as for local kernels, in each format, and the page lives on."""
    socket = page.connect(format=format)
    socket.send(socket.message(msg_type, {"code": "1", "value": "1"}), channel)
    with pytest.raises(ConnectionError):
        socket.until(lambda _: False, 10)
    assert page.visitor.get(f"api/kernels/{page.kernel_id}").status_code == 200


@pytest.fixture(scope="module")
def page(servers: tuple[Server, Server]) -> Iterator[Opened]:
    """A page that tests share."""
    opened = visit(servers[1], "mallory", "/slider")
    yield opened
    opened.close()


def test_answers_go_to_who_asked(servers: tuple[Server, Server], page: Opened) -> None:
    """Two sockets of a page ask the kernel with the same message id, and an answer goes to the first one only."""
    first, second = page.connect(), page.connect()
    for socket in (first, second):
        socket.collect(socket.send(socket.message("kernel_info_request", {})))
    asked = first.message("kernel_info_request", {})
    first.collect(first.send(asked))
    with suppress(TimeoutError):
        while second.receive(0.3)["header"]["msg_type"] != "kernel_info_reply":
            pass
        pytest.fail("a reply of another socket came")
    first.close()
    second.close()


def test_errors_stay_with_the_author(servers: tuple[Server, Server]) -> None:
    """A page shows the id of an error, and the log has the error."""
    opened = visit(servers[1], "alice", "/raises")
    assert "CANARY-of-the-author" not in opened.html and re.search(r"E-[0-9A-F]{4}", opened.html)
    assert "ValueError" in servers[1].log
    opened.close()


def test_dead_kernel_ends_its_page(servers: tuple[Server, Server]) -> None:
    """A kernel that dies is not replaced by the one that the gateway starts in its place."""
    behind, server = servers
    before = set(kernels(behind))
    opened = visit(server, "alice", "/slider")
    socket, (mine,) = opened.connect(), set(kernels(behind)) - before
    kernel_process(behind, mine).kill()
    with pytest.raises(ConnectionError, match="the kernel has ended"):
        socket.until(lambda _: False, 30)
    eventually(lambda: mine not in kernels(behind))


def served(home: Path, url: str, token: str) -> tuple[list[str], str]:
    """Return the arguments of ``launched`` for a dashboard server of one notebook, by the command line."""
    kernelspec(home, KERNEL)
    write(home / "root" / "page.ipynb", SLIDER)
    port = free_port()
    options = [
        f"--GatewayClient.url={url}",
        f"--GatewayClient.auth_token={token}",
        "--GatewayClient.gateway_retry_max=1",
    ]
    argv = ["-m", "jupyter_app_meta.cli", "serve", "page.ipynb", f"--port={port}", "--no-browser", *options]
    return argv, f"http://127.0.0.1:{port}/"


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder for sockets that no other server sweeps."""
    with TemporaryDirectory(prefix="gw-", dir="/tmp") as folder:  # a socket's path must be short
        yield Path(folder)


def test_killed_server_leaves_no_kernel(tmp_path: Path, short: Path, servers: tuple[Server, Server]) -> None:
    """The next server ends the kernels of one that was killed, and the gateway has none of them for long."""
    behind = servers[0]
    before, url = set(kernels(behind)), behind.url.rstrip("/")
    argv, address = served(tmp_path, url, TOKEN)
    env = {"TMPDIR": str(short)}
    with launched(tmp_path, argv, address, env=env) as first:
        visit(first, None, "/")
        mine = set(kernels(behind)) - before
        assert mine
        first.process.kill()
        first.process.wait()
    assert mine <= set(kernels(behind))
    with launched(tmp_path, argv, address, env=env) as second:
        eventually(lambda: not mine & set(kernels(behind)))
        assert TOKEN not in second.log


@pytest.mark.parametrize(("token", "status"), [(TOKEN, "ok"), ("wrong", "fault")])
def test_check_asks_the_gateway(tmp_path: Path, servers: tuple[Server, Server], token: str, status: str) -> None:
    """The check lists the gateway's kernels, starts one of them, and ends it; a wrong token is a fault."""
    behind = servers[0]
    before = set(kernels(behind))
    notebook = write(tmp_path / "page.ipynb", "1")
    options = [f"--GatewayClient.url={behind.url.rstrip('/')}", f"--GatewayClient.auth_token={token}"]
    command = [sys.executable, "-m", "jupyter_app_meta.cli", "check", "--json", "--notebooks", str(notebook), *options]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    rows = json.loads(said.stdout)["rows"]
    found = {row["subject"]: (row["status"], row["finding"]) for row in rows}
    if status == "ok":
        assert KERNEL in found["kernels"][1]
        assert any("jupyter-app-meta is installed" in finding for _, finding in found.values())
    else:
        assert "GatewayClient.auth_token must be" in found["gateway"][1]
    assert found["kernels" if status == "ok" else "gateway"][0] == found["notebooks"][0] == status
    assert TOKEN not in said.stdout + said.stderr
    eventually(lambda: set(kernels(behind)) <= before)


@pytest.mark.parametrize(
    ("token", "url", "said"),
    [("wrong", "", "GatewayClient.auth_token must be"), (TOKEN, "http://127.0.0.1:1", "does not answer")],
)
def test_server_does_not_start_without_its_gateway(
    tmp_path: Path, servers: tuple[Server, Server], token: str, url: str, said: str
) -> None:
    """A gateway that is away or refuses the token is named, with the option and the fix."""
    argv, address = served(tmp_path, url or servers[0].url.rstrip("/"), token)
    with pytest.raises(Exception), launched(tmp_path, argv, address):  # noqa: B017, PT011
        pass
    log = (tmp_path / "server.log").read_text()
    assert said in log and "Traceback" not in log and TOKEN not in log


def test_gateway_that_goes_away_ends_pages(tmp_path: Path, short: Path) -> None:
    """Pages end with their gateway, the server goes on, new visitors are told, and it works again when it is back."""
    home, front = tmp_path / "gateway", tmp_path / "front"
    home.mkdir()
    with ExitStack() as stack:
        behind = stack.enter_context(gateway(home))
        argv, address = served(front, behind.url.rstrip("/"), TOKEN)
        server = stack.enter_context(launched(front, argv, address, env={"TMPDIR": str(short)}))
        opened = visit(server, None, "/")
        socket = opened.connect()
        behind.stop()
        with pytest.raises(ConnectionError, match="the kernel has ended"):
            socket.until(lambda _: False, 30)
        started = time.monotonic()
        refused = visit(server, None, "/").response
        assert refused.status_code in (500, 503) and time.monotonic() - started < 30
        assert "does not answer" in server.log and httpx.get(f"{address}nosuch").status_code == 404
        stack.enter_context(gateway(home, urlsplit(behind.url).port))
        again = eventually(lambda: _there(server))
        assert again and move(again.connect(), again, 7).endswith("|7")


def _there(server: Server) -> Opened | None:
    """Return a new page, if there are pages."""
    opened = visit(server, None, "/")
    return opened if opened.response.status_code == 200 else None
