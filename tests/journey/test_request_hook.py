"""``request_hook``: the deployer's own fields on each connection, and none of another connection's."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import Json, Server, Socket, Visitor, _environment, python_path, serving, without_kernels

SECRET = "CANARY-of-the-deployer"

DEPLOYER = f"""
import asyncio, contextlib, json, math
from itertools import count

SECRET = {SECRET!r}
KEPT = {{"list": [1], "text": "as it was"}}
calls = count(1)

def hook(request):
    "Answer, or not, as the query of the connection asks."
    return globals()[request.query_params.get("do", "plain")](request)

def plain(request):
    query = request.query_params
    return {{"who": request.user and request.user.username, "tab": query.get("tab"), "deep": [{{"a": [None, 1.5]}}]}}

async def later(request):
    await asyncio.sleep(0.01)
    return plain(request)

def counted(request): return {{"call": next(calls)}}

def shown(request):
    facts = {{"query": dict(request.query_params), "headers": dict(request.headers.items()), "via": request.via}}
    facts |= {{"user": request.user, "cookies": dict(request.cookies), "url": str(request.url)}}
    facts |= {{"redacted": list(request.redacted), "repr": repr(request), "all": str(dict(request))}}
    with open("shown.json", "w") as file:
        json.dump(facts, file)
    return {{"path": request.url.path}}

# Values that are not a dict of JSON values, or are too large.
def nothing(request): return None
def text(request): return SECRET
def a_list(request): return [SECRET]
def nan(request): return {{"a": math.nan}}
def a_set(request): return {{"a": {{SECRET}}}}
def some_bytes(request): return {{"a": SECRET.encode()}}
def an_object(request): return {{"a": request}}
def keys(request): return {{1: SECRET}}
def itself(request):
    endless = {{}}
    endless["self"] = endless
    return endless
def deep(request):
    value = SECRET
    for _ in range(900):
        value = [value]
    return {{"a": value}}
def generator(request): yield {{"a": SECRET}}
async def async_generator(request): yield {{"a": SECRET}}
def too_much(request): return {{"a": "x" * 4088}}
def just_enough(request): return {{"a": "x" * 4087}}

# What does not answer at all.
def raises(request): raise RuntimeError(SECRET)
async def raises_later(request): raise RuntimeError(SECRET)
def exits(request): raise SystemExit(SECRET)
async def exits_later(request): raise SystemExit(SECRET)
def cancels(request): raise asyncio.CancelledError(SECRET)
async def cancels_later(request): raise asyncio.CancelledError(SECRET)
async def cancels_itself(request):
    task = asyncio.create_task(asyncio.sleep(60))
    task.cancel()
    await task
async def hangs(request):
    open("hanging", "w").close()
    await asyncio.Event().wait()

# What tries to change something.
def kept(request): return KEPT
def spoils(request):
    KEPT["list"].append(2)
    KEPT["text"] = SECRET
    return {{}}
def changes_user(request): request.user["username"] = SECRET
def changes_field(request): request.user = None
def changes_meta(request): request.meta["a"] = SECRET
def changes_headers(request): request.headers["accept"] = SECRET
def forces(request):
    dict.__setitem__(request.user, "username", SECRET)
    for name in ("user", "url", "meta", "headers", "query_params"):
        object.__setattr__(request, name, None)
    return {{}}
"""

OPTIONS = """
c.ServerApp.identity_provider_class = 'providers.People'
c.AppMetaExtension.request_hook = 'deployer:hook'
c.AppMetaExtension.cookies_allow = ['theme']
"""

META = (
    "import json; from jupyter_app_meta import app_meta; m = app_meta(); r = m.request\n"
    "print(json.dumps([r and dict(r.meta), m.user and m.user.username, m.mode], default=dict))"
)
"""A cell that prints its request's fields, its user, and its mode."""


def environment(home: Path, **modules: str) -> dict[str, str]:
    """Write modules of the deployer's own, and return the environment in which a server finds them."""
    for name, source in modules.items():
        (home / f"{name}.py").write_text(source)
    return {"PYTHONPATH": python_path(home)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of several people whose function is named in the configuration."""
    home = tmp_path_factory.mktemp("hook")
    with serving(home, config=OPTIONS, token="", env=environment(home, deployer=DEPLOYER)) as server:
        yield server


@pytest.fixture(scope="module")
def kernel(server: Server) -> str:
    """A kernel that everybody uses."""
    return person(server, "alice").start_kernel()


def person(server: Server, name: str) -> Visitor:
    """Return a person's browser."""
    return server.visitor(cookies={"person": name})


def connect(server: Server, kernel: str, name: str = "alice", do: str = "plain", **options: str) -> Socket:
    """Connect as this person, so that the function does what is asked of it."""
    query = "".join(f"&{key}={value}" for key, value in {"do": do, **options}.items())
    return person(server, name).connect(kernel, query=query)


def seen(socket: Socket) -> tuple[Json, str, str]:
    """Return the fields, the user and the mode that a cell of this connection sees."""
    meta, username, mode = json.loads(socket.run(META).text)
    return meta, username, mode


def warnings(log: str) -> list[str]:
    """Return what a log says of the function, and of connections without a stamp."""
    return re.findall(r"hook .*|.*unstamped.*|.*Uncaught.*|.*Traceback.*", without_kernels(log))


# --- who sees what ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("do", ["plain", "later"])
def test_fields_reach_the_cells_of_a_connection(server: Server, kernel: str, do: str) -> None:
    """A plain or an async function that the configuration names adds its fields; a notebook's mode is ``edit``."""
    fields = {"who": "alice", "tab": "1", "deep": [{"a": [None, 1.5]}]}
    assert seen(connect(server, kernel, do=do, tab="1")) == (fields, "alice", "edit")


def test_each_connection_has_its_own(server: Server, kernel: str) -> None:
    """Two people, and two tabs of one of them, on one kernel, in turn: each cell sees the fields of its own tab."""
    tabs = {(name, tab): connect(server, kernel, name, tab=tab) for name, tab in ("a1", "a2", "b1", "b2")}
    for _ in range(3):
        for (name, tab), socket in tabs.items():
            meta, username, _ = seen(socket)
            assert (meta["who"], username, meta["tab"]) == (name, name, tab)


def test_function_is_asked_once_a_connection(server: Server, kernel: str) -> None:
    """It is asked at the handshake, not for each message, and anew when the same tab connects again."""
    socket = connect(server, kernel, do="counted")
    calls = [seen(socket)[0]["call"] for _ in range(3)]
    socket.close()
    again = person(server, "alice").connect(kernel, socket.session_id, query="&do=counted")
    assert [*calls, seen(again)[0]["call"]] == [calls[0]] * 3 + [calls[0] + 1]


def test_function_sees_what_kernels_see(server: Server, kernel: str) -> None:
    """It is shown what the policy lets through, and of what is withheld no more than the names."""
    headers = {"Authorization": f"Bearer {SECRET}", "X-Api-Key": SECRET, "Accept-Language": "de"}
    cookies = {"person": "alice", "theme": "dark", "sid": SECRET, "other": SECRET}
    visitor = server.visitor(cookies=cookies, headers=headers)
    socket = visitor.connect(kernel, query=f"&do=shown&region=emea&token={SECRET}&code={SECRET}")
    told = json.loads((server.home / "root" / "shown.json").read_text())
    assert (told["user"]["username"], told["query"]) == ("alice", {"do": "shown", "region": "emea"})
    assert (told["cookies"], told["headers"]["accept-language"]) == ({"theme": "dark"}, "de")
    assert {"headers.authorization", "query.token", "cookies.sid"} <= set(told["redacted"])
    cell = socket.who()
    assert {name: told[name] for name in told.keys() & cell.keys()} == {
        name: cell[name] for name in told.keys() & cell.keys()
    }
    assert SECRET not in json.dumps(told)


def test_function_sees_the_page_where_it_is_known(server: Server) -> None:
    """Where the connection's page is known, the function is shown that page's address and query."""
    visitor = person(server, "alice")
    body = {"path": "a.ipynb", "type": "notebook", "name": "", "kernel": {"name": "app-meta-test"}}
    page = f"{server.url}lab/tree/a.ipynb?region=emea&do=shown"
    model = visitor.call("POST", "/api/sessions", body, headers={"Referer": page}).json()
    assert seen(visitor.connect(model["kernel"]["id"]))[0] == {"path": "/lab/tree/a.ipynb"}
    told = json.loads((server.home / "root" / "shown.json").read_text())
    assert (told["via"], told["query"]["region"]) == ("page", "emea")


COMM = """
import json, comm
from jupyter_app_meta import app_meta
heard = []
the_comm = comm.create_comm(target_name="test", comm_id={name!r})
comm.get_comm_manager().register_comm(the_comm)
the_comm.on_msg(lambda message: heard.append(dict(app_meta().request.meta)))
"""


def test_callbacks_have_the_fields(server: Server, kernel: str) -> None:
    """A callback sees the fields of the connection that caused it."""
    sockets = {name: connect(server, kernel, name, tab="t") for name in ("alice", "bob")}
    comm_id = uuid.uuid4().hex
    sockets["alice"].run(COMM.format(name=comm_id))
    for name in ("bob", "alice", "bob"):
        message = sockets[name].message("comm_msg", {"comm_id": comm_id, "data": {}})
        sockets[name].send(message)
        sockets[name].until(
            lambda got, wanted=message["header"]["msg_id"]: (  # type: ignore[misc]  # a default binds it in the loop
                got["parent_header"].get("msg_id") == wanted and got["content"].get("execution_state") == "idle"
            )
        )
    heard = json.loads(sockets["alice"].run("print(json.dumps([meta['who'] for meta in heard]))").text)
    assert heard == ["bob", "alice", "bob"]


def test_fields_stay_after_a_kernels_restart(server: Server) -> None:
    """The same connection to the kernel's next process has the same fields."""
    visitor = person(server, "alice")
    kernel = visitor.start_kernel()
    socket = visitor.connect(kernel, query="&do=counted")
    before = seen(socket)
    socket.run("mark = 1")
    visitor.call("POST", f"/api/kernels/{kernel}/restart").raise_for_status()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            # What is sent while there is no kernel may be lost, with us or without.
            if "NameError" in socket.run("mark", timeout=3).text:
                break
        except TimeoutError:
            continue
    assert seen(socket) == before


# --- answers that are none -------------------------------------------------------------------------------------------

NO_DICT = ("nothing", "text", "a_list", "nan", "a_set", "some_bytes", "an_object", "keys", "itself", "deep")
SAYS = {
    **dict.fromkeys((*NO_DICT, "generator", "async_generator"), "did not return a dict of JSON values"),
    "too_much": "returned more than 4096 bytes",
    "raises": "raised RuntimeError",
    "raises_later": "raised RuntimeError",
    "exits": "raised SystemExit",
    "exits_later": "raised SystemExit",
    **dict.fromkeys(("cancels", "cancels_later", "cancels_itself"), "raised CancelledError"),
    **dict.fromkeys(("changes_user", "changes_meta", "changes_headers"), "raised TypeError"),
    "changes_field": "raised FrozenInstanceError",
}


@pytest.mark.parametrize("do", SAYS)
def test_connection_without_an_answer_has_no_fields(server: Server, kernel: str, do: str) -> None:
    """Any error costs that connection its fields: its user stays, and one warning has nothing of the error's text."""
    before = len(server.log)
    socket = connect(server, kernel, do=do)
    assert seen(socket) == ({}, "alice", "edit")
    log = server.log[before:]
    assert len(warnings(log)) == 1 and f"hook {SAYS[do]}" in warnings(log)[0]
    assert SECRET not in log
    assert seen(connect(server, kernel, "bob", tab="1"))[0]["who"] == "bob"


def test_as_much_as_is_allowed_is_taken(server: Server, kernel: str) -> None:
    """4096 bytes of JSON are taken whole, and nothing is said."""
    before = len(server.log)
    assert seen(connect(server, kernel, do="just_enough")) == ({"a": "x" * 4087}, "alice", "edit")
    assert warnings(server.log[before:]) == []


def test_answer_that_is_changed_later_stays_as_it_was(server: Server) -> None:
    """What a connection was given is its own, also when its stamps are made anew."""
    visitor = person(server, "alice")
    body = {"path": "b.ipynb", "type": "notebook", "name": "", "kernel": {"name": "app-meta-test"}}
    model = visitor.call("POST", "/api/sessions", body).json()
    kernel = model["kernel"]["id"]
    socket = visitor.connect(kernel, query="&do=kept")
    first = seen(socket)[0]
    connect(server, kernel, "bob", do="spoils")
    visitor.call("PATCH", f"/api/sessions/{model['id']}", {"path": "c.ipynb"}).raise_for_status()
    assert socket.who()["session"]["path"] == "c.ipynb"
    assert seen(socket)[0] == first == {"list": [1], "text": "as it was"}


def test_request_cannot_be_changed_by_force(server: Server, kernel: str) -> None:
    """The request that the function is shown is a value of its own: what is done to it reaches no kernel."""
    cell = connect(server, kernel, do="forces", tab="7").who()
    assert (cell["user"]["username"], cell["query"]["tab"]) == ("alice", "7")
    assert SECRET not in json.dumps(cell)


def test_endless_call_delays_its_own_connection_alone(server: Server, kernel: str) -> None:
    """While a call hangs, others open connections and run cells; after five seconds its own opens, without fields."""
    open_already, before = connect(server, kernel, "bob", tab="1"), len(server.log)
    begun = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(connect, server, kernel, "alice", "hangs")
        hanging = server.home / "root" / "hanging"
        while not hanging.exists() and not waiting.done():
            time.sleep(0.01)
        assert seen(open_already)[0]["who"] == "bob"
        assert seen(connect(server, kernel, "carol", do="later", tab="1"))[0]["who"] == "carol"
        assert not waiting.done()
        assert seen(waiting.result(60)) == ({}, "alice", "edit")
    assert time.monotonic() - begun >= 5
    assert [line.partition("hook ")[2] for line in warnings(server.log[before:])] == ["raised TimeoutError."]


# --- the option ------------------------------------------------------------------------------------------------------

WRONG = {
    "'absent_module:hook'": "'absent_module:hook' cannot be imported (ModuleNotFoundError",
    "'script:main'": "'script:main' cannot be imported (SystemExit",
}


def refused(home: Path, value: str) -> subprocess.CompletedProcess[str]:
    """Start a server with this value, which it is to refuse; return how it ended."""
    (home / "config").mkdir(parents=True)
    lines = ("c.ServerApp.jpserver_extensions = {'jupyter_app_meta': True}", "c.ServerApp.allow_root = True")
    text = "\n".join([*lines, f"c.AppMetaExtension.request_hook = {value}"])
    (home / "config" / "jupyter_server_config.py").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "jupyter_server", "--no-browser", "--port=0"],
        env=_environment(home, environment(home, script="raise SystemExit")),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_wrong_value_stops_the_server(tmp_path: Path) -> None:
    """A value that is not a function stops the server at its start, and the option is named."""
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(lambda item: refused(tmp_path / str(item[0]), item[1]), enumerate(WRONG)))
    for done, says in zip(ended, WRONG.values(), strict=True):
        last = done.stderr.strip().splitlines()[-1]
        assert done.returncode == 1, last
        assert "jupyter-app-meta refuses to start. " in last and "request_hook" in last and says in last
        assert "Traceback" not in done.stderr
