"""Voila's own command, made request-aware by two lines of its configuration, without our dashboards."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import websocket
from harness import HERE as JOURNEY
from harness import Server, free_port, kernelspec, launched
from stage import KERNEL, SLIDER, WHO, eventually, move, visit, write

LINES = """
c.VoilaConfiguration.multi_kernel_manager_class = "jupyter_app_meta.server.voila.KernelManager"
c.Voila.kernel_websocket_connection_class = "jupyter_app_meta.server.voila.Connection"
"""

# Voila shows a page without any request data of ours; this is what its kernels have of the URL.
ENVIRONMENT = 'import os; print("ENVIRONMENT", os.environ["VOILA_REQUEST_URL"], os.environ["QUERY_STRING"])'


@contextmanager
def standalone(
    home: Path, *arguments: str, config: str = LINES, provider: str = "providers.People"
) -> Iterator[Server]:
    """Run ``voila`` on the folder ``home/root`` (or what the first argument names) with a ``voila.py`` of this text."""
    kernelspec(home, KERNEL)
    (home / "root").mkdir(exist_ok=True)
    (home / "config").mkdir(exist_ok=True)
    preamble = f"import sys; sys.path.insert(0, {str(JOURNEY)!r})\nc.KernelManager.transport = 'ipc'\n"
    who = f"c.Voila.identity_provider_class = {provider!r}\n" if provider else ""
    (home / "config" / "voila.py").write_text(preamble + who + config)
    port = free_port()
    place = () if arguments and not arguments[0].startswith("-") else (".",)
    fixed = ("--no-browser", f"--port={port}", "--Voila.ip=127.0.0.1", "--Voila.port_retries=0")
    argv: Sequence[str] = ("-m", "voila", *place, *arguments, *fixed)
    with launched(home, argv, f"http://127.0.0.1:{port}/") as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Voila on a folder of one page."""
    home = tmp_path_factory.mktemp("voila")
    write(home / "root" / "page.ipynb", "%md # A page", WHO, ENVIRONMENT, SLIDER)
    with standalone(home, config=LINES + "c.AppMetaExtension.cookies_allow = ['theme']\n") as server:
        yield server


PAGE = "voila/render/page.ipynb"


def test_first_render_shows_the_visitor_and_their_page(server: Server) -> None:
    """The cells that Voila runs for a page load know its user and query, in mode ``run``."""
    opened = visit(server, "alice", PAGE, region="emea")
    assert opened.response.status_code == 200
    assert "<alice|{'region': 'emea'}|{}|run>" in opened.html


def test_callback_knows_its_visitor_before_and_after_a_reconnect(server: Server) -> None:
    """The page's query and the tab's id stay, on a new connection of the same tab."""
    opened = visit(server, "bob", PAGE, region="apac")
    socket = opened.connect()
    before = move(socket, opened, 3)
    assert before.startswith("bob|{'region': 'apac'}|") and before.endswith("|3")
    socket.close()
    after = move(opened.connect(session_id=socket.session_id), opened, 4)
    assert after.split("|")[:3] == before.split("|")[:3] and after.endswith("|4")


def test_two_visitors_at_once_see_themselves(server: Server) -> None:
    """Two people who open one page at the same moment each see their own name and query, then and later."""
    people = [("alice", "emea"), ("bob", "apac")]
    with ThreadPoolExecutor() as pool:
        pages = list(pool.map(lambda who: visit(server, who[0], PAGE, region=who[1]), people))
    ids = set()
    for (person, region), opened in zip(people, pages, strict=True):
        assert f"<{person}|{{'region': '{region}'}}|{{}}|run>" in opened.html
        user, query, client_id, value = move(opened.connect(), opened, 5).split("|")
        assert (user, query, value) == (person, f"{{'region': '{region}'}}", "5")
        ids.add(client_id)
    assert len(ids) == 2 and "None" not in ids


def test_environment_passes_the_query_filter(server: Server) -> None:
    """Voila's own copies of the URL in the kernel's environment have no credentials."""
    opened = visit(server, "alice", PAGE, region="emea", token="CANARY", sig="CANARY")
    found = re.search(r"ENVIRONMENT (\S+) (\S+)", opened.html)
    assert found and found[1].endswith(f"{PAGE}?region=emea") and found[2] == "region=emea"
    assert "CANARY" not in opened.html


def test_another_persons_callback_has_no_page(server: Server) -> None:
    """Voila lets every client that knows a kernel's id connect: the user is that client's, and the page is unknown."""
    opened = visit(server, "alice", PAGE, region="emea")
    seen = move(visit(server, "bob", PAGE).visitor.connect(opened.kernel_id), opened, 7)
    assert seen.startswith("bob|{}|")


def test_stamp_of_the_browser_is_replaced(server: Server) -> None:
    """What a browser claims about itself in its message's metadata does not reach the kernel."""
    opened = visit(server, "alice", PAGE, region="emea")
    forged = {"app_meta": {"payload": json.dumps({"request": {"user": {"username": "root"}}}), "signature": ""}}
    assert move(opened.connect(), opened, 8, forged).startswith("alice|{'region': 'emea'}|")


def test_one_notebook_at_the_root(tmp_path: Path) -> None:
    """``voila page.ipynb`` serves one page at ``/``."""
    write(tmp_path / "root" / "page.ipynb", WHO, SLIDER)
    with standalone(tmp_path, "page.ipynb") as server:
        opened = visit(server, "alice", region="emea")
        assert "<alice|{'region': 'emea'}|{}|run>" in opened.html
        assert move(opened.connect(), opened, 2).startswith("alice|{'region': 'emea'}|")


@pytest.mark.parametrize("token", ["", "the-token"])
def test_visitors_without_a_provider_keep_their_name(tmp_path: Path, token: str) -> None:
    """By default Voila admits every visitor, or those with its token: the page's cookie keeps the visitor's name."""
    write(tmp_path / "root" / "page.ipynb", WHO, SLIDER)
    config = LINES + f"c.Voila.token = {token!r}\n"
    with standalone(tmp_path, config=config, provider="") as server:
        names = set()
        for region in ("emea", "apac"):
            opened = visit(server, None, PAGE, region=region, token=token)
            shown = re.search(r"<(\w+)\|\{'region': '(\w+)'\}\|\{\}\|run>", opened.html)
            assert shown and shown[2] == region
            assert move(opened.connect(), opened, 2).startswith(f"{shown[1]}|{{'region': '{region}'}}|")
            names.add(shown[1])
        assert len(names) == 2


def test_progressive_rendering(tmp_path: Path) -> None:
    """Cells that a page has run over Voila's execution socket see that page's visitor."""
    write(tmp_path / "root" / "page.ipynb", WHO)
    with standalone(tmp_path, config=LINES + "c.VoilaConfiguration.progressive_rendering = True\n") as server:
        opened = visit(server, "alice", PAGE, region="emea")
        address = f"{server.url.replace('http', 'ws')}voila/execution/{opened.kernel_id}"
        socket = websocket.create_connection(
            address, cookie=opened.visitor.cookie_line(), origin=server.url.rstrip("/"), timeout=60
        )
        server.closing.callback(socket.shutdown)
        socket.send(json.dumps({"action": "execute", "payload": {"kernel_id": opened.kernel_id}}))
        while (message := json.loads(socket.recv()))["action"] != "execution_result":
            pass
        assert message["payload"]["output_cell"]["outputs"][0]["text"] == "<alice|{'region': 'emea'}|{}|run>\n"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (LINES.strip().splitlines()[0], "c.Voila.kernel_websocket_connection_class ="),
        (LINES + "c.VoilaConfiguration.preheat_kernel = True\n", "VoilaConfiguration.preheat_kernel runs cells before"),
        (LINES + "c.AppMetaExtension.cookies_alow = ['theme']\n", "did you mean 'cookies_allow'?"),
        (LINES + "c.AppMetaExtension.trusted_proxies = ['nowhere']\n", "AppMetaExtension.trusted_proxies"),
        (LINES + "c.AppMetaExtension.stamp_limit = 'much'\n", "stamp_limit"),
    ],
)
def test_half_a_configuration_does_not_start(tmp_path: Path, config: str, said: str) -> None:
    """One line without the other, cells that run before their visitor comes, and a wrong option stop Voila."""
    with pytest.raises(RuntimeError, match="the server ended with 1") as ended, standalone(tmp_path, config=config):
        pass
    last = str(ended.value).strip().splitlines()[-1]
    assert "jupyter-app-meta refuses to start." in last and said in last


def test_connection_without_its_manager_says_what_is_missing(tmp_path: Path) -> None:
    """The second line alone opens no connection, and the log has the first."""
    write(tmp_path / "root" / "page.ipynb", "print('a page')")
    with standalone(tmp_path, config=LINES.strip().splitlines()[1]) as server:
        opened = visit(server, "alice", PAGE)
        with pytest.raises(websocket.WebSocketBadStatusException):
            opened.connect()
        eventually(lambda: "c.VoilaConfiguration.multi_kernel_manager_class =" in server.log)


BROKEN = """import ipywidgets
from ipykernel.comm import Comm
secret = "hunter2-" + "password"
comm = Comm(target_name="quiet")
comm.on_msg(lambda message: int(secret))
broken = Comm(target_name="broken")
broken.on_msg(lambda message: message["absent"] + secret)
out = ipywidgets.Output()
display(out)
with out:
    print(secret, file=__import__("sys").stderr)
print("comms", comm.comm_id, broken.comm_id, out.comm.comm_id)"""


def test_errors_of_callbacks_stay_with_their_author(tmp_path: Path) -> None:
    """A visitor is told an id; the log has the traceback under it, and what a widget captured."""
    write(tmp_path / "root" / "page.ipynb", BROKEN)
    with standalone(tmp_path) as server:
        opened = visit(server, "alice", PAGE)
        found = re.search(r"comms (\w+) (\w+) (\w+)", opened.html)
        assert found
        socket = opened.connect()
        for comm_id in found.groups():
            data = {"method": "request_state"}
            msg_id = socket.send(socket.message("comm_msg", {"comm_id": comm_id, "data": data}))
            socket.until(lambda m, msg_id=msg_id: is_idle(m, msg_id))  # type: ignore[misc]  # mypy on defaults
        told = [m["content"]["evalue"] for m in socket.seen if m["header"]["msg_type"] == "error"]
        assert len(told) == 2 and "hunter2-password" not in str(socket.seen)
        for text in told:
            lines = [line for line in server.log.splitlines() if text[-8:-2] in line]
            assert any("for int() with base 10" in line or "absent" in line for line in lines)


def is_idle(message: dict[str, Any], msg_id: str) -> bool:
    """Whether a kernel has done with a message."""
    is_status = message["parent_header"].get("msg_id") == msg_id and message["header"]["msg_type"] == "status"
    return bool(is_status and message["content"]["execution_state"] == "idle")
