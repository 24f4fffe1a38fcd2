"""The claim of a warm kernel: code that asks ahead waits for the visitor, in real kernels that are not claimed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager
from people import AWARE, Json, Kernel, managed, person, running

from jupyter_app_meta import wire
from jupyter_app_meta.model import AppMeta, SessionInfo

ID = "kernel-1"
AHEAD = AppMeta(None, "run", SessionInfo(kernel_id=ID))
"""What a server says of a cell that is run before anybody came."""

ANEW = "from jupyter_app_meta.kernel import claims; claims.the_claim = claims.Claim()"
"""A cell that makes its kernel one that was not claimed yet."""

FORK = """
import multiprocessing
fork = multiprocessing.get_context("fork")
def ask(queue): queue.put((app_meta().request, app_meta(timeout=5).mode))
def child():
    queue = fork.SimpleQueue()
    process = fork.Process(target=ask, args=(queue,))
    process.start(); seen = queue.get(); process.join()
    return seen
"""

THREADED = "import threading\nt = threading.Thread(target=who); t.start()"
TASKED = "import asyncio\nasync def later(): who()\ntask = asyncio.ensure_future(later())"
"""Cells that leave a thread or task behind that asks."""


def visit(username: str, kernel_id: str | None = ID) -> AppMeta:
    """Return what a server says of a visitor to whom it gives a kernel."""
    return AppMeta(person(username).request, "run", SessionInfo(kernel_id=kernel_id))


class Ahead:
    """A kernel that a server runs ahead of its visitor, as its dashboards do."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def send(
        self, meta: AppMeta, kind: wire.Claim | None, msg_type: str, content: Json, channel: str = "shell", **more: Any
    ) -> str:
        """Send a message with the stamp of a claim; ``stamp`` changes it first."""
        session = self.kernel.session
        session.visitor = None
        message = session.msg(msg_type, content)
        key = session.stamp_key or wire.derive_key(session.key)
        assert key is not None
        stamp = wire.Signer(key, wire.encode(meta, claim=kind)).stamp(message["msg_id"], msg_type)
        message["metadata"] = {wire.FIELD: more.get("stamp", stamp)}
        getattr(self.kernel.client, f"{channel}_channel").send(message)
        return str(message["msg_id"])

    def start(self, code: str) -> str:
        """Send a cell that is run ahead."""
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False, "stop_on_error": False}
        return self.send(AHEAD, "pending", "execute_request", {**content, "user_expressions": {}})

    def run(self, code: str) -> str:
        """Run a cell ahead and return what it printed."""
        return self.kernel.finish(self.start(code))

    def finish(self, msg_id: str) -> str:
        """Return what a cell printed."""
        return self.kernel.finish(msg_id)

    def claim(self, username: str, kernel_id: str | None = ID) -> None:
        """Give the kernel to a visitor."""
        self.send(visit(username, kernel_id), "given", wire.CLAIM_TYPE, {}, "control")

    def settle(self) -> None:
        """Wait until the control messages that were sent are done."""
        msg_id = self.kernel.send(None, "kernel_info_request", {}, channel="control")
        while self.kernel.client.get_control_msg(timeout=90)["parent_header"].get("msg_id") != msg_id:
            pass

    def asks(self, code: str) -> str:
        """Send a cell that is run ahead, and wait until it is about to ask."""
        msg_id = self.start(f"print('about to ask')\n{code}")
        while (message := self.kernel.client.get_iopub_msg(timeout=90))["msg_type"] != "stream":
            self.kernel.strays.append(message)
        return msg_id

    def waits(self, msg_id: str, seconds: float = 0.1) -> bool:
        """Whether a cell is still not done after a while."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not self.kernel.client.iopub_channel.socket.poll(left * 1000):
                return True
            message = self.kernel.client.get_iopub_msg(timeout=1)
            self.kernel.strays.append(message)
            idle = message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
            if idle and message["parent_header"].get("msg_id") == msg_id:
                return False
        return True


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kernel, Path]]:
    """A kernel with the IPython extension, and where its log is."""
    home = tmp_path_factory.mktemp("ahead")
    with running(home, AWARE) as kernel:
        yield kernel, home


@pytest.fixture
def ahead(shared: tuple[Kernel, Path]) -> Iterator[Ahead]:
    """A kernel without a visitor; in the end nothing waits in it."""
    shared[0].run(None, ANEW)
    yield Ahead(shared[0])
    Ahead(shared[0]).claim("somebody")
    Ahead(shared[0]).settle()


@pytest.fixture
def log(shared: tuple[Kernel, Path]) -> Path:
    """What the kernel logs."""
    return shared[1] / "stderr"


def ends_on_request(manager: KernelManager, ahead: Ahead) -> None:
    """Ask the kernel to end, and wait until it has ended by itself, without being killed."""
    ahead.kernel.send(None, "shutdown_request", {"restart": False}, channel="control")
    deadline = time.monotonic() + 60
    while manager.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def owned(home: Path, *arguments: str) -> Iterator[tuple[KernelManager, Ahead]]:
    """Run a kernel that the test may interrupt and end, and its manager."""
    manager = managed(KernelManager, home, "ahead", *arguments)
    with (home / "stderr").open("wb") as stderr:
        manager.start_kernel(stdout=stderr, stderr=stderr)
        client = manager.client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=60)
            ahead = Ahead(Kernel(client))
            ahead.kernel.run(None, "from jupyter_app_meta import app_meta\ndef who(): return app_meta().user.username")
            yield manager, ahead
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


# --- who waits -------------------------------------------------------------------------------------------------------


def test_cell_that_asks_early_waits_for_the_visitor(ahead: Ahead) -> None:
    """A cell that is run ahead stops where it asks, and goes on with the visitor's request, kernel and mode."""
    cell = ahead.start("m = app_meta(); print(who(), m.mode, m.session.kernel_id, m.request.query_params['region'])")
    assert ahead.waits(cell)
    ahead.claim("alice")
    assert ahead.finish(cell) == "alice run kernel-1 emea"


def test_code_before_the_question_does_not_wait(ahead: Ahead) -> None:
    """A cell that never asks is run to its end, and what a cell does before it asks is done ahead."""
    assert ahead.run("done = ['first']; print('done')") == "done"
    cell = ahead.start("done.append('second'); done.append(who()); print(done)")
    assert ahead.waits(cell)
    ahead.claim("alice")
    assert ahead.finish(cell) == "['first', 'second', 'alice']"


def test_cell_asks_as_often_as_it_likes(ahead: Ahead) -> None:
    """The second question of a cell, and of a later cell that was sent ahead, has the same answer at once."""
    first = ahead.start("print(who(), who(), app_meta() is app_meta())")
    second = ahead.start("print(who())")
    assert ahead.waits(first)
    ahead.claim("alice")
    assert ahead.finish(first) == "alice alice True"
    assert ahead.finish(second) == "alice"


def test_claim_may_come_before_the_question(ahead: Ahead) -> None:
    """A kernel that was claimed before its notebook asked for anything answers at once."""
    ahead.claim("alice")
    ahead.settle()
    assert ahead.run("print(who())") == "alice"


@pytest.mark.parametrize(
    "question",
    [
        "await asyncio.ensure_future(later())",
        "await asyncio.to_thread(who)",
        "pinned()",
        "(await asyncio.gather(later(), asyncio.to_thread(who), asyncio.to_thread(pinned)))[2]",
        "contextvars.copy_context().run(who)",
    ],
)
def test_tasks_and_threads_of_a_cell_wait_too(ahead: Ahead, question: str) -> None:
    """A task, ``to_thread``, a copied context and a pinned thread wait as their cell does, and see its visitor."""
    ahead.kernel.run(
        None,
        "import asyncio, contextvars, threading\n"
        "async def later(): await asyncio.sleep(0); return who()\n"
        "def pinned():\n    out = []\n    t = threading.Thread(target=lambda: out.append(who())); t.start(); t.join()\n"
        "    return out[0]",
    )
    cell = ahead.start(f"print({question})")
    assert ahead.waits(cell)
    ahead.claim("alice")
    assert ahead.finish(cell) == "alice"


def test_threads_outlast_the_cell_that_started_them(ahead: Ahead) -> None:
    """A thread that asks after its cell is done waits on its own, and other cells go on meanwhile."""
    start = "import threading, time\nout = []\nt = threading.Thread(target=lambda: out.append(who())); t.start()"
    ahead.run(start)
    assert ahead.run("time.sleep(0.1); print(out, t.is_alive())") == "[] True"
    ahead.claim("alice")
    assert ahead.run("t.join(5); print(out)") == "['alice']"


def test_task_that_waits_outlasts_the_cell_that_created_it(ahead: Ahead) -> None:
    """A task that asks after its cell is done waits, and answers with the visitor, as the next cell does."""
    ahead.run("import asyncio\nout = []\nasync def later(): out.append(who())\ntask = asyncio.ensure_future(later())")
    cell = ahead.start("await task; print(out, who())")
    assert ahead.waits(cell)
    ahead.claim("alice")
    assert ahead.finish(cell) == "['alice'] alice"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("%app_meta user.username", "'alice'"),
        ("u = %app_meta user.username\nprint(u)", "alice"),
        ("from jupyter_app_meta import session; print(session.get('kernel_id'))", "kernel-1"),
        ("from jupyter_app_meta import session; print(session['kernel_id'], len(session))", "kernel-1 4"),
        ("print(app_meta(timeout=20).require_user().username)", "alice"),
    ],
)
def test_every_way_to_ask_waits(ahead: Ahead, question: str, answer: str) -> None:
    """The magic, the session and the strict question wait as ``app_meta()`` does."""
    cell = ahead.start(question)
    assert ahead.waits(cell)
    ahead.claim("alice")
    assert ahead.finish(cell) == answer


def test_nobody_else_waits(ahead: Ahead) -> None:
    """A message without a stamp, or with a visitor's ordinary one, is answered at once, before and after the claim."""
    for _ in range(2):
        assert ahead.kernel.run(None, "m = app_meta(); print(m.request, m.mode, m.session.kernel_id)") == (
            "None script None"
        )
        assert ahead.kernel.run("bob", "print(who(), app_meta().session.client_id)") == "bob tab-of-bob"
        assert ahead.kernel.value("bob", "import json; print(json.dumps(app_meta().mode))") == "edit"
        ahead.claim("alice")
        ahead.settle()


def test_unpinned_thread_does_not_wait(ahead: Ahead) -> None:
    """A pool's worker serves many people: it sees no request, at once, even if its cell is run ahead."""
    ahead.kernel.run(None, "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(1)")
    assert ahead.run("print(pool.submit(who).result(5))") == "None"


def test_callback_without_a_message_does_not_wait(ahead: Ahead) -> None:
    """A callback in a context of its own sees no request, at once, no matter who scheduled it."""
    ahead.run("import asyncio, contextvars\nout = []")
    later = "_ = asyncio.get_event_loop().call_soon(lambda: out.append(who()), context=contextvars.Context())"
    ahead.run(later)
    assert ahead.kernel.run(None, "print(out)") == "[None]"


def test_fake_request_in_a_cell_that_is_run_ahead_does_not_wait(ahead: Ahead) -> None:
    """An author's own fake answers at once, and what comes after it waits again."""
    fake = "from jupyter_app_meta.testing import fake_request\nwith fake_request(user='dora'): seen = who()"
    assert ahead.run(f"{fake}\nprint(seen)") == "dora"
    cell = ahead.start(f"{fake}\nprint(seen, who())")
    assert ahead.waits(cell)
    ahead.claim("alice")
    assert ahead.finish(cell) == "dora alice"


def test_forked_child_sees_nobody_and_does_not_hang(ahead: Ahead) -> None:
    """A process that is forked while a cell and a thread wait sees no request, before and after the claim."""
    ahead.kernel.run(None, f"import warnings; warnings.simplefilter('ignore')\n{FORK}")
    assert ahead.run("print(child())") == "(None, 'script')"
    wait = "import threading\nt = threading.Thread(target=lambda: out.append(who())); t.start()"
    assert ahead.run(f"out = []\n{wait}\nprint(child(), out)") == "(None, 'script') []"
    pinned = "t2 = threading.Thread(target=lambda: out.append(child())); t2.start(); t2.join(); print(out)"
    assert ahead.run(pinned) == "[(None, 'script')]"
    ahead.claim("alice")
    assert ahead.run("t.join(5); print(who(), child(), out[1:])") == "alice (None, 'script') ['alice']"


# --- the claim -------------------------------------------------------------------------------------------------------


def test_cells_after_the_claim_see_their_own_sender(ahead: Ahead) -> None:
    """Once claimed, a kernel's messages are stamped as any other's: each cell sees the one it came from."""
    cell = ahead.start("first = app_meta(); print(who())")
    ahead.claim("alice")
    assert ahead.finish(cell) == "alice"
    assert ahead.kernel.run("carol", "print(who(), app_meta().mode, first.user.username)") == "carol edit alice"
    assert ahead.run("print(who())") == "alice"


def test_second_claim_is_refused(ahead: Ahead) -> None:
    """The first visitor stays, even if another claim arrives, before or after code has asked."""
    cell = ahead.start("print(who())")
    ahead.claim("alice")
    ahead.claim("bob")
    assert ahead.finish(cell) == "alice"
    ahead.claim("bob")
    ahead.settle()
    assert ahead.run("print(who())") == "alice"


@pytest.mark.parametrize("other", ["kernel-2", "", None])
def test_claim_for_another_kernel_gives_nobody(ahead: Ahead, other: str | None) -> None:
    """A claim that was signed for another kernel of the same key ends the wait with an error, not with a visitor."""
    cell = ahead.start("print(who())")
    ahead.claim("mallory", kernel_id=other)
    assert ahead.finish(cell).startswith("NotClaimed: This claim is for another kernel.")
    assert ahead.run("print(app_meta(timeout=0.1))").startswith("NotClaimed: This claim is for another kernel")
    assert ahead.kernel.run("bob", "print(who())") == "bob"


FORGED: Json = {
    "no stamp": None,
    "an empty one": {},
    "not an object": ["given"],
    "another key's": wire.Signer(b"another", wire.encode(visit("mallory"), claim="given")).stamp("id", wire.CLAIM_TYPE),
    "no key's": wire.Signer(b"", wire.encode(visit("mallory"), claim="given")).stamp("id", wire.CLAIM_TYPE),
    "a newer one": {"v": "9.0", "payload": "{}", "mac": "00"},
    "plain words": {"v": "1.0", "payload": wire.encode(visit("mallory"), claim="given"), "mac": "0" * 64},
}


@pytest.mark.parametrize("stamp", FORGED)
def test_forged_claim_is_ignored(ahead: Ahead, log: Path, stamp: str) -> None:
    """A claim that this kernel's key did not sign is logged without its content, and the wait goes on."""
    cell = ahead.start("print(who())")
    ahead.send(visit("mallory"), "given", wire.CLAIM_TYPE, {}, "control", stamp=FORGED[stamp])
    assert ahead.waits(cell)
    ahead.claim("alice")
    assert ahead.finish(cell) == "alice"
    assert re.search("A claim of this kernel was refused", log.read_text())
    assert "mallory" not in log.read_text()


def test_claim_without_the_kernels_signature_is_ignored(ahead: Ahead) -> None:
    """A message that is not signed as kernel messages are does not reach us, and one that comes twice does so once."""
    session = ahead.kernel.session
    cell = ahead.start("print(who())")
    key, session.key = session.key, b"guessed"
    session.stamp_key = wire.derive_key(key)
    try:
        ahead.claim("mallory")
    finally:
        session.key, session.stamp_key = key, None
    assert ahead.waits(cell)
    ahead.claim("alice")
    assert ahead.finish(cell) == "alice"


def test_stamp_of_a_claim_on_another_message_is_ignored(ahead: Ahead) -> None:
    """The stamp of one claim is worth nothing on another message, be it one of the same type."""
    session = ahead.kernel.session
    original = session.msg(wire.CLAIM_TYPE, {})
    key = wire.derive_key(session.key)
    assert key is not None
    signer = wire.Signer(key, wire.encode(visit("mallory"), claim="given"))
    stamp = signer.stamp(original["msg_id"], wire.CLAIM_TYPE)
    cell = ahead.start("print(who())")
    ahead.send(AHEAD, None, wire.CLAIM_TYPE, {}, "control", stamp=stamp)
    assert ahead.waits(cell)
    ahead.claim("alice")
    assert ahead.finish(cell) == "alice"


@pytest.mark.parametrize("kind", [None, "pending"])
@pytest.mark.parametrize("channel", ["control", "shell"])
def test_only_a_claim_is_one(ahead: Ahead, kind: wire.Claim | None, channel: str) -> None:
    """A message of the claim's type with an ordinary stamp, as a browser can send, or a pending one, claims nothing."""
    cell = ahead.start("print(who())")
    ahead.send(visit("mallory"), kind, wire.CLAIM_TYPE, {"claim": "given"}, channel)
    assert ahead.waits(cell)
    ahead.claim("alice")
    assert ahead.finish(cell) == "alice"


def test_claim_on_the_shell_channel_is_none(ahead: Ahead) -> None:
    """A claim counts on the control channel alone, which no cell keeps waiting."""
    ahead.send(visit("mallory"), "given", wire.CLAIM_TYPE, {}, "shell")
    assert ahead.run("print(app_meta(timeout=0.1))").startswith("NotClaimed")
    ahead.claim("alice")
    assert ahead.run("print(who())") == "alice"


def test_claim_publishes_nothing(ahead: Ahead) -> None:
    """Other clients of the kernel hear nothing of the visitor: only that the kernel was busy."""
    ahead.kernel.strays.clear()
    ahead.claim("alice")
    ahead.settle()
    ahead.run("print(who())")
    strays = ahead.kernel.strays
    assert {message["msg_type"] for message in strays} <= {"status", "execute_input"}
    assert "alice" not in str(strays) and "payload" not in str(strays)


# --- how a wait ends without a visitor -------------------------------------------------------------------------------


def test_timeout_ends_the_wait(ahead: Ahead) -> None:
    """An author's timeout ends the wait in time, with a TimeoutError that says why; the visitor can still come."""
    cell = (
        "import time, jupyter_app_meta\nbegan = time.monotonic()\n"
        "try: app_meta(timeout=0.2)\n"
        "except TimeoutError as error: print(type(error).__name__, error)\n"
        "print(0.2 <= time.monotonic() - began < 30, issubclass(jupyter_app_meta.NotClaimed, TimeoutError))"
    )
    answer = "NotClaimed No visitor arrived at this warm kernel within 0.2 seconds.\nTrue True"
    assert ahead.run(cell) == answer
    assert ahead.run(cell) == answer
    late = ahead.start("print(app_meta(timeout=10).user.username)")
    ahead.claim("alice")
    assert ahead.finish(late) == "alice"


@pytest.mark.parametrize("timeout", ["0", "-1", "0.0"])
def test_timeout_of_nothing_does_not_wait(ahead: Ahead, timeout: str) -> None:
    """A timeout of zero or less asks whether the visitor has arrived."""
    assert ahead.run(f"print(app_meta(timeout={timeout}))").startswith("NotClaimed: No visitor arrived")
    ahead.claim("alice")
    ahead.settle()
    assert ahead.run(f"print(app_meta(timeout={timeout}).user.username)") == "alice"


@pytest.mark.parametrize("timeout", ["'x'", "float('nan')", "[]"])
def test_timeout_that_is_not_a_number_is_a_type_error(ahead: Ahead, timeout: str) -> None:
    """A mistake in the call is not a TimeoutError, which an author may catch for visitors who do not arrive."""
    cell = f"try: app_meta(timeout={timeout})\nexcept TypeError as error: print(error)"
    assert ahead.run(cell).startswith("timeout must be a number of seconds or None, not ")


@pytest.mark.parametrize("timeout", ["float('inf')", "1e10", "'5'"])
def test_unusable_timeout_never_gives_nobody(ahead: Ahead, timeout: str) -> None:
    """A timeout that no lock takes ends in a wait or with an error: a kernel that is run ahead never answers None."""
    cell = ahead.start(f"print(app_meta(timeout={timeout}).request)")
    answer = "waits" if ahead.waits(cell) else ahead.run(f"print(app_meta(timeout={timeout}).request)")
    ahead.claim("alice")
    ahead.settle()
    assert answer != "None"


def test_interrupt_ends_the_wait(tmp_path: Path) -> None:
    """Interrupting the kernel ends a cell's wait, even a wait for its thread; its visitor can still arrive."""
    with owned(tmp_path, AWARE) as (manager, ahead):
        for code in ("who()", f"{THREADED}; t.join()"):
            cell = ahead.asks(code)
            assert ahead.waits(cell)
            manager.interrupt_kernel()
            assert ahead.finish(cell).startswith("KeyboardInterrupt")
        assert ahead.run("print('goes on')") == "goes on"
        cell = ahead.start("print(who())")
        assert ahead.waits(cell)
        ahead.claim("alice")
        assert ahead.finish(cell) == "alice"


@pytest.mark.parametrize("before", ["pass", THREADED, TASKED], ids=["cell", "thread", "task"])
def test_shutdown_ends_the_wait(tmp_path: Path, before: str) -> None:
    """A kernel that is shut down while code waits says so to that code, and is gone at once, not killed later."""
    with owned(tmp_path, AWARE) as (manager, ahead):
        ahead.run(before)
        ended = f"import sys\ntry: who()\nfinally: open({str(tmp_path / 'ended')!r}, 'w').write(str(sys.exception()))"
        assert ahead.waits(ahead.start(ended), 0.3)
        ends_on_request(manager, ahead)
    assert (tmp_path / "ended").read_text() == "The warm kernel was shut down before a visitor arrived."


def test_manager_need_not_kill_who_waits(tmp_path: Path) -> None:
    """A server ends a kernel by an interrupt and a request: a task and a thread that no interrupt reaches end too."""
    with owned(tmp_path, AWARE) as (manager, ahead):
        ahead.run(f"{THREADED}\n{TASKED}")
        manager.shutdown_wait_time = 120
        began = time.monotonic()
        manager.shutdown_kernel()
        assert time.monotonic() - began < 50  # at 60 the manager would lose patience


# --- with and without the extension ----------------------------------------------------------------------------------


def test_kernel_without_the_extension_takes_its_claim(tmp_path: Path) -> None:
    """A kernel that only imports the function listens from its first wait on; %load_ext, %unload_ext leave nothing."""
    with owned(tmp_path) as (_, ahead):
        cell = ahead.start("print(who())")
        assert ahead.waits(cell)
        ahead.claim("alice")
        assert ahead.finish(cell) == "alice"
        ahead.claim("bob")
        ahead.settle()
        assert ahead.run("print(who())") == "alice"


def test_unloading_leaves_nothing(tmp_path: Path) -> None:
    """Loading adds one handler of control messages, and is idempotent; unloading restores them."""
    names = "k = get_ipython().kernel; now = lambda: dict(k.control_handlers)"
    with owned(tmp_path) as (manager, ahead):
        ahead.kernel.run(None, f"{names}\nbefore = now()")
        ahead.kernel.run(None, "%load_ext jupyter_app_meta")
        ahead.kernel.run(None, "from jupyter_app_meta import load_ipython_extension as load; load(get_ipython())")
        assert ahead.kernel.run(None, "print(sorted(now().keys() - before.keys()))") == f"['{wire.CLAIM_TYPE}']"
        ahead.kernel.run(None, "%unload_ext jupyter_app_meta\n%unload_ext jupyter_app_meta")
        assert ahead.kernel.run(None, "print(now() == before)") == "True"
        ends_on_request(manager, ahead)
