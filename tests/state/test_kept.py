"""State of notebooks on a real server: kernels ask over their control channel."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from harness import FORMATS, Format, Server, Socket, Visitor, eventually, serving, written

PEOPLE = "c.ServerApp.identity_provider_class = 'providers.People'\n"
NAMES = "from jupyter_app_meta import app_meta, session, shared, visitor\n"
CANARY = "canary-7f3a91"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose visitors are several people."""
    with serving(tmp_path_factory.mktemp("kept"), config=PEOPLE, token="", debug=True) as server:
        yield server


@pytest.fixture(scope="module")
def alice(people: Server) -> Visitor:
    """Alice's browser."""
    return people.visitor(cookies={"person": "alice"})


@pytest.fixture(scope="module")
def bob(people: Server) -> Visitor:
    """Bob's browser."""
    return people.visitor(cookies={"person": "bob"})


@pytest.fixture(scope="module")
def kernel(alice: Visitor) -> str:
    """A kernel that everybody may use."""
    return alice.start_kernel()


@pytest.fixture
def hers(alice: Visitor, kernel: str) -> Iterator[Socket]:
    """Alice's socket to the kernel, with nothing in its states."""
    socket = alice.connect(kernel)
    assert not socket.run(f"{NAMES}for one in (session, visitor, shared): one.state.clear()").text
    yield socket
    socket.close()


@pytest.fixture
def his(bob: Visitor, kernel: str, hers: Socket) -> Iterator[Socket]:
    """Bob's socket to the same kernel."""
    socket = bob.connect(kernel)
    assert not socket.run("for one in (session, visitor): one.state.clear()").text
    yield socket
    socket.close()


def notebook(visitor: Visitor, path: str) -> Socket:
    """Open a notebook, as an editor does, and return a socket to its kernel."""
    body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "app-meta-test"}}
    response = visitor.call("POST", "/api/sessions", body)
    response.raise_for_status()
    return visitor.connect(response.json()["kernel"]["id"])


def test_what_a_cell_stores_is_there_after_a_restart_of_its_kernel(alice: Visitor, kernel: str, hers: Socket) -> None:
    """The tab's, the visitor's and everybody's state come back with their types."""
    store = "session.state['step'] = 2; visitor.state['liked'] = ['north', {'n': 1.5}]; shared.state.add('votes')"
    assert hers.run(f"{store}; print(session.state.kept)").text == "server\n"
    alice.call("POST", f"/api/kernels/{kernel}/restart").raise_for_status()
    read = "print(session.state['step'], visitor.state['liked'], shared.state['votes'])"
    assert alice.connect(kernel).run(NAMES + read).text == "2 ['north', {'n': 1.5}] 1\n"


def test_a_notebook_keeps_its_state_when_its_kernel_ends(alice: Visitor, bob: Visitor) -> None:
    """Another kernel of the same notebook finds it; another notebook and another person do not."""
    name = f"{uuid.uuid4().hex}.ipynb"
    first = notebook(alice, name)
    assert not first.run(f"{NAMES}visitor.state['a'] = session.state['b'] = shared.state['c'] = 1").text
    for session in alice.get("/api/sessions").json():
        alice.call("DELETE", f"/api/sessions/{session['id']}")
    show = f"{NAMES}print(dict(visitor.state), dict(session.state), dict(shared.state))"
    assert notebook(alice, name).run(show).text == "{'a': 1} {'b': 1} {'c': 1}\n"
    assert notebook(alice, f"other-{name}").run(show).text == "{} {} {}\n"
    assert notebook(bob, name).run(show).text == "{} {} {'c': 1}\n"


def test_two_people_in_one_kernel_have_their_own_state(hers: Socket, his: Socket) -> None:
    """Interleaved, with the same session_id in their headers: each finds what they stored."""
    his.session_id = hers.session_id
    add = "print(app_meta().user.username, visitor.state.add('n'), session.state.add('n'), shared.state.add('n'))"
    for turn in range(1, 101):
        assert hers.run(add).text == f"alice {turn} {turn} {2 * turn - 1}\n"
        assert his.run(add).text == f"bob {turn} {turn} {2 * turn}\n"


def test_code_that_a_cell_starts_has_the_state_of_its_visitor(hers: Socket, his: Socket) -> None:
    """A task, a thread and to_thread ask for the person who started them, also while the other person's cell runs."""
    hers.run(
        "import asyncio, threading, time\n"
        "def add(name):\n    time.sleep(0.2); visitor.state[name] = app_meta().user.username\n"
        "async def later():\n    await asyncio.sleep(0.2); add('task'); await asyncio.to_thread(add, 'to_thread')\n"
        "task = asyncio.ensure_future(later())\n"
        "thread = threading.Thread(target=add, args=('thread',)); thread.start()"
    )
    his.run("import asyncio; await asyncio.sleep(1.2); thread.join(); await task")
    assert (
        hers.run("print(sorted(visitor.state.items()))").text
        == str([("task", "alice"), ("thread", "alice"), ("to_thread", "alice")]) + "\n"
    )
    assert his.run("print(dict(visitor.state))").text == "{}\n"


def test_code_of_nobody_gets_an_error_and_never_the_memory(hers: Socket) -> None:
    """A pool's worker and a forked child: NoVisitor, for shared state as well."""
    ask = (
        "def ask(of):\n    try: return str(of.state.set('x', 1))\n    except Exception as e: return type(e).__name__\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(1) as pool: print(*pool.map(ask, (visitor, shared, session)))\n"
        "import os, sys\n"
        "read, write = os.pipe()\n"
        "if os.fork() == 0:\n    os.write(write, ' '.join(map(ask, (visitor, shared))).encode()); os._exit(0)\n"
        "print(os.read(read, 99).decode())"
    )
    assert hers.run(ask).text == "NoVisitor NoVisitor NoVisitor\nNoVisitor NoVisitor\n"


def test_asking_makes_no_noise(alice: Visitor, kernel: str, hers: Socket, tmp_path: Path) -> None:
    """A hundred operations: no message reaches a browser, no status of the control channel, and no sign of activity."""
    seen = hers.run("for n in range(50): shared.state['n'] = n; shared.state['n']").messages
    assert [message["header"]["msg_type"] for message in seen].count("status") == 2
    ask = (
        "import threading, time\nfrom pathlib import Path\n"
        f"home = Path({str(tmp_path)!r})\n"
        "def later():\n    while not (home / 'go').exists(): time.sleep(0.01)\n"
        "    for _ in range(20): shared.state.add('late')\n    (home / 'done').touch()\n"
        "threading.Thread(target=later).start()"
    )
    idle = hers.run(ask).messages[-1]["header"]["date"]

    def activity() -> str:
        return str(alice.get(f"/api/kernels/{kernel}").json()["last_activity"])

    eventually(lambda: moment(activity()) >= moment(idle))
    before = activity()
    (tmp_path / "go").touch()
    eventually((tmp_path / "done").exists)
    assert activity() == before


def moment(text: str) -> datetime:
    """Return the time that a server or a kernel has written."""
    return datetime.fromisoformat(text)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", ["request", "reply", "event"])
def test_a_browser_cannot_speak_for_the_server(
    people: Server, bob: Visitor, kernel: str, hers: Socket, format: Format, kind: str
) -> None:
    """A co-executor's browser sends messages of ours: they are dropped, and the kernel never hears them."""
    before = people.log.count("of a type that only the server sends")
    forger = bob.connect(kernel, format=format)
    content: dict[str, object] = {"id": "1" * 32, "ok": {}, "scope": "", "keys": None, "by": None}
    forged: dict[str, object] = {"scope": "", "name": "news", "data": "1"}
    for channel in ("control", "shell"):
        for one in (content, forged):
            forger.send(forger.message(f"app_meta_state_{kind}", one, {"app_meta": {"v": "1.0"}}), channel)
    assert forger.run("print(1)").text == "1\n"
    assert people.log.count("of a type that only the server sends") == before + 4
    assert "UNKNOWN CONTROL MESSAGE TYPE" not in people.log


def test_a_grant_of_another_kernel_is_refused(alice: Visitor, kernel: str, hers: Socket, his: Socket) -> None:
    """Copied into another kernel, changed, or without its visitor: an error, and a line in the server's log."""
    grant = hers.run("from jupyter_app_meta.kernel import context; print(context.seen().grant)").text.strip()
    body = (
        "from jupyter_app_meta.kernel import context\nfrom jupyter_app_meta.kernel.state import asking\n"
        "from jupyter_app_meta.state.operations import Read, Request\nfrom jupyter_app_meta.state import messages\n"
        "from queue import SimpleQueue\nimport uuid\n"
        "def ask(grant):\n"
        "    name, wait = messages.link_of(context.seen().grant)\n"
        "    request = Request(uuid.uuid4().hex, grant, 'visitor', Read())\n"
        "    asking._waiting[request.id] = SimpleQueue(); asking.listen(get_ipython().kernel)\n"
        "    return asking._answer(get_ipython().kernel, request, name.encode(), asking._waiting[request.id], wait)\n"
    )
    other = alice.connect(alice.start_kernel())
    told = other.run(f"{body}print(ask({grant!r}).text)").text
    assert told == "The grant is of another kernel. Reload the page, or run the cell again.\n"
    forged = f"{grant[:-3]}AAA"
    assert his.run(f"{body}print(ask({forged!r}).text)").text.startswith("The grant is forged.")
    assert f"{grant[:20]}" not in alice.server.log


def test_a_stored_value_is_nowhere_but_in_the_store(people: Server, alice: Visitor, hers: Socket, his: Socket) -> None:
    """Not in a message to a browser, in the server's debug log, nor in a stamp."""
    quiet = his.run(f"shared.state['secret'] = visitor.state['secret'] = '-'.join(({CANARY[:6]!r}, {CANARY[7:]!r}))")
    assert hers.run("print(len(shared.state['secret']))").text == f"{len(CANARY)}\n"
    assert CANARY not in json.dumps([*quiet.messages, *hers.seen, *his.seen], default=str)
    assert CANARY not in people.log
    grant = hers.run("from jupyter_app_meta.kernel import context; print(context.seen().grant)").text.strip()
    assert len(grant) > 100 and grant not in people.log
    files = written(people.home)
    assert not [name for name, held in files.items() if "state.db" not in name and CANARY.encode() in held]


def test_a_watcher_hears_of_others_and_sees_who_it_is(hers: Socket, his: Socket) -> None:
    """Alice's function, called by Bob's write in the same kernel, is Alice's; neither hears of their own writes."""
    watch = (
        "heard = []\ndef note(change): heard.append((app_meta().user.username, change.key, change.by))\n"
        "watch = shared.state.on_change(note)"
    )
    assert not hers.run(watch).text
    assert not hers.run("shared.state['mine'] = 1").text
    assert not his.run("shared.state['his'] = 1; shared.state.update(a=1, b=2)").text
    eventually(lambda: hers.run("print(len(heard))").text == "3\n")
    assert hers.run("print(heard)").text == "[('alice', 'his', 'bob'), ('alice', 'a', 'bob'), ('alice', 'b', 'bob')]\n"
    again = "watch.close(); heard.clear(); later = []; shared.state.on_change(later.append, key='last')"
    assert not hers.run(again).text
    his.run("shared.state['his'] = 2; shared.state['last'] = 1")
    eventually(lambda: hers.run("print(len(later))").text == "1\n")  # events come in order
    assert hers.run("print(heard)").text == "[]\n"


def test_a_watch_that_is_closed_hears_nothing_that_waits(hers: Socket, his: Socket) -> None:
    """Its cell may close it while the main loop has not come to a change yet."""
    hers.run("heard = []; watch = shared.state.on_change(heard.append)")
    waits = "import time\nwhile not watch.waiting: time.sleep(0.01)\n"
    assert not his.run(f"shared.state['k'] = 1\n{waits}watch.close()").text
    assert hers.run("import asyncio; await asyncio.sleep(0); print(heard)").text == "[]\n"


def test_a_function_that_a_thread_registers_is_of_the_threads_visitor(hers: Socket, his: Socket) -> None:
    """A thread's request is on the thread: what the thread registers sees it all the same, and prints in its cell."""
    hers.run(
        "import threading\nheard = []\n"
        "def note(told): heard.append((app_meta().user.username, visitor.state.get('n'), told)); print('<told>')\n"
        "def register():\n    global own\n    own = [shared.state.on_change(note, key='own'), session.on('m', note)]\n"
        "visitor.state['n'] = 1"
    )
    cell = hers.message("execute_request", {"code": "t = threading.Thread(target=register); t.start(); t.join()"})
    assert not hers.collect(hers.send(cell)).text
    for number, code in enumerate(("shared.state['own'] = 2", "shared.send('m', 3)"), 1):
        his.run(code)
        eventually(lambda: hers.run("print(len(heard))").text == f"{number}\n")  # noqa: B023  # used in this round
    seen = "('alice', 1, Change(key='own', by='bob')), ('alice', 1, 3)"
    assert hers.run("print(heard); [one.close() for one in own]").text == f"[{seen}]\n"
    printed = [message for message in hers.seen if "<told>" in message["content"].get("text", "")]
    assert {message["parent_header"]["msg_id"] for message in printed} == {cell["header"]["msg_id"]}


def test_a_function_that_fails_keeps_no_other_from_being_called(people: Server, hers: Socket, his: Socket) -> None:
    """The kernel's log has the kind of its error, and the others are called, for the next change too."""
    fails = "def fails(change): raise ZeroDivisionError\nasync def late(change): raise FileExistsError\n"
    watch = "one, two, three = (shared.state.on_change(each) for each in (fails, late, heard.append))"
    assert not hers.run(f"heard = []\n{fails}{watch}").text
    for number in (1, 2):
        his.run(f"shared.state['n'] = {number}")
        eventually(lambda: hers.run("print(len(heard))").text == f"{number}\n")  # noqa: B023  # used in this round
    for kind in ("ZeroDivisionError", "FileExistsError"):
        assert eventually(lambda: people.log.count(f"A function that an event called failed ({kind}).") == 2)  # noqa: B023
    hers.run("for each in (one, two, three): each.close()")


def test_a_frozen_server_does_each_operation_once(people: Server, hers: Socket, tmp_path: Path) -> None:
    """Frozen for a moment: all are counted. For longer: one gives up, and says that it may have happened."""
    count = (
        "from pathlib import Path\nhome, told, late = Path({0!r}), 0, []\nhome.mkdir()\n"
        "while not (home / 'go').exists():\n"
        "    try: shared.state.add('n'); told += 1\n"
        "    except Exception as e: late.append(e.may_have_happened); (home / 'late').touch()\n"
        "    if told == 9: (home / 'begun').touch()\n"
    )
    for longer in (False, True):
        home = tmp_path / str(longer)
        code = count.format(str(home))
        sent = hers.send(hers.message("execute_request", {"code": code, "silent": False}))
        eventually((home / "begun").exists)
        os.kill(people.process.pid, signal.SIGSTOP)
        try:
            if longer:
                eventually((home / "late").exists)
            else:
                time.sleep(1.0)  # the kernel asks again meanwhile, and gives up after five seconds
        finally:
            os.kill(people.process.pid, signal.SIGCONT)
        (home / "go").touch()
        hers.collect(sent)
        told, late, there = json.loads(hers.run("import json; print(json.dumps([told, late, shared.state['n']]))").text)
        assert late == [True] * longer
        assert told <= there <= told + len(late)
        hers.run("shared.state.clear()")


def test_async_code_awaits_the_same_names(hers: Socket) -> None:
    """Values, changes by plain and async functions, transactions and errors."""
    code = (
        "aio = shared.state.aio\n"
        "await aio.set('n', 1); await aio.add('n', 2)\n"
        "async def double(value): return value * 2\n"
        "await aio.change('n', double); await aio.change('n', lambda value: value + 1)\n"
        "async with aio.transaction() as t:\n    t['m'] = t['n'] + 1\n"
        "try: await aio['gone']\nexcept KeyError as e: print(repr(e))\n"
        "print(await aio['n'], await aio.get('gone', 0), sorted(await aio.snapshot()), await aio.pop('m'))"
    )
    assert hers.run(code).text == "KeyError('gone')\n7 0 ['m', 'n'] 8\n"


def test_a_message_is_heard_by_its_audience(hers: Socket, his: Socket) -> None:
    """Each function sees the visitor who registered it, and its data is read-only."""
    on = "@session.on('news')\ndef {0}(data): heard.append((app_meta().user.username, data, isinstance(data, list)))\n"
    assert not hers.run("heard = []\n" + on.format("hers")).text
    assert not his.run(on.format("his")).text
    assert not his.run("visitor.send('news', ['his']); session.send('other', 1); shared.send('news', None)").text
    eventually(lambda: hers.run("print(len(heard))").text == "3\n")
    told = "[('alice', None, False), ('bob', None, False), ('bob', ['his'], True)]\n"
    assert hers.run("print(sorted(heard, key=str))").text == told
    hers.run("hers.close(); his.close(); heard.clear()")
    again = "seen = []\nasync def late(data): seen.append(data)\nonce = await session.aio.on('last', late)"
    assert not hers.run(again).text
    his.run("shared.send('news', 1); shared.send('last', 2)")
    eventually(lambda: hers.run("print(len(seen))").text == "1\n")  # messages come in order
    assert hers.run("print(heard)").text == "[]\n"


def test_what_is_not_a_message_says_so(hers: Socket) -> None:
    """Too large, not a value, without a name, and too many; the kernel goes on."""
    code = (
        "def error(name, data):\n    try: session.send(name, data)\n"
        "    except Exception as e: return type(e).__name__\n"
        "print(error('a', 'x' * 70_000), error('a', {1}), error('', 1), error('x' * 101, 1), error(5, 1))\n"
        "flood = [error('a', 1) for _ in range(100)]\nprint(flood[0], 'TooLarge' in flood)"
    )
    assert hers.run(code).text == "TooLarge Unstorable ValueError TooLarge Unstorable\nNone True\n"
    many = (
        "from jupyter_app_meta import TooLarge\nfrom jupyter_app_meta.kernel.state import receiving\n"
        "receiving.RECEIVERS, made = 20, []\n"
        "try:\n    for n in range(30): made.append(session.on('m', print))\n"
        "except TooLarge: print(len(made))\nfor one in made: one.close()"
    )
    assert hers.run(many).text == "20\n"


READS = """
from jupyter_server.auth import Authorizer
class Readers(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return resource != "sessions" or action == "read"
c.ServerApp.authorizer_class = Readers
c.AppMetaExtension.admins = ["root"]
"""
"""A configuration whose authorizer lets an administrator see connections, and neither end them nor send to them."""


def test_the_servers_authorizer_is_asked_for_each_action(tmp_path: Path) -> None:
    """Resource ``sessions``, actions ``read``, ``write`` and ``delete``: an administrator may only what it allows."""
    with serving(tmp_path, config=PEOPLE + READS, token="") as server:
        root, alice = (server.visitor(cookies={"person": name, "_xsrf": "ab" * 16}) for name in ("root", "alice"))
        alice.connect(alice.start_kernel()).run("1")
        [row] = root.get("api/app-meta/sessions").json()
        path = f"api/app-meta/sessions/{row['id']}"
        assert root.call("DELETE", path).status_code == 403
        assert root.call("POST", f"{path}/messages", {"name": "x"}).status_code == 403
        assert [one["username"] for one in root.get("api/app-meta/sessions").json()] == ["alice"]
        assert alice.get("api/app-meta/sessions").status_code == 403


def test_owner_sees_and_ends_the_connections_of_editors(tmp_path: Path) -> None:
    """A Jupyter server lists who is connected to which kernel. Its owner ends a connection, and the kernel goes on."""
    with serving(tmp_path) as server:
        owner = server.visitor()
        kernel = owner.start_kernel()
        socket = owner.connect(kernel)
        socket.run("1")
        [row] = owner.get("api/app-meta/sessions").json()
        assert (row["kernel_id"], row["connections"], row["dashboard"]) == (kernel, 1, f"kernel:{kernel}")
        page = owner.get("api/app-meta/sessions/page")
        assert page.status_code == 200 and 'data-url="/api/app-meta/sessions"' in page.text
        assert page.headers["Cache-Control"] == "no-store" and kernel not in page.text
        stranger = server.visitor(token=False).get("api/app-meta/sessions/page")
        assert stranger.status_code == 403 and "data-xsrf" not in stranger.text
        assert owner.call("DELETE", f"api/app-meta/sessions/{row['id']}").status_code == 204
        with pytest.raises(ConnectionError, match="administrator"):
            deque(iter(socket.receive, None), maxlen=0)
        assert eventually(lambda: owner.get("api/app-meta/sessions").json() == [])
        assert owner.get(f"api/kernels/{kernel}").status_code == 200
        assert server.visitor(token=False).get("api/app-meta/sessions").status_code == 403
