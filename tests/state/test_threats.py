"""Attacks on stored state in a server of notebooks: grants, forged messages, foreign kernels, and what leaks."""

from __future__ import annotations

import hmac
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from harness import FORMATS, Format, Server, Socket, Visitor, eventually, runtime, serving, written
from jupyter_client.blocking.client import BlockingKernelClient

from jupyter_app_meta import wire
from jupyter_app_meta.state import grants, messages
from jupyter_app_meta.state.grants import Claims
from jupyter_app_meta.state.keys import Identity
from jupyter_app_meta.state.revoked import Revoked
from jupyter_app_meta.state.stores.open import open_store

SECRET = b"a secret of this server's cookies"
CONFIG = (
    "c.ServerApp.identity_provider_class = 'providers.People'\n"
    f"c.ServerApp.cookie_secret = {SECRET!r}\n"
    "c.MappingKernelManager.cull_idle_timeout = 10\nc.MappingKernelManager.cull_interval = 1\n"
)
KEY = grants.derive_key(hmac.digest(SECRET, b"jupyter-app-meta grants", "sha256"))
"""What the server signs grants with."""

FOREIGN = "foreign-test"
CANARY = "canary-2c9e10"
NAMES = """
import os, threading, time
from pathlib import Path
from jupyter_app_meta import app_meta, session, shared, visitor
from jupyter_app_meta.kernel import context
from jupyter_app_meta.kernel.state import asking, watching
from jupyter_app_meta.state.operations import Read
kernel = get_ipython().kernel
def ask(grant):
    try:
        return asking.ask(kernel, grant, "visitor", Read())
    except Exception as error:
        return str(error)
"""
"""What the attacking author has at hand: ``ask`` asks with any grant, over this kernel's own channel."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of several people, which soon ends kernels that are idle and not connected."""
    home = tmp_path_factory.mktemp("threats")
    folder = home / "data" / "kernels" / FOREIGN
    folder.mkdir(parents=True)
    argv = [sys.executable, str(Path(__file__).with_name("foreign.py")), "{connection_file}"]
    (folder / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": FOREIGN, "language": "R"}))
    with serving(home, config=CONFIG, token="", debug=True) as server:
        yield server


@pytest.fixture(scope="module")
def alice(server: Server) -> Visitor:
    """Alice's browser."""
    return server.visitor(cookies={"person": "alice"})


@pytest.fixture(scope="module")
def bob(server: Server) -> Visitor:
    """Bob's browser."""
    return server.visitor(cookies={"person": "bob"})


@pytest.fixture(scope="module")
def kernel(alice: Visitor) -> str:
    """A kernel in which both of them execute code."""
    return alice.start_kernel()


@pytest.fixture(scope="module")
def opened(alice: Visitor, kernel: str) -> Socket:
    """Alice's first socket, which stays open: the kernel is not culled."""
    return alice.connect(kernel)


@pytest.fixture
def hers(alice: Visitor, kernel: str, opened: Socket) -> Iterator[Socket]:
    """Alice's socket to the kernel."""
    yield from _socket(alice, kernel)


@pytest.fixture
def his(bob: Visitor, kernel: str, opened: Socket) -> Iterator[Socket]:
    """Bob's socket to the same kernel."""
    yield from _socket(bob, kernel)


def _socket(visitor: Visitor, kernel: str) -> Iterator[Socket]:
    socket = visitor.connect(kernel)
    assert not socket.run(f"{NAMES}for one in (session, visitor, shared): one.state.clear()").text
    yield socket
    socket.close()


def grant_of(socket: Socket) -> str:
    """Return the grant of who runs code by this socket, as that code sees it."""
    return socket.run("print(context.seen().grant)").text.strip()


def claims_of(socket: Socket) -> Claims:
    """Return what is in the grant."""
    token = grant_of(socket)
    return grants.read(KEY, token, socket.run("print(session['kernel_id'])").text.strip(), time.time())


def answer(socket: Socket, grant: str) -> str:
    """Return what the kernel of this socket gets for a grant."""
    return socket.run(f"print(ask({grant!r}))").text.strip()


def store(server: Server) -> str:
    """Return the URL of the server's store."""
    return f"sqlite:///{server.home / 'data' / 'app-meta' / 'state.db'}"


def test_a_grant_is_good_for_its_kernel_its_time_and_its_person(hers: Socket) -> None:
    """Expired, of the future, of another kernel, of another server, or changed: each is refused, and says why."""
    good, key, now = claims_of(hers), KEY, time.time()
    bob = replace(good, identity=replace(good.identity or Identity("", "", "", ""), username="bob"))
    assert answer(hers, grants.mint(key, good, now)) == "{}"
    bad = {
        "expired": grants.mint(key, good, now - grants.LIFETIME - 1),
        "expired ": grants.mint(key, good, now + grants.LIFETIME),
        "of another kernel": grants.mint(key, replace(good, kernel_id="1" * 36), now),
        "forged": grants.mint(grants.derive_key(b"the secret of another server"), good, now),
        "forged ": grants.mint(key, bob, now).partition(".")[0] + "." + grants.mint(key, good, now).partition(".")[2],
    }
    told = {why: answer(hers, grant) for why, grant in bad.items()}
    fix = {
        "expired": "Code may use state for 24 hours after its message. Run the cell again, and let it end before that."
    }
    others = "Reload the page, or run the cell again."
    assert told == {why: f"The grant is {why.strip()}. {fix.get(why.strip(), others)}" for why in bad}


def test_a_revoked_person_gets_no_answer_until_they_come_anew(server: Server, hers: Socket, his: Socket) -> None:
    """Another server revokes Alice: her grants are refused within seconds; Bob's and those of her next page are not."""
    old, other = grant_of(hers), open_store(store(server))
    assert answer(hers, old) == answer(his, grant_of(his)) == "{}"
    identity = claims_of(hers).identity
    assert identity is not None
    with closing(other):
        Revoked(other).revoke(identity)
    eventually(lambda: answer(hers, old).startswith("The grant is revoked."), 10)
    assert answer(his, old).startswith("The grant is revoked.") and answer(his, grant_of(his)) == "{}"
    anew = hers_again(server, claims_of(hers).kernel_id)
    assert answer(anew, grant_of(anew)) == "{}"


def hers_again(server: Server, kernel: str) -> Socket:
    """Return a socket of Alice's in a new browser."""
    return server.visitor(cookies={"person": "alice"}).connect(kernel)


class Port:
    """A process of the server's account at a kernel's control port. It has the kernel's connection file."""

    def __init__(self, server: Server, kernel: str) -> None:
        self._client = BlockingKernelClient(connection_file=str(runtime(server.home) / f"kernel-{kernel}.json"))
        self._client.load_connection_file()
        self._session, self.key = self._client.session, self._client.session.key
        self._socket = self._client.connect_control()

    def send(self, kind: str, content: Mapping[str, object], key: bytes | None, payload: str) -> None:
        """Send a message with a stamp of this payload, signed with this key; None for no stamp."""
        message = self._session.msg(kind, dict(content))
        if key is not None:
            message["metadata"][wire.FIELD] = wire.Signer(key, payload).stamp(message["msg_id"], kind)
        self._session.send(self._socket, message)

    def wait(self) -> None:
        """Wait until the kernel has taken what was sent."""
        asked = self._session.send(self._socket, "kernel_info_request")
        while True:
            assert self._socket.poll(30_000), "no answer came"
            if self._session.recv(self._socket)[1]["parent_header"].get("msg_id") == asked["header"]["msg_id"]:
                return

    def close(self) -> None:
        """Close the socket."""
        self._socket.close(0)
        self._client.stop_channels()


def test_an_answer_from_another_process_is_none(server: Server, kernel: str, hers: Socket, tmp_path: Path) -> None:
    """At the kernel's own port, with the id of the question: a kernel believes its server alone."""
    hers.run("heard = []; watch = shared.state.on_change(heard.append)")
    scope = hers.run("print(watch._name)").text.strip()
    code = (
        f"home = Path({str(tmp_path)!r})\n"
        "def tell():\n"
        "    while not asking._waiting: time.sleep(0.001)\n"
        "    (home / 'id').write_text(next(iter(asking._waiting)))\n"
        "(home / 'ready').touch()\n"
        "while not (home / 'go').exists(): time.sleep(0.01)\n"
        "threading.Thread(target=tell).start()\n"
        "print(visitor.state.get('paid'))"
    )
    sent = hers.send(hers.message("execute_request", {"code": code, "silent": False}))
    eventually((tmp_path / "ready").exists)
    port = Port(server, kernel)
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        (tmp_path / "go").touch()
        asked = eventually(lambda: (tmp_path / "id").exists() and (tmp_path / "id").read_text(), 4)
        reply = {"id": asked, "ok": {"paid": ["1000000", 1]}}
        event = {"scope": scope, "keys": ["paid"], "by": "alice"}
        for key, payload in [(None, ""), (b"guessed" * 8, messages.LINK), (port.key, messages.LINK)]:
            port.send(messages.REPLY, reply, key, payload)
            port.send(messages.EVENT, event, key, payload)
            port.send(messages.REQUEST, reply, key, payload)
        port.wait()
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
        port.close()
    assert hers.collect(sent).text == "None\n"
    assert hers.run("print(heard)").text == "[]\n"
    eventually(lambda: server.log.count("refused a message that the server did not send") >= 6)


@pytest.mark.parametrize("format", FORMATS)
def test_a_browser_cannot_take_the_place_of_the_server(bob: Visitor, kernel: str, hers: Socket, format: Format) -> None:
    """Bob connects under the name of the server's link: Alice's questions and their answers do not come to him."""
    name = messages.link_of(grant_of(hers))[0]
    forger = bob.connect(kernel, session_id=name, format=format)
    assert forger.run("print(1)").text == "1\n"
    assert hers.run("visitor.state['n'] = 1; print(visitor.state['n'])").text == "1\n"
    assert forger.run("print(2)").text == "2\n"
    assert "app_meta_state" not in str([message["header"] for message in forger.seen])
    forger.close()


def test_hostile_questions_leave_the_server_and_others_as_they_are(server: Server, hers: Socket, his: Socket) -> None:
    """Bob's code sends garbage, much and odd, to the link: no traceback, and Alice's questions are answered."""
    name, before = messages.link_of(grant_of(his))[0], len(server.log)
    code = f"""
import random, json
link, stream = {name.encode()!r}, kernel.control_stream
def raw(*frames): stream.io_loop.add_callback(stream.send_multipart, [link, *frames])
def question(**content):
    stream.io_loop.add_callback(kernel.session.send, stream, {messages.REQUEST!r}, content, ident=link)
raw(b""); raw(b"<IDS|MSG>"); raw(b"<IDS|MSG>", b"x", b"{{}}", b"{{}}", b"{{}}", b"{{}}")
for frame in (b"[" * 100_000, b"\\xff", b"null", b"[]", b'{{"msg_id": 1}}'):
    parts = [frame, b"{{}}", b"{{}}", b"{{}}"]
    raw(b"<IDS|MSG>", kernel.session.sign(parts), *parts)
    parts = [kernel.session.pack(kernel.session.msg_header({messages.REQUEST!r})), b"{{}}", b"{{}}", frame]
    raw(b"<IDS|MSG>", kernel.session.sign(parts), *parts)
deep = None
for _ in range(500): deep = [deep]
good = dict(v=1, id="2" * 32, grant=context.seen().grant, scope="visitor", op="read", keys=None)
for odd in (None, 5, "", "x" * 100, [], {{}}, deep, True, -1, 2**70, 1.5):
    for field in good:
        question(**{{**good, "id": "%032x" % random.getrandbits(128), field: odd}})
for _ in range(300): question(**{{**good, "op": "add", "key": "n", "amount": 1}})
question(**good, more=1); question(**{{**good, "op": "apply", "puts": "x" * 3_000_000}})
print(len(ask(context.seen().grant)))
"""
    eventually(lambda: his.run(code.replace("print(len", "print(type")).text == "<class 'dict'>\n", 20)
    assert hers.run("print(visitor.state.add('n'))").text == "1\n"
    said = server.log[before:]
    assert "Traceback" not in said and "never retrieved" not in said and grant_of(his) not in said


def test_a_cell_that_waits_is_interrupted_at_once(server: Server, alice: Visitor, kernel: str, hers: Socket) -> None:
    """While the store is locked a write waits; an interrupt ends it, and the next one is as before."""
    file = store(server).removeprefix("sqlite:///")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        code = "print('waits', flush=True)\nvisitor.state['n'] = 1"
        sent = hers.send(hers.message("execute_request", {"code": code, "silent": False}))
        hers.until(lambda message: message["content"].get("text", "").startswith("waits"))
        alice.call("POST", f"/api/kernels/{kernel}/interrupt").raise_for_status()
        assert "KeyboardInterrupt" in hers.collect(sent).text  # a write that is not interrupted says StateUnavailable
        other.execute("ROLLBACK")
    assert hers.run("visitor.state['m'] = 2; print(visitor.state['m'])").text == "2\n"


def again(socket: Socket, code: str) -> str:
    """Return what code prints; nothing if that does not come: what a kernel says right after a restart may be lost."""
    try:
        return socket.run(code, timeout=5).text
    except TimeoutError:
        return ""


def test_a_kernel_that_was_killed_asks_as_before(hers: Socket, his: Socket) -> None:
    """The server starts it anew in another process, and no step is needed: state is there, and changes are told."""
    pid = int(hers.run("visitor.state['kept'] = 1; shared.state.on_change(print); print(os.getpid())").text)
    os.kill(pid, signal.SIGKILL)
    hers.until(lambda message: message["content"].get("execution_state") in ("restarting", "dead"))
    read = f"{NAMES}print(os.getpid() != {pid}, visitor.state['kept'])"
    eventually(lambda: again(hers, read) == "True 1\n")
    hers.run("heard = []; watch = shared.state.on_change(heard.append)")
    eventually(lambda: again(his, f"{NAMES}shared.state['his'] = 1; print('stored')") == "stored\n")
    eventually(lambda: hers.run("print({change.by for change in heard})").text == "{'bob'}\n")


def test_a_kernel_that_asks_all_the_time_is_culled(alice: Visitor, opened: Socket) -> None:
    """Questions are no activity: a kernel whose thread asks for ever is ended as an idle one is."""
    kernel = alice.start_kernel()
    socket = alice.connect(kernel)
    loop = "def ask_on():\n    while True: shared.state.add('n'); time.sleep(0.05)\n"
    started = f"{NAMES}{loop}threading.Thread(target=ask_on, daemon=True).start(); print(shared.state.add('n') > 0)"
    assert socket.run(started).text == "True\n"
    socket.close()
    eventually(lambda: alice.get(f"/api/kernels/{kernel}").status_code == 404)


def test_a_value_is_in_no_environment_and_no_stamp_of_another(server: Server, hers: Socket, his: Socket) -> None:
    """Nor in a command line or another file; Bob's stamps name Bob alone, and have his grant alone."""
    hers.run(f"visitor.state['secret'] = '-'.join(({CANARY[:6]!r}, {CANARY[7:]!r}))")
    assert hers.run("print(len(visitor.state['secret']))").text == f"{len(CANARY)}\n"
    stamp = his.run("print(kernel.get_parent()['metadata']['app_meta'])").text
    mine = claims_of(his).identity
    assert mine is not None and mine.username == "bob" and "alice" not in stamp
    assert grant_of(hers) not in stamp and CANARY not in stamp
    processes = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
    assert len(processes) > 1
    for process in processes:
        for name in ("environ", "cmdline"):
            text = Path(f"/proc/{process.pid}/{name}").read_text(errors="replace")
            assert CANARY not in text and grant_of(hers)[:40] not in text and SECRET.decode() not in text
    files = written(server.home)
    assert not [name for name, held in files.items() if "state.db" not in name and CANARY.encode() in held]
    assert CANARY not in server.log and CANARY not in str(his.seen)


def test_a_thief_of_the_store_has_no_grant_and_no_key(server: Server, kernel: str, hers: Socket) -> None:
    """It has what was stored, and nothing with which its reader could ask a server or speak to a kernel."""
    hers.run("visitor.state['stolen'] = 'is there'")
    grant, port = grant_of(hers), Port(server, kernel)
    name = messages.link_of(grant)[0]
    port.close()
    folder = server.home / "data" / "app-meta"
    stored = b"".join(path.read_bytes() for path in folder.glob("state.db*"))
    assert b"is there" in stored
    for secret in (grant.partition(".")[0], grant.partition(".")[2], name, port.key.decode(), SECRET.decode()):
        assert secret.encode() not in stored


def test_a_kernel_of_another_release_is_told_so(hers: Socket) -> None:
    """A question in another version gets an error that names the remedy; a stamp without a grant is an older server."""
    ask_v2 = (
        "from jupyter_app_meta.state import operations\nwrite = asking.write_request\n"
        "asking.write_request = lambda request: {**write(request), 'v': 2}\n"
        "print(ask(context.seen().grant))\nasking.write_request = write"
    )
    assert "install the same release of jupyter-app-meta for both halves" in hers.run(ask_v2).text
    older = (
        "seen = context.seen\ncontext.seen = lambda **options: seen(**options)._replace(grant=None)\n"
        "try: visitor.state.get('x', 'default')\nexcept Exception as error: print(type(error).__name__, error)\n"
        "context.seen = seen"
    )
    said = hers.run(older).text
    assert said.startswith("StateUnavailable ") and "older release of jupyter-app-meta" in said


def received(server: Server, kernel: str) -> list[dict[str, Any]]:
    """Return the messages that a foreign kernel has heard, with their channels."""
    text = (runtime(server.home) / f"kernel-{kernel}.json.heard").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("format", FORMATS)
def test_a_foreign_kernel_hears_what_its_clients_say(alice: Visitor, server: Server, format: Format) -> None:
    """A kernel of another language: header and content are as they were sent, and it hears nothing of state."""
    kernel = alice.start_kernel(FOREIGN)
    socket = alice.connect(kernel, format=format)
    content: dict[str, Any] = {"code": "x <- c(1, 2) # é", "silent": False, "allow_stdin": False}
    sent = socket.message("execute_request", content, {"cell": 1})
    socket.collect(socket.send(sent))
    (heard,) = [one for one in received(server, kernel) if one["header"].get("msg_id") == sent["header"]["msg_id"]]
    undated = {name: value for name, value in sent["header"].items() if name != "date"}  # jupyter_server rewrites it
    assert heard["content"] == content and {**heard["header"], **undated} == heard["header"]
    assert {name: value for name, value in heard["metadata"].items() if name != wire.FIELD} == {"cell": 1}
    types = {(one["channel"], one["header"]["msg_type"]) for one in received(server, kernel)}
    assert types <= {("shell", "execute_request"), ("shell", "kernel_info_request"), ("control", "kernel_info_request")}
    socket.close()
    alice.call("DELETE", f"/api/kernels/{kernel}").raise_for_status()


def test_shared_kernel_reaches_no_page(hers: Socket, his: Socket) -> None:
    """Whoever executes code in a kernel cannot set a cookie of another person, even with that person's grant."""
    hers.run("stolen = context.seen().grant; page = app_meta().page")
    forged = """
from jupyter_app_meta.state.paging.operations import Redirect, SetCookie, TellPage
def attempt(deed):
    try:
        return deed()
    except Exception as error:
        return type(error).__name__
print(attempt(lambda: page.set_cookie("region", "x")), attempt(lambda: app_meta().page.redirect("/")))
for operation in (TellPage(SetCookie("region", "x")), TellPage(Redirect("/"))):
    print(attempt(lambda: asking.ask(kernel, stolen, "shared", operation)))
print(app_meta().browser.timezone)
"""
    assert his.run(forged).text.split() == [*4 * ["NoPage"], "None"]
