"""Cells that the server runs for who asks over HTTP: jupyter_server_nbmodel, alone and beside jupyter-collaboration."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import AWARE, TOKEN, WHO, Json, Result, Server, Socket, Visitor, eventually, serving

from conftest import PEOPLE

TOGETHER = Path(sys.prefix).with_name(f"{Path(sys.prefix).name}-together") / "bin" / "python"
NBMODEL = ("jupyter_server_nbmodel",)
BOTH = ("jupyter_server_ydoc", "jupyter_server_fileid", "jupyter_server_nbmodel")
UNKNOWN = "00000000-0000-0000-0000-000000000000"

OPTIONS = """
import asyncio, logging, pathlib
async def facts(request):
    if request.user and request.user.username == "slow":
        pathlib.Path("asked").touch()
        while not pathlib.Path("go").exists():
            await asyncio.sleep(0.01)
    if request.user and request.user.username == "mallory":
        raise RuntimeError("the hook is broken")
    return {"desk": request.user and request.user.username, "path": request.url.path}
c.AppMetaExtension.request_hook = facts
c.AppMetaExtension.cookies_allow = ["theme"]
c.AppMetaExtension.audit = True
"""

# Others that have the server run code: a page's renderer, a handler of some extension, its background tasks.
RUNNERS = '''
import asyncio
import json

from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.utils import ensure_async
from tornado.web import authenticated

later = {}


async def run(client, code):
    """Return what a cell prints."""
    texts = []
    def note(msg):
        texts.append(msg["content"].get("text", msg["content"].get("evalue", "")))
    await client.execute_interactive(code, output_hook=note, timeout=60)
    return "".join(texts)


async def run_alone(kernel, code):
    """Return what a cell prints that is run by a client of its own."""
    client = kernel.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        return await run(client, code)
    finally:
        client.stop_channels()


class Page(JupyterHandler):
    """Renders a page: one cell by its own client, which it keeps, and with which it runs the cell once more later."""

    @authenticated
    async def get(self):
        code = self.get_argument("code")
        kernel_id = await ensure_async(self.kernel_manager.start_kernel())
        client = self.kernel_manager.get_kernel(kernel_id).client()
        client.start_channels()
        await client.wait_for_ready(timeout=60)
        self.finish({"kernel": kernel_id, "text": await run(client, code)})
        await self.flush()
        later[kernel_id] = asyncio.create_task(self.again(client, code))

    async def again(self, client, code):
        try:
            return await run(client, code)
        finally:
            client.stop_channels()


class Runner(APIHandler):
    """Runs code by a client of its own, and once more later, by another."""

    @authenticated
    async def post(self, kernel_id):
        kernel = self.kernel_manager.get_kernel(kernel_id)
        code = self.get_json_body()["code"]
        text = await run_alone(kernel, code)
        later[kernel_id] = asyncio.create_task(run_alone(kernel, code))
        self.finish({"text": text})


class Later(APIHandler):
    """Tells what came of a background task."""

    @authenticated
    async def get(self, kernel_id):
        self.finish({"text": await later[kernel_id]})


def _jupyter_server_extension_points():
    return [{"module": "runners"}]


def _load_jupyter_server_extension(app):
    app.web_app.add_handlers(".*", [
        ("/test/page", Page), ("/test/run/([^/]+)", Runner), ("/test/later/([^/]+)", Later),
    ])
'''


@pytest.fixture(scope="module", params=[NBMODEL, BOTH], ids=["nbmodel", "collaboration"])
def names(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The server extensions beside ours."""
    names: tuple[str, ...] = request.param
    return names


def enabling(*names: str, ours: bool = True) -> str:
    """Return the lines of a config file that enable these server extensions, and ours or not."""
    return f"c.ServerApp.jpserver_extensions = {{'jupyter_app_meta': {ours}, **dict.fromkeys({names!r}, True)}}\n"


@pytest.fixture(scope="module")
def executor(names: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of several people that runs cells for who asks over HTTP."""
    home = tmp_path_factory.mktemp("together")
    (home / "runners.py").write_text(RUNNERS)
    config = f"sys.path.insert(0, {str(home)!r})\n{PEOPLE}{enabling(*names, 'runners')}{OPTIONS}"
    config += f"c.EventLogger.handlers = [logging.FileHandler({str(home / 'events')!r})]\n"
    with serving(home, config=config, token="", python=str(TOGETHER), debug=True) as server:
        yield server


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that runs cells for who asks, without us."""
    config = PEOPLE + enabling(*NBMODEL, ours=False)
    with serving(tmp_path_factory.mktemp("plain"), config=config, token="", python=str(TOGETHER)) as server:
        yield server


@pytest.fixture(scope="module")
def tokened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of one person, whom it knows by a token."""
    with serving(tmp_path_factory.mktemp("tokened"), config=enabling(*NBMODEL), python=str(TOGETHER)) as server:
        yield server


@pytest.fixture(scope="module")
def plain_kernel(plain: Server) -> str:
    """A kernel of the server without us."""
    return plain.visitor(cookies={"person": "alice"}).start_kernel()


@pytest.fixture(scope="module")
def tokened_kernel(tokened: Server) -> str:
    """A kernel of the owner's."""
    return tokened.visitor().start_kernel()


@pytest.fixture
def alice(executor: Server) -> Visitor:
    """Alice's browser."""
    return executor.visitor(cookies={"person": "alice", "theme": "dark", "mood": "good"})


@pytest.fixture
def bob(executor: Server) -> Visitor:
    """Bob's browser."""
    return executor.visitor(cookies={"person": "bob", "theme": "light"})


@pytest.fixture
def carol(executor: Server) -> Visitor:
    """Carol's browser."""
    return executor.visitor(cookies={"person": "carol"})


@pytest.fixture(scope="module")
def kernel(executor: Server) -> str:
    """A kernel that several tests use, whose worker and client were made for another person's first cell."""
    eve = executor.visitor(cookies={"person": "eve"})
    kernel = eve.start_kernel()
    assert who(eve, kernel)["user"]["username"] == "eve"
    return kernel


class Gate:
    """Lets a cell wait until the test says so."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.wait = f"import os, time\nwhile not os.path.exists({str(path)!r}): time.sleep(0.01)"

    def open(self) -> None:
        """Let the cell go on."""
        self._path.touch()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """A gate that is shut."""
    return Gate(tmp_path / "gate")


def ask(visitor: Visitor, kernel_id: str, code: str, **body: Any) -> str:
    """Ask for code to be run; return where its result will be."""
    response = visitor.call("POST", f"/api/kernels/{kernel_id}/execute", {"code": code, **body})
    assert response.status_code == 202, response.text
    return str(response.headers["Location"])


def poll(visitor: Visitor, location: str) -> httpx.Response:
    """Wait for a result, or for an input request."""
    deadline = time.monotonic() + 60
    while (response := visitor.http.get(location, follow_redirects=False)).status_code == 202:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return response


def printed(response: httpx.Response) -> str:
    """Return what a cell printed, or its error."""
    assert response.status_code == 200, response.text
    outputs = json.loads(response.json()["outputs"])
    return "".join(output.get("text", output.get("evalue", "")) for output in outputs)


def answer(visitor: Visitor, location: str) -> str:
    """Wait for a cell and return what it printed, or its error."""
    return printed(poll(visitor, location))


def who(visitor: Visitor, kernel_id: str, **body: Any) -> Json:
    """Return what a cell sees that this visitor asks for."""
    found: Json = json.loads(answer(visitor, ask(visitor, kernel_id, WHO, **body)))
    return found


def name(visitor: Visitor, kernel_id: str) -> str:
    """Return whom a cell sees that this visitor asks for."""
    return str(who(visitor, kernel_id)["user"]["username"])


def username_in(response: httpx.Response) -> str:
    """Return whom a cell saw that printed it."""
    return str(json.loads(printed(response))["user"]["username"])


def until(wanted: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + 60
    while not wanted():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_each_sees_themself(executor: Server, alice: Visitor, bob: Visitor) -> None:
    """Trap: the first one, or the last one. A cell sees the person who asked for it, with that person's cookies."""
    kernel = alice.start_kernel()
    for visitor, username, theme in [(alice, "alice", "dark"), (bob, "bob", "light")] * 2 + [(bob, "bob", "light")]:
        seen = who(visitor, kernel)
        assert (seen["user"]["username"], seen["user"]["assurance"], seen["mode"]) == (username, "provider", "edit")
        assert seen["cookies"] == {"theme": theme}
        assert "cookies.person" in seen["redacted"] and "headers.x-xsrftoken" in seen["redacted"]
        assert (seen["via"], seen["url"]) == ("socket", f"{executor.url}api/kernels/{kernel}/execute")
        assert seen["session"] == {"client_id": None, "session_id": None, "kernel_id": kernel, "path": None}
        assert visitor.connect(kernel).who()["user"]["username"] == username


def test_first_in_the_queue_is_not_everybody(kernel: str, alice: Visitor, bob: Visitor, gate: Gate) -> None:
    """Trap: a worker's context. Cells queued by both, before the first has run, keep their askers and their order."""
    locations = [(alice, "alice", ask(alice, kernel, f"order = []\n{gate.wait}\n{WHO}"))]
    for number, (visitor, username) in enumerate([(bob, "bob"), (alice, "alice"), (bob, "bob"), (bob, "bob")] * 3):
        locations.append((visitor, username, ask(visitor, kernel, f"order.append({number})\n{WHO}")))
    gate.open()
    for visitor, username, location in locations:
        assert json.loads(answer(visitor, location))["user"]["username"] == username
    assert answer(bob, ask(bob, kernel, "print(order)")) == f"{list(range(12))}\n"


def test_superseded_cell_is_not_run_for_another(kernel: str, alice: Visitor, bob: Visitor, gate: Gate) -> None:
    """Trap: a queue without duplicates. Of two requests for one cell the later one runs, for who asked for that one."""
    slow = [ask(alice, kernel, code) for code in (gate.wait, "0")]  # the queue is looked through after the second
    cells = [(visitor, ask(visitor, kernel, WHO, metadata={"cell_id": "c"})) for visitor in (alice, bob)]
    cells += [(visitor, ask(visitor, kernel, WHO, metadata={"cell_id": "d"})) for visitor in (bob, alice)]
    gate.open()
    assert [answer(alice, location) for location in slow] == ["", ""]
    ends = [poll(visitor, location) for visitor, location in cells]
    assert [end.status_code for end in ends] == [500, 200, 500, 200]
    assert [username_in(ends[1]), username_in(ends[3])] == ["bob", "alice"]


def test_cells_after_a_cancelled_queue(kernel: str, alice: Visitor, bob: Visitor, gate: Gate) -> None:
    """An error of one cancels what all have queued, as without us; what is asked for later has its own asker."""
    failing = ask(alice, kernel, f"{gate.wait}\n1 / 0")
    cancelled = ask(bob, kernel, WHO)
    gate.open()
    assert "division by zero" in answer(alice, failing)
    assert poll(bob, cancelled).status_code == 500
    assert [name(visitor, kernel) for visitor in (bob, alice)] == ["bob", "alice"]


def test_beside_a_socket(kernel: str, alice: Visitor, bob: Visitor, carol: Visitor, gate: Gate) -> None:
    """Cells that carol sends over her socket are hers, even if others' cells run in between."""
    socket = carol.connect(kernel)
    slow = ask(alice, kernel, gate.wait)
    content = {"code": WHO, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
    sent, asked = [], []
    for visitor in (alice, bob) * 3:
        sent.append(socket.send(socket.message("execute_request", content)))
        asked.append((visitor, ask(visitor, kernel, WHO)))
    gate.open()
    assert answer(alice, slow) == ""
    assert [json.loads(text)["user"]["username"] for text in texts(socket, sent)] == ["carol"] * 6
    answers = [json.loads(answer(visitor, location)) for visitor, location in asked]
    assert [seen["user"]["username"] for seen in answers] == ["alice", "bob"] * 3
    assert {seen["session"]["client_id"] for seen in answers} == {None}


def texts(socket: Socket, msg_ids: list[str]) -> list[str]:
    """Wait for several cells that were sent, and return what each printed."""
    of = {msg_id: Result([]) for msg_id in msg_ids}
    idle: set[str] = set()
    while idle != set(msg_ids):
        message = socket.receive()
        msg_id = message["parent_header"].get("msg_id")
        if msg_id in of:
            of[msg_id].messages.append(message)
            if message["content"].get("execution_state") == "idle":
                idle.add(msg_id)
    return [of[msg_id].text for msg_id in msg_ids]


LISTENERS = """
import json, psutil
from ipykernel.connect import get_connection_file
file = json.load(open(get_connection_file()))
place = f"{file['ip']}-{file['iopub_port']}" if file["transport"] == "ipc" else (file["ip"], file["iopub_port"])
print([each.laddr for each in psutil.Process().net_connections("all")].count(place))"""
"""A cell that prints how many clients are connected to what its kernel publishes."""


def test_after_a_restart(alice: Visitor, bob: Visitor) -> None:
    """A restarted kernel has the same worker and client, and still knows who asks."""
    kernel = alice.start_kernel()
    assert name(alice, kernel) == "alice"
    hers = alice.connect(kernel)
    listeners = int(hers.run(LISTENERS).text)
    alice.call("POST", f"/api/kernels/{kernel}/restart").raise_for_status()
    # A cell whose end the worker's client misses, as it is not connected anew yet, would be waited for without end.
    again = alice.connect(kernel)
    eventually(lambda: int(again.run(LISTENERS).text) > listeners)
    until(lambda: answer(alice, ask(alice, kernel, "print('ready')")) == "ready\n")
    assert [name(visitor, kernel) for visitor in (bob, alice, bob)] == ["bob", "alice", "bob"]


def test_input_by_another(kernel: str, alice: Visitor, bob: Visitor) -> None:
    """A cell stays its asker's when another person answers its question."""
    location = ask(alice, kernel, f"given = input('?')\n{WHO}")
    assert poll(alice, location).status_code == 300
    queued = ask(bob, kernel, f"assert given == 'from bob'\n{WHO}")
    assert bob.call("POST", f"/api/kernels/{kernel}/input", {"input": "from bob"}).status_code == 201
    assert json.loads(answer(alice, location))["user"]["username"] == "alice"
    assert json.loads(answer(bob, queued))["user"]["username"] == "bob"


STARTING = """
import asyncio, json, threading
from jupyter_app_meta import app_meta
gate, go, seen = asyncio.Event(), threading.Event(), {}
def note(what):
    seen[what] = app_meta().user and app_meta().user.username
async def later():
    await gate.wait()
    note("task")
def work():
    go.wait(30)
    note("thread")
task = asyncio.get_running_loop().create_task(later())
thread = threading.Thread(target=work)
thread.start()
"""


def test_what_a_cell_starts_is_its_askers(kernel: str, alice: Visitor, bob: Visitor) -> None:
    """A task and a thread that alice's cell starts are hers, also while bob's cell runs."""
    assert answer(alice, ask(alice, kernel, STARTING)) == ""
    code = "gate.set(); go.set(); await task; thread.join(); note('cell'); print(json.dumps(seen))"
    assert json.loads(answer(bob, ask(bob, kernel, code))) == {"task": "alice", "thread": "alice", "cell": "bob"}


WIDGET = """
import json
from ipywidgets import IntSlider
from jupyter_app_meta import app_meta
moved = []
def note(change):
    moved.append([change.new, app_meta().user and app_meta().user.username])
slider = IntSlider()
slider.observe(note, "value")
print(slider.comm.comm_id)
"""


def test_callback_sees_who_caused_it(kernel: str, alice: Visitor, bob: Visitor, carol: Visitor) -> None:
    """A callback of a widget of alice's cell sees the person who moves the widget, over a socket or by a cell."""
    comm_id = answer(alice, ask(alice, kernel, WIDGET)).strip()
    socket = carol.connect(kernel)
    data = {"method": "update", "state": {"value": 1}, "buffer_paths": []}
    moved = socket.send(socket.message("comm_msg", {"comm_id": comm_id, "data": data}))
    socket.until(
        lambda got: got["parent_header"].get("msg_id") == moved and got["content"].get("execution_state") == "idle"
    )
    for visitor, value in ((bob, 2), (alice, 3)):
        answer(visitor, ask(visitor, kernel, f"slider.value = {value}"))
    seen = json.loads(answer(bob, ask(bob, kernel, "print(json.dumps(moved))")))
    assert seen == [[1, "carol"], [2, "bob"], [3, "alice"]]


STAMP = (
    "parent = get_ipython().kernel.get_parent()\n"
    "print(json.dumps([parent['header']['msg_id'], parent['metadata']['app_meta']]))"
)


def test_forgeries_are_not_believed(kernel: str, alice: Visitor, bob: Visitor) -> None:
    """Nothing in a request's body, query or headers makes it another person's, or another kernel's."""
    msg_id, stolen = json.loads(answer(alice, ask(alice, kernel, f"import json\n{STAMP}")))
    other = next(model["id"] for model in alice.get("/api/kernels").json() if model["id"] != kernel)
    bodies: list[Json] = [
        {"metadata": {"app_meta": stolen, "username": "alice", "kernel_id": other, "msg_id": msg_id}},
        {"app_meta": stolen, "user": "alice", "username": "alice", "kernel_id": other, "stamps": stolen},
        {"header": {"username": "alice", "msg_id": msg_id}, "parent_header": {"username": "alice"}},
        {"content": {"code": WHO, "stamps": stolen}, "session": "alice", "client_id": "alice"},
    ]
    headers = {"X-Forwarded-User": "alice", "Remote-User": "alice", "X-Real-IP": "203.0.113.7"}
    for body in bodies:
        path = f"/api/kernels/{kernel}/execute?username=alice&kernel_id={other}&session_id=alice"
        response = bob.call("POST", path, {"code": WHO, **body}, headers=headers)
        seen = json.loads(answer(bob, response.headers["Location"]))
        assert seen["user"]["username"] == "bob"
        assert seen["session"] == {"client_id": None, "session_id": None, "kernel_id": kernel, "path": None}
        assert not set(seen["headers"]) & {"x-forwarded-user", "remote-user", "x-real-ip"}
    socket = bob.connect(kernel)
    assert socket.who(metadata={"app_meta": stolen}, msg_id=msg_id)["user"]["username"] == "bob"


ODD = [
    *[b"", b"not json", b"null", b"5", b"[]", b'"text"', b"{}", b"\xff\xfe", b'{"code"', b"[" * 100_000],
    *[b'{"code": null}', b'{"code": 5}', b'{"code": ["print(1)"]}', b'{"code": {"stamps": 1}}', b'{"code": ""}'],
    *[b'{"code": "\\ud800"}', b'{"code": "print(1)\\u0000"}', b'{"code": 5, "code": "print(2)"}', b'{"code": true}'],
    *[b'{"code": "1/0"}', b'{"code": "print(1)", "metadata": null}', b'{"code": "print(1)", "metadata": []}'],
    *[b'{"code": "print(1)", "metadata": "text"}', b'{"code": "print(1)", "metadata": {"app_meta": {"v": "1.0"}}}'],
    *[b'{"code": "print(1)", "metadata": {"cell_id": 5}}', b'{"code": "print(1)", "metadata": {"cell_id": "c"}}'],
    *[b'{"code": "1", "server": 5}', b'{"code": "1", "server": {}}', b'{"code": "1", "server": {"url": "ftp://h"}}'],
]


def outcome(visitor: Visitor, kernel_id: str, body: bytes) -> tuple[Any, ...]:
    """Return what comes of a body: the statuses, and the output or the reason."""
    visitor.get("/login")  # the browser has its XSRF cookie then
    headers = {"X-XSRFToken": str(visitor.http.cookies.get("_xsrf")), "Content-Type": "application/json"}
    response = visitor.http.post(f"/api/kernels/{kernel_id}/execute", content=body, headers=headers)
    if "application/json" not in response.headers["Content-Type"]:
        return response.status_code, response.headers["Content-Type"]
    if response.status_code != 202:
        return response.status_code, response.json().get("message"), response.json().get("reason")
    end = poll(visitor, response.headers["Location"])
    outputs = json.loads(end.json().get("outputs", "[]"))
    text = "".join(output.get("text", output.get("ename", "")) for output in outputs)
    return 202, end.status_code, end.json().get("error"), text


def test_odd_bodies_end_as_without_us(executor: Server, plain: Server, plain_kernel: str, alice: Visitor) -> None:
    """Every request gets the same answer as on a server on which we are disabled."""
    other = plain.visitor(cookies={"person": "alice"})
    ours, theirs = alice.start_kernel(), plain_kernel
    for body in ODD:
        assert outcome(alice, ours, body) == outcome(other, theirs, body), body[:80]
    for kernel_id in (UNKNOWN, "no-kernel", "%00", "a-b-c-d-e"):
        assert outcome(alice, kernel_id, b'{"code": "1"}') == outcome(other, kernel_id, b'{"code": "1"}'), kernel_id
    for method in ("GET", "OPTIONS", "PUT", "PATCH", "DELETE", "HEAD"):
        answers = [
            visitor.call(method, f"/api/kernels/{kernel}/execute")
            for visitor, kernel in ((alice, ours), (other, theirs))
        ]
        assert answers[0].status_code == answers[1].status_code, method
    assert "a connection goes unstamped" not in executor.log
    assert name(alice, ours) == "alice"


def test_strangers_are_refused_as_without_us(executor: Server, plain: Server, kernel: str, plain_kernel: str) -> None:
    """A client that is not logged in, or shows no XSRF token, cannot ask for anything."""
    refused = []
    for at, kernel_id in ((executor, kernel), (plain, plain_kernel)):
        stranger, hasty = at.visitor(), at.visitor(cookies={"person": "alice"})
        path, body = f"/api/kernels/{kernel_id}/execute", {"code": "leak = 1"}
        answers = [stranger.call("POST", path, body), stranger.get(path), hasty.http.post(path, json=body)]
        refused.append([(response.status_code, response.json()["message"]) for response in answers])
    assert refused[0] == refused[1]
    assert [status for status, _ in refused[0]] == [403, 403, 403]
    eve = executor.visitor(cookies={"person": "eve"})
    assert "NameError" in poll(eve, ask(eve, kernel, "leak")).json()["outputs"]


def test_remote_server_is_told_nothing(executor: Server, tokened: Server, tokened_kernel: str, alice: Visitor) -> None:
    """A cell that is sent on to a remote server is there of who holds the token that it is sent with, not of alice."""
    seen = who(alice, tokened_kernel, server={"url": tokened.url, "token": TOKEN})
    assert seen["user"]["assurance"] == "shared-secret"
    assert seen["user"]["username"] != "alice" and "theme" not in seen["cookies"]
    assert executor.url not in json.dumps(seen)


def test_page_of_the_session(executor: Server, alice: Visitor, bob: Visitor) -> None:
    """The person who opened the notebook's session from its page has that page and its query; others do not."""
    page = f"{executor.url}notebooks/sales.ipynb?region=emea&token=CANARY"
    body = {"path": "sales.ipynb", "type": "notebook", "name": "", "kernel": {"name": AWARE}}
    session = alice.call("POST", "/api/sessions", body, headers={"Referer": page}).json()
    kernel = session["kernel"]["id"]
    expected = {"client_id": None, "session_id": session["id"], "kernel_id": kernel, "path": "sales.ipynb"}
    socket = alice.connect(kernel)
    for visitor, via, query in ((alice, "page", {"region": "emea"}), (bob, "socket", {})):
        seen = who(visitor, kernel)
        assert (seen["via"], seen["query"], seen["session"], seen["mode"]) == (via, query, expected, "edit")
    assert who(alice, kernel)["url"] == f"{executor.url}notebooks/sales.ipynb?region=emea"
    socket.close()
    assert who(alice, kernel)["via"] == "page"  # a tab that lost its connection may come back


def test_renderer_and_other_clients(alice: Visitor, bob: Visitor) -> None:
    """A page's own cells see its visitor; its client's later messages, and other extensions' cells, see no request."""
    rendered = alice.get("/test/page", params={"code": WHO}).json()
    kernel, seen = rendered["kernel"], json.loads(rendered["text"])
    assert (seen["user"]["username"], seen["mode"], seen["via"]) == ("alice", "run", "page")
    assert json.loads(bob.get(f"/test/later/{kernel}").json()["text"])["user"] is None
    for text in run_by_another_extension(alice, kernel, WHO):
        assert (json.loads(text)["user"], json.loads(text)["mode"]) == (None, "script")
    for visitor, username, via in ((bob, "bob", "socket"), (alice, "alice", "page")):
        seen = who(visitor, kernel)
        assert (seen["user"]["username"], seen["via"]) == (username, via)


def run_by_another_extension(visitor: Visitor, kernel_id: str, code: str) -> list[str]:
    """Return what a cell prints that a handler runs for itself, and then a background task."""
    ran = visitor.call("POST", f"/test/run/{kernel_id}", {"code": code}).json()
    return [ran["text"], visitor.get(f"/test/later/{kernel_id}").json()["text"]]


META = "from jupyter_app_meta import app_meta; import json; print(json.dumps(dict(app_meta().request.meta)))"


def test_request_hook(executor: Server, kernel: str, alice: Visitor, bob: Visitor) -> None:
    """The deployer's own fields are those of who asks; a hook that raises gives none, and a warning."""
    for visitor, username in ((alice, "alice"), (bob, "bob"), (alice, "alice")):
        path = f"/api/kernels/{kernel}/execute"
        assert json.loads(answer(visitor, ask(visitor, kernel, META))) == {"desk": username, "path": path}
    mallory = executor.visitor(cookies={"person": "mallory"})
    assert answer(mallory, ask(mallory, kernel, META)) == "{}\n"
    assert executor.log.count("facts raised RuntimeError.") == 1
    assert name(mallory, kernel) == "mallory"


def test_slow_hook_changes_no_order(executor: Server, kernel: str, bob: Visitor) -> None:
    """The first request runs first, even if the deployer's function takes long for it; others wait their turn."""
    slow = executor.visitor(cookies={"person": "slow"})
    root = executor.home / "root"
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, slow, kernel, "order = ['slow']")
        until((root / "asked").exists)
        second = pool.submit(ask, bob, kernel, "order.append('bob'); print(order)")
        assert not wait([second], timeout=1).done
        (root / "go").touch()
        assert answer(slow, first.result()) == ""
        assert answer(bob, second.result()) == "['slow', 'bob']\n"


def events(executor: Server, kernel_id: str) -> list[Json]:
    """Return what the audit wrote of a kernel."""
    lines = map(json.loads, (executor.home / "events").read_text().splitlines())
    return [line for line in lines if line["kernel_id"] == kernel_id and "app_meta" in line["__schema__"]]


def test_audit(executor: Server, alice: Visitor, bob: Visitor) -> None:
    """Each requested cell is one event of the person who asked, without the code; other cells have no user."""
    body = {"path": "books.ipynb", "type": "notebook", "name": "", "kernel": {"name": AWARE}}
    kernel = alice.call("POST", "/api/sessions", body).json()["kernel"]["id"]
    for text in run_by_another_extension(bob, kernel, f"'CANARY'\n{WHO}"):
        assert (json.loads(text)["user"], json.loads(text)["mode"]) == (None, "script")
    for visitor in (alice, bob, bob):
        answer(visitor, ask(visitor, kernel, "print('CANARY')"))
    socket = alice.connect(kernel)
    socket.run("'CANARY'")
    unasked, written = events(executor, kernel)[:2], events(executor, kernel)[2:]
    assert [(event["username"], event["kind"], event["assurance"]) for event in unasked] == [(None, None, None)] * 2
    assert [event["username"] for event in written] == ["alice", "bob", "bob", "alice"]
    assert len({event["msg_id"] for event in written}) == 4
    for event in written:
        assert (event["action"], event["msg_type"], event["path"]) == ("cell", "execute_request", "books.ipynb")
        assert (event["kind"], event["assurance"]) == ("user", "provider")
    assert "CANARY" not in (executor.home / "events").read_text()


def test_token_and_logout(tokened: Server, tokened_kernel: str) -> None:
    """A client with the token, in a cookie or header, is the owner; after a logout it cannot ask, as without us."""
    owner = tokened.visitor(cookies={"theme": "dark"})
    bearer = tokened.visitor(token=False, headers={"Authorization": f"token {TOKEN}"})
    for visitor, cookies in ((owner, {"theme": "dark"}), (bearer, {})):
        seen = who(visitor, tokened_kernel)
        assert (seen["user"]["assurance"], seen["user"]["is_owner"]) == ("shared-secret", True)
        assert seen["cookies"] == cookies
        assert TOKEN not in json.dumps(seen)
        assert ("headers.authorization" in seen["redacted"]) is (visitor is bearer)
    forger = tokened.visitor(token=False, headers={"Authorization": "token wrong"})
    owner.get("/logout")
    for visitor in (owner, forger):
        assert visitor.call("POST", f"/api/kernels/{tokened_kernel}/execute", {"code": "1"}).status_code == 403


def test_authentication_off(tmp_path: Path) -> None:
    """If authentication is off, the person who asks is an anonymous user."""
    with serving(tmp_path, config=enabling(*NBMODEL), token="", python=str(TOGETHER)) as server:
        visitor = server.visitor()
        user = who(visitor, visitor.start_kernel())["user"]
        assert (user["kind"], user["assurance"], user["is_authenticated"]) == ("anonymous", "none", False)
