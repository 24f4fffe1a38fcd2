"""A forked kernel to which a browser connects: it has the sockets of an ordinary kernel from then on."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from people import Json, Kernel, Stamping
from templates import PATIENCE, Child, Template, template

from jupyter_app_meta.kernel.forks.sockets import frames

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")

CHANNELS = ("shell", "iopub", "stdin", "control", "hb")

AHEAD = """
from jupyter_app_meta import app_meta
def who():
    user = app_meta().user
    return user and user["username"]
import threading, time
from comm import create_comm
answered = []
comm = create_comm("test")
comm.on_msg(lambda message: answered.append((who(), message["content"]["data"])))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    """A template whose notebook has been run to its end."""
    with template(tmp_path_factory.mktemp("attached")) as made:
        assert made.run(AHEAD, pending=True) == ""
        assert made.prepare() == ""
        yield made


def info(home: Path) -> Json:
    """Return where a kernel listens."""
    return {"transport": "ipc", "ip": str(home / "k"), **{f"{name}_port": at for at, name in enumerate(CHANNELS, 1)}}


@contextmanager
def connected(child: Child, home: Path) -> Iterator[Kernel]:
    """A client of a child, as a browser's connection has it."""
    child.write(frames.ATTACH, json.dumps(info(home)).encode())
    assert child.told() == [frames.ATTACHED]
    client = BlockingKernelClient()
    where: Any = {**info(home), "key": child.key, "signature_scheme": "hmac-sha256"}
    client.load_connection_info(where)
    client.session = Stamping(key=child.key.encode())
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE)
        yield Kernel(client)
    finally:
        client.stop_channels()


@pytest.fixture
def attached(made: Template, tmp_path: Path) -> Iterator[tuple[Child, Kernel]]:
    """A child of alice, and her browser."""
    child = made.fork()
    child.claim("alice")
    with connected(child, tmp_path) as browser:
        yield child, browser


def test_it_is_an_ordinary_kernel(attached: tuple[Child, Kernel]) -> None:
    """Cells, callbacks, the heartbeat; each message sees its own visitor."""
    _, browser = attached
    assert browser.run("alice", "print(who())") == "alice"
    comm_id = browser.run("alice", "print(comm.comm_id)")
    browser.finish(browser.comm("alice", comm_id, {"n": 5}))
    assert browser.run("alice", "print(answered)") == "[('alice', {'n': 5})]"
    assert browser.client.is_alive()
    assert browser.client.hb_channel.is_beating()


def test_each_side_has_its_replies(attached: tuple[Child, Kernel]) -> None:
    """The server's own cells are answered on its socket as before, and the browser sees what they publish."""
    child, browser = attached
    assert child.run("print('for both')", visitor="alice") == "for both\n"
    child.write(frames.QUIET)
    msg_id = child.execute("print('for the browser')", visitor="alice")
    assert browser.finish(msg_id) == "for the browser"
    letter, reply = child.message()
    while letter != frames.SHELL:
        letter, reply = child.message()
    assert reply["parent_header"]["msg_id"] == msg_id
    assert not [seen for seen in child.seen if seen["content"].get("text") == "for the browser\n"]


def test_output_arrives_while_a_cell_is_busy(attached: tuple[Child, Kernel]) -> None:
    """A thread publishes, so that the main thread need not, and a cell can be interrupted."""
    child, browser = attached
    msg_id = browser.start("alice", "print('busy')\nwhile True: pass")
    while browser.client.get_iopub_msg(timeout=PATIENCE)["content"].get("text") != "busy\n":
        pass
    child.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in browser.finish(msg_id)


def test_processes_print_to_the_browser(attached: tuple[Child, Kernel]) -> None:
    """The output of a process that a cell forks arrives."""
    _, browser = attached
    code = (
        "import multiprocessing\nfork = multiprocessing.get_context('fork')\n"
        "process = fork.Process(target=print, args=('forked',))\nprocess.start(); process.join()"
    )
    msg_id = browser.start("alice", code)
    while browser.client.get_iopub_msg(timeout=PATIENCE)["content"].get("text", "").strip() != "forked":
        pass
    assert msg_id


def test_a_shutdown_request_ends_it(attached: tuple[Child, Kernel]) -> None:
    """As jupyter_server asks for it; what the kernel registered for its end is done."""
    child, browser = attached
    browser.run("alice", "import atexit\natexit.register(open, 'ended', 'w')")
    browser.client.shutdown()
    assert child.ended()


def test_the_end_of_the_socket_ends_it(attached: tuple[Child, Kernel]) -> None:
    """The server's own socket is still its life."""
    child, _ = attached
    child.own.close()
    assert child.ended()


def test_siblings_are_apart(made: Template, tmp_path: Path) -> None:
    """A comm that was made ahead has one id in all children, and each has its own end of it."""
    with ExitStack() as stack:
        browsers = []
        for username in ("alice", "bob"):
            (tmp_path / username).mkdir()
            child = made.fork()
            child.claim(username)
            browsers.append(stack.enter_context(connected(child, tmp_path / username)))
        alice, bob = browsers
        comm_id = alice.run("alice", "print(comm.comm_id)")
        assert bob.run("bob", "print(comm.comm_id)") == comm_id
        alice.finish(alice.comm("alice", comm_id, {"secret": 5}))
        assert alice.run("alice", "print(answered)") == "[('alice', {'secret': 5})]"
        assert bob.run("bob", "print(answered)") == "[]"


def test_where_it_cannot_listen(made: Template, tmp_path: Path) -> None:
    """The server is told why, and may try again."""
    child = made.fork()
    child.claim("alice")
    child.write(frames.ATTACH, json.dumps(info(tmp_path / "missing")).encode())
    told, why = child.told()
    assert (told, why[:25]) == (frames.NOT_ATTACHED, b"The kernel cannot listen:")
    with connected(child, tmp_path) as browser:
        assert browser.run("alice", "print(who())") == "alice"


@pytest.mark.parametrize("how", ["{}", "thread = threading.Thread(target=lambda: {})\nthread.start(); thread.join()"])
def test_code_that_needs_sockets_waits_for_them(made: Template, tmp_path: Path, how: str) -> None:
    """Stored state needs the control channel: the child says so, and goes on once it is attached."""
    child = made.fork()
    child.claim("alice")
    needs = f"get_ipython().kernel.connect({1 if 'Thread' in how else PATIENCE})"
    msg_id = child.execute(how.format(needs) + "\nprint('went on')", visitor="alice")
    assert child.told() == [frames.WANTED]
    child.write(frames.ATTACH, json.dumps(info(tmp_path)).encode())
    if "Thread" not in how:
        assert child.told() == [frames.ATTACHED]
    assert child.finish(msg_id) == "went on\n"  # a thread may wait in vain while the main thread waits for it


def test_state_that_is_used_ahead_is_refused(tmp_path: Path) -> None:
    """A template has no control channel."""
    with template(tmp_path) as made:
        made.execute("get_ipython().kernel.connect(5)", pending=True)
        assert made.answer()["why"] == "a cell uses stored state ahead of its visitor"
