"""Which request code sees, in real kernels that several people share."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

import pytest
from people import AWARE, Kernel, running

from jupyter_app_meta import wire

THREAD = "import threading\nout = []\nt = threading.Thread(target=lambda: out.append(who())); t.start(); t.join()"
"""A cell's lines in which a thread tells what it sees."""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel with the IPython extension."""
    with running(tmp_path_factory.mktemp("aware"), AWARE) as kernel:
        yield kernel


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel without the IPython extension."""
    with running(tmp_path_factory.mktemp("bare")) as kernel:
        yield kernel


def test_ipykernel_keeps_the_message_in_a_context_variable() -> None:
    """The private variable that we rely on is there, and is a ContextVar, in the installed ipykernel."""
    from ipykernel.kernelbase import Kernel as Base

    assert Base.__annotations__["_shell_parent"].startswith("ContextVar")
    assert isinstance(Base()._shell_parent, ContextVar)


def test_cell_sees_its_sender(kernel: Kernel) -> None:
    """A cell sees the person who sent it, even if others use the kernel."""
    people = random.Random(1).choices(["alice", "bob", "carol"], k=60)
    assert [kernel.run(person, "print(who())") for person in people] == people


@pytest.mark.parametrize("stamp", [None, {}, [], "x", {"v": "1.0"}, {"v": "1.0", "payload": "{}", "mac": "0" * 64}])
def test_unstamped_cell_sees_nobody(kernel: Kernel, stamp: object) -> None:
    """A message without a stamp that this kernel's key signed has no request, and its mode is script."""
    kernel.run("alice", "print(who())")
    content = {"code": "m = app_meta(); print(m.request, m.mode, m.session.client_id)", "silent": False}
    assert kernel.finish(kernel.send(None, "execute_request", content, stamp=stamp)) == "None script None"


def test_copied_stamp_is_refused(kernel: Kernel) -> None:
    """A stamp that is copied from one message to another is worth nothing."""
    message = kernel.client.session.msg("execute_request", {})
    assert kernel.run(None, "print(who())", stamp=kernel.stamp("alice", message)) == "None"


def test_stamp_of_another_key_is_refused(kernel: Kernel) -> None:
    """A stamp signed with another kernel's key, or the empty one, is worth nothing."""
    for key in (b"another", b"\x00" * 32):
        message = kernel.client.session.msg("execute_request", {"code": "print(who())", "silent": False})
        header = message["header"]
        signer = wire.Signer(key, '{"mode":"edit","session":{},"request":null}')
        message["metadata"] = {wire.FIELD: signer.stamp(header["msg_id"], header["msg_type"])}
        kernel.client.shell_channel.send(message)
        assert kernel.finish(header["msg_id"]) == "None"


def test_kernel_without_a_key_believes_nothing(tmp_path: Path) -> None:
    """A kernel whose messages are not signed believes no stamp, not even one made with an empty key."""
    with running(tmp_path, AWARE, signed=False) as kernel:
        assert kernel.run("alice", "print(get_ipython().kernel.session.key, who())") == "b'' None"


def test_newer_version_is_named_in_one_warning(kernel: Kernel) -> None:
    """A stamp of an unknown major version means no request, and one warning that says what to do."""
    stamp = {"v": "9.0", "payload": "{}", "mac": "00"}
    first = kernel.run(None, "print(who())", stamp=stamp)
    assert "install the same release" in first
    assert "None" in first
    assert kernel.run(None, "print(who())", stamp=stamp) == "None"


def test_thread_sees_who_started_it(kernel: Kernel) -> None:
    """Trap: get_parent() in a plain thread answers the next person's message. A pinned thread keeps its starter."""
    kernel.run(
        "alice",
        "import threading\ngo, seen = threading.Event(), []\n"
        "def work():\n    seen.append(who()); go.wait(10); seen.append(who())\n"
        "    try: seen.append(get_ipython().kernel.get_parent()['header']['msg_id'])\n"
        "    except LookupError: seen.append(None)  # ipykernel 7.0\n"
        "class Own(threading.Thread):\n    def run(self): go.wait(10); seen2.append(who())\n"
        "seen2 = []\ntimer = threading.Timer(0.2, lambda: seen2.append(who()))\n"
        "threads = [threading.Thread(target=work), Own(), timer]\n"
        "for t in threads: t.start()",
    )
    assert kernel.run("bob", "go.set(); [t.join() for t in threads]; print(seen[:2], seen2)") == (
        "['alice', 'alice'] ['alice', 'alice']"
    )
    assert kernel.run("carol", "print(seen[2] == get_ipython().kernel.get_parent()['header']['msg_id'])") == "False"


def test_thread_of_a_thread_sees_the_first_starter(kernel: Kernel) -> None:
    """A thread that a pinned thread starts sees what its starter saw."""
    code = (
        "import threading\nout = []\n"
        "def inner(): out.append(who())\n"
        "def outer():\n    t = threading.Thread(target=inner); t.start(); t.join()\n"
        "t = threading.Thread(target=outer); t.start(); t.join(); print(out)"
    )
    assert kernel.run("alice", code) == "['alice']"


def test_thread_without_the_extension_sees_nobody(bare: Kernel) -> None:
    """Without the extension a thread sees None, never the latest message."""
    assert bare.run("alice", f"{THREAD}\nprint(out, who())") == "[None] alice"


def test_thread_that_nobody_started_sees_nobody(kernel: Kernel) -> None:
    """A thread that an unstamped message started is pinned to no request."""
    kernel.run(
        None,
        "import threading\ngo, out = threading.Event(), []\n"
        "t = threading.Thread(target=lambda: (go.wait(10), out.append(who()))); t.start()",
    )
    assert kernel.run("bob", "go.set(); t.join(); print(out)") == "[None]"


@pytest.mark.parametrize(
    "pool",
    ["concurrent.futures.ThreadPoolExecutor(1)", "multiprocessing.pool.ThreadPool(1)"],
)
def test_pool_worker_sees_nobody(kernel: Kernel, pool: str) -> None:
    """A pool's worker serves many people: it sees None unless the caller carries its context over."""
    imports = "import concurrent.futures, multiprocessing.pool, contextvars\n"
    submit = "(pool.submit(f).result() if hasattr(pool, 'submit') else pool.apply(f))"
    assert kernel.run("alice", f"{imports}pool = {pool}\nf = who\nprint({submit})") == "None"
    carry = "c = contextvars.copy_context()\nf = lambda: c.run(who)\n"
    assert kernel.run("bob", f"{carry}print({submit})") == "bob"
    assert kernel.run("carol", f"f = who\nprint({submit})") == "None"


@pytest.mark.parametrize(
    "pool",
    [
        "multiprocessing.get_context('fork').Pool(1)",
        "concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context('fork'))",
    ],
)
def test_forked_process_sees_nobody(kernel: Kernel, pool: str) -> None:
    """A forked worker inherits the variables of the code that forked it, and must not believe them."""
    imports = "import concurrent.futures, multiprocessing, warnings\nwarnings.simplefilter('ignore')\n"
    submit = "(pool.submit(who).result(20) if hasattr(pool, 'submit') else pool.apply_async(who).get(20))"
    assert kernel.run("alice", f"{imports}pool = {pool}\nprint({submit})") == "None"
    assert kernel.run("bob", f"print({submit})") == "None"
    kernel.run("bob", "(pool.shutdown if hasattr(pool, 'shutdown') else pool.terminate)()")


def test_task_keeps_its_creator(kernel: Kernel) -> None:
    """An asyncio task sees who created it, also while other people's cells run."""
    kernel.run(
        "alice",
        "import asyncio\nout = []\n"
        "async def later():\n    for _ in range(4):\n        out.append(who()); await asyncio.sleep(0.1)\n"
        "task = asyncio.ensure_future(later())",
    )
    assert kernel.run("bob", "import asyncio\nawait asyncio.sleep(0.25); print(who())") == "bob"
    assert kernel.run("carol", "await task; print(out, who())") == "['alice', 'alice', 'alice', 'alice'] carol"


def test_to_thread_and_copied_context_keep_their_creator(kernel: Kernel) -> None:
    """``asyncio.to_thread`` and ``copy_context().run`` see what their creator saw, for good."""
    kernel.run("alice", "import contextvars, asyncio\ncontext = contextvars.copy_context()")
    assert kernel.run("bob", "print(context.run(who), who())") == "alice bob"
    assert kernel.run("bob", "print(await asyncio.to_thread(who))") == "bob"
    assert kernel.run("carol", "print(await asyncio.to_thread(context.run, who))") == "alice"


def test_late_callback_keeps_its_creator(kernel: Kernel) -> None:
    """A callback that the loop runs after other people's cells sees who scheduled it."""
    kernel.run(
        "alice",
        "import asyncio\nout = []\n"
        "loop = asyncio.get_running_loop() if asyncio._get_running_loop() else asyncio.get_event_loop()\n"
        "_ = loop.call_later(0.2, lambda: out.append(who()))\n"
        "import tornado.ioloop\n_ = tornado.ioloop.IOLoop.current().call_later(0.2, lambda: out.append(who()))",
    )
    assert kernel.run("bob", "await asyncio.sleep(0.5); print(out)") == "['alice', 'alice']"


def test_callback_sees_the_sender_of_its_message(kernel: Kernel) -> None:
    """A comm callback sees who sent its message, also while another person's async cell awaits."""
    kernel.run(
        "alice",
        "import asyncio, comm\nout = []\nc = comm.create_comm(target_name='t', comm_id='the-comm')\n"
        "comm.get_comm_manager().register_comm(c)\n@c.on_msg\ndef _(msg): out.append(who())",
    )
    kernel.finish(kernel.comm("bob", "the-comm", {}))
    cell = kernel.start("alice", "before = who(); await asyncio.sleep(1); print(before, who())")
    time.sleep(0.3)
    kernel.comm("carol", "the-comm", {})
    kernel.comm(None, "the-comm", {})
    assert kernel.finish(cell) == "alice alice"
    assert kernel.run("alice", "print(out, who())") == "['bob', 'carol', None] alice"


def test_message_that_is_put_back_is_not_believed(kernel: Kernel) -> None:
    """ipykernel puts an earlier cell's message back after a comm message: what runs then sees its own person."""
    kernel.run(
        "alice",
        "import asyncio, comm\nc = comm.create_comm(target_name='t', comm_id='busy-comm')\n"
        "comm.get_comm_manager().register_comm(c)\n@c.on_msg\ndef _(msg): pass\n"
        "ends = []\ndef ended(result): ends.append((result.info.raw_cell.split('#')[-1], who()))\n"
        "get_ipython().events.register('post_run_cell', ended)",
    )
    for _ in range(20):
        kernel.start("alice", "await asyncio.sleep(0.003) #alice")
        last = kernel.start("carol", "await asyncio.sleep(0.004) #carol")
        for _ in range(30):
            kernel.comm("bob", "busy-comm", {})
        # Not by its idle status: that is given to the cell that was put back.
        while kernel.client.get_shell_msg(timeout=30)["parent_header"].get("msg_id") != last:
            pass
    kernel.run("alice", "get_ipython().events.unregister('post_run_cell', ended)")
    ends = kernel.value("bob", "import json; print(json.dumps(ends[1:]))")
    assert len(ends) >= 40
    assert [(cell, seen) for cell, seen in ends if cell in ("alice", "carol") and seen != cell] == []


def test_process_forked_by_a_pinned_thread_sees_nobody(kernel: Kernel) -> None:
    """What a thread was pinned to is not for a process that it forks."""
    code = (
        "import multiprocessing, threading, warnings\nwarnings.simplefilter('ignore')\n"
        "fork = multiprocessing.get_context('fork')\nqueue, seen = fork.SimpleQueue(), []\n"
        "def work():\n    seen.append(who())\n"
        "    child = fork.Process(target=lambda: queue.put(who()))\n"
        "    child.start(); seen.append(queue.get()); child.join()\n"
        "t = threading.Thread(target=work); t.start(); t.join(); print(seen)"
    )
    assert kernel.run("alice", code) == "['alice', None]"


def test_thread_that_could_not_start_belongs_to_its_next_starter(kernel: Kernel) -> None:
    """A thread whose start failed is pinned to the request that finally starts it."""
    kernel.run(
        "alice",
        "import threading\nout = []\n"
        "t = threading.Thread(target=lambda: out.append(who()))\n"
        "def fail(*args, **kwargs): raise RuntimeError('no threads today')\n"
        "name = next(n for n in ('_start_joinable_thread', '_start_new_thread') if hasattr(threading, n))\n"
        "original = getattr(threading, name); setattr(threading, name, fail)\n"
        "try: t.start()\nexcept RuntimeError: print('failed')\nfinally: setattr(threading, name, original)",
    )
    assert kernel.run("bob", "t.start(); t.join(); print(out)") == "['bob']"


def test_message_that_a_kernel_cannot_handle_is_logged_without_its_stamp(tmp_path: Path) -> None:
    """ipykernel logs a whole message that it cannot handle; the stamp in it is masked."""
    with running(tmp_path, AWARE, "--debug") as kernel:
        kernel.finish(kernel.send("alice", "execute_request", {"no": "code"}))
        assert kernel.run("alice", "print(who())") == "alice"
    log = (tmp_path / "stderr").read_text()
    assert "Got bad msg" in log
    assert "'app_meta': '***'" in log
    assert "tab-of-alice" not in log


def test_thread_that_was_not_made_says_what_is_wrong(kernel: Kernel) -> None:
    """A Thread whose __init__ was not called is refused in Python's own words."""
    code = "import threading\nclass Odd(threading.Thread):\n    def __init__(self): pass\nOdd().start()"
    assert "thread.__init__() not called" in kernel.run("alice", code)


def test_subshell_sees_the_sender_of_its_cell(kernel: Kernel) -> None:
    """Cells in a subshell see who sent them while another person's cell runs in the main shell."""
    kernel.run("alice", "import threading; done = threading.Event()")
    subshell = kernel.subshell()
    cell = kernel.start("alice", "print(done.wait(60), who())")
    kernel.start(
        "bob",
        "print('subshell', who(), threading.current_thread() is threading.main_thread(), flush=True); done.set()",
        subshell_id=subshell,
    )
    assert kernel.finish(cell) == "True alice"
    texts = [stray["content"]["text"] for stray in kernel.strays if stray["msg_type"] == "stream"]
    assert "subshell bob False\n" in texts


def test_cell_on_the_control_channel_sees_its_sender(kernel: Kernel) -> None:
    """A cell on the control channel sees its sender; a task that it leaves behind sees no request."""
    kernel.run("bob", "out = [who()]", channel="control")
    assert kernel.run("alice", "print(out)") == "['bob']"
    kernel.run(
        "bob",
        "import asyncio\nout = []\n_ = asyncio.get_event_loop().call_soon(lambda: out.append(who()))",
        channel="control",
    )
    kernel.run("alice", "print(who())", channel="control")
    assert kernel.run("alice", "print(out)") == "[None]"


def test_fake_that_is_left_open_ends_with_its_message(kernel: Kernel) -> None:
    """A fake request that a cell entered and never left is not believed by the next message."""
    kernel.run(
        "alice",
        "from jupyter_app_meta.testing import fake_request\n"
        "f = fake_request(user='mallory'); _ = f.__enter__(); print(who())",
    )
    assert kernel.run("bob", "print(who())") == "bob"


def test_fake_reaches_threads_and_tasks_of_its_block(kernel: Kernel) -> None:
    """Threads and tasks started under a fake request see it."""
    code = (
        "import asyncio, threading\nfrom jupyter_app_meta.testing import fake_request\nout = []\n"
        "with fake_request(user='dora'):\n"
        "    t = threading.Thread(target=lambda: out.append(who())); t.start(); t.join()\n"
        "    task = asyncio.ensure_future(asyncio.to_thread(who))\n"
        "print(out, await task, who())"
    )
    assert kernel.run("alice", code) == "['dora'] dora alice"


def test_loading_the_extension_gives_an_ordinary_kernel_the_same(tmp_path: Path) -> None:
    """``%load_ext jupyter_app_meta`` pins threads in an ordinary kernel, ``%unload_ext`` undoes it."""
    code = f"{THREAD}\nprint(out)"
    with running(tmp_path) as kernel:
        assert kernel.run("alice", code) == "[None]"
        kernel.run("alice", "%load_ext jupyter_app_meta")
        assert kernel.run("alice", code) == "['alice']"
        kernel.run("alice", "%unload_ext jupyter_app_meta")
        assert kernel.run("alice", code) == "[None]"
        assert kernel.run("alice", "import threading; print(threading.Thread.start.__module__)") == "threading"


def test_session_is_that_of_the_running_code(kernel: Kernel) -> None:
    """``from jupyter_app_meta import session`` follows the message, and is empty without one."""
    code = "from jupyter_app_meta import session\nprint(session.get('client_id'), session.get('path', 'unknown'))"
    assert kernel.run("alice", code) == "tab-of-alice unknown"
    assert kernel.run("bob", "print(session.client_id, session['client_id'])") == "tab-of-bob tab-of-bob"
    assert kernel.run(None, "print(session.get('client_id'))") == "None"


def test_gateway_key_is_used_and_not_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key from the environment replaces the Session's, and what the kernel starts does not inherit it."""
    monkeypatch.setenv(wire.KEY_VARIABLE, "given-at-the-start")
    with running(tmp_path) as kernel:
        assert kernel.run("alice", "print(who())") == "None"
        kernel.session.stamp_key = wire.derive_key(b"given-at-the-start")
        assert kernel.run("alice", "print(who())") == "alice"
        assert kernel.run("alice", f"import os; print(os.environ.get({wire.KEY_VARIABLE!r}))") == "None"


def test_empty_gateway_key_believes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty key in the environment is not a key, and the Session's own is not used instead."""
    monkeypatch.setenv(wire.KEY_VARIABLE, "")
    with running(tmp_path) as kernel:
        assert kernel.run("alice", "print(who())") == "None"


def test_snapshot_keeps_its_value(kernel: Kernel) -> None:
    """A snapshot that one cell took is still that request in another person's cell."""
    kernel.run("alice", "mine = app_meta()")
    assert kernel.value("bob", "import json; print(json.dumps([mine.user.username, who()]))") == ["alice", "bob"]


def test_output_shows_no_stamp(kernel: Kernel) -> None:
    """Stamps are not echoed: nothing that the kernel publishes has one."""
    kernel.run("alice", "print(who())")
    assert '"payload"' not in json.dumps(kernel.strays, default=str)
