"""What one person may try against another, and what a server must bear, on one server of several people.

The server loads this very module too: for the authorizer, and for what is counted inside of it.
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import websocket
from harness import AWARE, Json, Server, Socket, Visitor, eventually, kernelspec, serving
from jupyter_server.auth import Authorizer
from jupyter_server.base.handlers import JupyterHandler
from tornado import web

from conftest import PEOPLE

CONNECTS, BATCH = 300, 50
COUNTING = "c.ServerApp.jpserver_extensions = {'jupyter_app_meta': True, 'test_cases': True}\n"
CONFIG = "c.ServerApp.authorizer_class = 'test_cases.WithoutEve'\nc.MappingKernelManager.kernel_info_timeout = 12\n"
NAMES = "c.PasswordIdentityProvider.updatable_fields = ['name', 'display_name', 'initials', 'color']\n"
STAMP = "import json; print(json.dumps(get_ipython().kernel.get_parent()['metadata']['app_meta']))"
FORGED = {"v": "1.0", "payload": json.dumps({"request": {"user": {"username": "alice"}}}), "mac": "0" * 64}


class WithoutEve(Authorizer):
    """Everybody may do everything, but Eve may not execute."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        """Whether a person may do this."""
        return not (user.username == "eve" and action == "execute")


class Counts(JupyterHandler):
    """Tells what the server holds."""

    @web.authenticated
    def get(self) -> None:
        """Answer with the kernels that are known, the size of what is kept of each, and the open descriptors."""
        kernels = self.settings["app_meta_context"].origins._kernels
        tabs = {
            name: [[len(t._live), len(t._left), len(t._seen)] for t in k.tabs.values()] for name, k in kernels.items()
        }
        self.finish({"tabs": tabs, "descriptors": len(os.listdir("/proc/self/fd"))})


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "test_cases"}]


def _load_jupyter_server_extension(app: Any) -> None:
    app.web_app.add_handlers(".*", [("/counts", Counts)])


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of several people, of whom Eve may not execute; it would wait long for the kernel that hangs."""
    home = tmp_path_factory.mktemp("cases")
    with serving(home, config=PEOPLE + CONFIG + COUNTING, token="") as server:
        yield server
        server.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a token, whose visitors may choose their names."""
    with serving(tmp_path_factory.mktemp("token"), config=NAMES) as server:
        yield server


def open_session(visitor: Visitor, referer: str, path: str, kernel: str = AWARE, **more: Any) -> Json:
    """Open a Jupyter session from a page; return what the server answers."""
    body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": kernel}, **more}
    response = visitor.call("POST", "/api/sessions", body, headers={"Referer": referer})
    response.raise_for_status()
    answer: Json = response.json()
    return answer


def notebook(server: Server) -> tuple[str, str]:
    """Return a new notebook's path and the address of its page."""
    path = f"{uuid.uuid4().hex}.ipynb"
    return path, f"{server.url}notebooks/{path}"


def user_of(stamp: Json) -> str:
    """Return the username in a stamp."""
    return str(json.loads(stamp["payload"])["request"]["user"]["username"])


def asked(socket: Socket, code: str) -> str:
    """Run code that asks for input; return the message's id once it does."""
    content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": True}
    msg_id = socket.send(socket.message("execute_request", content))
    socket.until(lambda message: message["header"]["msg_type"] == "input_request")
    return msg_id


def test_input_of_another_person_does_not_change_whose_cell_it_is(alice: Visitor, bob: Visitor) -> None:
    """Bob answers the question of Alice's cell: the cell stays hers, and his answer has his own stamp."""
    kernel = alice.start_kernel()
    hers, his = alice.connect(kernel), bob.connect(kernel)
    his.run("1")
    hers.run(
        "import json; from jupyter_app_meta import app_meta; session, got = get_ipython().kernel.session, []\n"
        "original = session.recv\n"
        "def spy(*args, **kwargs):\n"
        "    ident, message = original(*args, **kwargs)\n"
        "    if message and message['msg_type'] == 'input_reply': got.append(message['metadata'].get('app_meta'))\n"
        "    return ident, message\n"
        "session.recv = spy"
    )
    msg_id = asked(hers, "answer = input('?'); print(json.dumps([answer, app_meta().user.username, got]))")
    his.send(his.message("input_reply", {"value": "of bob", "status": "ok"}, {"app_meta": FORGED}), "stdin")
    answer, username, stamps = json.loads(hers.collect(msg_id).text)
    assert (answer, username) == ("of bob", "alice")
    assert [(user_of(stamp), stamp["mac"] != FORGED["mac"]) for stamp in stamps] == [("bob", True)]


def test_ids_and_stamp_of_another_person_give_nothing(alice: Visitor, bob: Visitor) -> None:
    """Bob's message has the msg_id, session, name and very stamp of a message of Alice's: he is himself."""
    kernel, session, msg_id = alice.start_kernel(), uuid.uuid4().hex, uuid.uuid4().hex
    hers, his = alice.connect(kernel, session), bob.connect(kernel, session)
    stolen = json.loads(hers.run(STAMP, msg_id=msg_id).text)
    assert user_of(stolen) == "alice"
    claims: dict[str, Any] = {"msg_id": msg_id, "session": session, "username": "alice"}
    # Everybody hears what is printed, and one msg_id cannot tell her text from his: his cell keeps what it sees.
    keep = "from jupyter_app_meta import app_meta; m = app_meta(); kept = [m.user.username, m.session.client_id]\n"
    his.run(
        keep + "kept.append(get_ipython().kernel.get_parent()['metadata']['app_meta'])", {"app_meta": stolen}, **claims
    )
    username, client_id, own = json.loads(his.run("import json; print(json.dumps(kept))").text)
    assert (username, user_of(own)) == ("bob", "bob")
    assert client_id == his.who()["session"]["client_id"] != hers.who()["session"]["client_id"]


def test_session_that_moves_leaves_its_page_behind(people: Server, alice: Visitor) -> None:
    """A session that gets another notebook and another kernel does not take the old notebook's page along."""
    (path, address), (other, _) = notebook(people), notebook(people)
    referer = f"{address}?region=emea"
    session = open_session(alice, referer, path)
    assert alice.connect(session["kernel"]["id"]).who()["query"] == {"region": "emea"}
    change = {"path": other, "name": other, "kernel": {"name": AWARE}}
    moved = alice.call("PATCH", f"/api/sessions/{session['id']}", change, headers={"Referer": referer})
    moved.raise_for_status()
    kernel = moved.json()["kernel"]["id"]
    seen = alice.connect(kernel).who()
    assert kernel != session["kernel"]["id"]
    assert (seen["via"], seen["query"], seen["session"]["path"]) == ("socket", {}, other)


def test_name_of_ones_own_choice_is_a_name_only(server: Server) -> None:
    """Two visitors call themselves root: neither is trusted more, and neither gets what is the other's."""
    path, address = notebook(server)
    first, second = server.visitor(), server.visitor()
    kernel = open_session(first, f"{address}?region=emea", path)["kernel"]["id"]
    before = first.connect(kernel, "a-tab").who()
    assert (before["via"], before["query"]) == ("page", {"region": "emea"})
    for visitor in (first, second):
        assert visitor.call("PATCH", "/api/me", {"username": "root"}).status_code == 400  # jupyter_server's own rule
        visitor.call("PATCH", "/api/me", {"name": "root", "display_name": "root"}).raise_for_status()
    his = second.connect(kernel, "a-tab").who()
    assert (his["user"]["name"], his["user"]["display_name"]) == ("root", "root")
    assert his["user"]["username"] not in ("root", before["user"]["username"])
    assert (his["user"]["kind"], his["user"]["assurance"]) == (before["user"]["kind"], "shared-secret")
    assert [his["user"].get(name) for name in ("is_owner", "admin", "groups")] == [
        before["user"].get(name) for name in ("is_owner", "admin", "groups")
    ]
    assert his["session"]["client_id"] != before["session"]["client_id"]
    assert (his["via"], his["query"]) == ("socket", {})


def test_bodies_of_requests_stay_out(people: Server, alice: Visitor) -> None:
    """Neither the keys of a JSON body nor the fields of a form are known to the kernel that they open."""
    path, address = notebook(people)
    extra: Json = {
        "theme": "CANARY-1",
        "cookies": {"theme": "CANARY-2"},
        "query": "?region=CANARY-3",
        "app_meta": "CANARY-4",
    }
    session = open_session(alice, address, path, **extra)
    fields = {"theme": "CANARY-5", "lang": "CANARY-6", "user": "CANARY-7"}
    for target in (f"/api/sessions/{session['id']}", "/api/sessions", "/login"):
        xsrf = {"X-XSRFToken": alice.http.cookies["_xsrf"]}
        alice.http.post(target, data=fields, headers={"Referer": address, **xsrf})
    socket = alice.connect(session["kernel"]["id"])
    assert socket.who()["url"] == address
    text = socket.run("from jupyter_app_meta import app_meta; print(repr(app_meta()))\n" + STAMP).text
    assert "alice" in text
    assert "CANARY" not in text


def counts(visitor: Visitor) -> Json:
    """Return what the server holds."""
    response = visitor.get("/counts")
    response.raise_for_status()
    answer: Json = response.json()
    return answer


def test_many_connects_leave_nothing(alice: Visitor, bob: Visitor) -> None:
    """What is kept of connections is bounded, and their descriptors are given back."""
    kernel = alice.start_kernel()
    hers = alice.connect(kernel)
    assert hers.who()["user"]["username"] == "alice"
    bob.connect(kernel).close()
    before = counts(alice)["descriptors"]
    for _ in range(CONNECTS // BATCH):
        for socket in [bob.connect(kernel) for _ in range(BATCH)]:
            socket.close()
        assert hers.who()["user"]["username"] == "alice"  # it also answers the server's pings
    deadline, after = time.monotonic() + 120, counts(alice)
    while time.monotonic() < deadline and (after["descriptors"] > before + 10 or _live(after, kernel) > 1):
        time.sleep(0.1)
        after = counts(alice)
    assert after["descriptors"] <= before + 10
    assert _live(after, kernel) == 1
    assert len(after["tabs"][kernel]) == 2
    assert all(size <= 8 for sizes in after["tabs"][kernel] for size in sizes)
    assert hers.who()["user"]["username"] == "alice"


def _live(counted: Json, kernel: str) -> int:
    return sum(live for live, _, _ in counted["tabs"][kernel])


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "import time; time.sleep(600)"])
def test_kernel_that_never_starts_disturbs_nothing(people: Server, alice: Visitor, code: str) -> None:
    """A kernel that ends or hangs at its start is forgotten once it is gone, and its server goes on."""
    name = f"never-{len(code)}"
    kernelspec(people.home, name, argv=[sys.executable, "-c", code, "{connection_file}"])
    (path, address), before = notebook(people), len(people.log)
    session = open_session(alice, f"{address}?region=emea", path, name)
    kernel = session["kernel"]["id"]
    assert kernel in counts(alice)["tabs"]
    with suppress(websocket.WebSocketException):  # a server may refuse a socket to a kernel that does not answer
        alice.connect(kernel).close()
    # jupyter_server forgets the session by itself once it knows that the kernel has ended. While the kernel is being
    # restarted, jupyter_client cannot shut it down (500), and its user tries again.
    eventually(lambda: alice.call("DELETE", f"/api/sessions/{session['id']}").status_code in (204, 404))
    assert alice.connect(alice.start_kernel()).who()["via"] == "socket"
    assert kernel not in counts(alice)["tabs"]
    logged = people.log[before:]
    assert kernel in logged and "jupyter-app-meta: " not in logged


def test_kernel_that_cannot_be_launched_has_no_page(people: Server, alice: Visitor) -> None:
    """Where no kernel comes of a call, nothing is remembered of its page."""
    kernelspec(people.home, "nowhere", argv=[str(people.home / "nowhere"), "{connection_file}"])
    known, (path, address) = set(counts(alice)["tabs"]), notebook(people)
    body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "nowhere"}}
    answer = alice.call("POST", "/api/sessions", body, headers={"Referer": f"{address}?region=emea"})
    assert answer.status_code == 500
    assert set(counts(alice)["tabs"]) <= known


def test_person_who_may_not_execute_reaches_no_kernel(people: Server, alice: Visitor) -> None:
    """Eve is refused by the server's authorizer, as without us; what she asked for is not in Alice's kernel."""
    kernel = alice.start_kernel()
    hers, eve = alice.connect(kernel), people.visitor(cookies={"person": "eve"})
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        eve.connect(kernel, query="&region=CANARY-of-eve")
    assert refused.value.status_code == 403
    assert len(counts(alice)["tabs"][kernel]) == 1
    assert hers.who()["user"]["username"] == "alice"
    assert "eve" not in hers.run(STAMP).text
