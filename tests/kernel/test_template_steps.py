"""More of what each child has of its own: what no visit of a page shows, and code of a notebook may ask for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from templates import PATIENCE, Child, Template, template
from test_template import gone, until

from jupyter_app_meta.kernel.forks.sockets import frames

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")

AHEAD = """
import asyncio, ctypes, json, multiprocessing.util, os, signal
from ipykernel.kernelapp import IPKernelApp
from jupyter_app_meta import app_meta
def at_end(name):
    print("ended", name, file=open("ends.txt", "a"))
class Thing: pass
thing, forks, signals = Thing(), [], asyncio.Event()
kept = multiprocessing.util.Finalize(None, at_end, ("template's",), exitpriority=1)
multiprocessing.util.register_after_fork(thing, lambda _: forks.append("after"))
asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, signals.set)
session = get_ipython().kernel.session
c = ctypes.CDLL(None)
c.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(c.fopen(b"written-by-c.txt", b"a"))
n = c.fputs(b"ahead ", file)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the notebook."""
    return tmp_path_factory.mktemp("steps")


@pytest.fixture(scope="module")
def made(home: Path) -> Iterator[tuple[Template, str]]:
    """A template that waits in a cell for its visitors, and the id of that cell's message."""
    with template(home) as made:
        for code in (AHEAD, *["display(1)"] * 20, "digests, count = {*session.digest_history}, session.message_count"):
            made.run(code, pending=True)
        asked = made.ask("app_meta()")
        assert made.prepare() == ""
        yield made, asked


@pytest.fixture
def child(made: tuple[Template, str]) -> Child:
    """The kernel of a visitor, whose cell has ended."""
    child = made[0].fork()
    child.claim("alice")
    child.finish(made[1])
    return child


def value(child: Child, expression: str) -> Any:
    """Return what an expression is in a child."""
    return json.loads(child.run(f"print(json.dumps({expression}))", visitor="alice"))


def test_the_loop_is_that_of_the_process(child: Child) -> None:
    """Step 3: also for code that asks the policy, from outside of the loop."""
    loop = "asyncio.get_event_loop_policy().get_event_loop() is asyncio.get_running_loop()"
    assert value(child, loop) is True


def test_a_signal_wakes_the_loop_of_the_child(child: Child) -> None:
    """Step 3: a handler that the notebook added to its loop is called in the child that gets the signal."""
    child.send_signal(signal.SIGUSR1)
    assert child.run("print(await asyncio.wait_for(signals.wait(), 60))", visitor="alice") == "True\n"


def test_multiprocessing_ends_what_is_the_childs(child: Child, home: Path) -> None:
    """Step 4: what the template planned is not done, what is planned in the child is, and it knows of the fork."""
    assert value(child, "forks") == ["after"]
    name = os.urandom(8).hex()
    child.run(f"own = multiprocessing.util.Finalize(None, at_end, ('{name}',), exitpriority=1)", visitor="alice")
    child.own.close()
    assert child.ended()
    text = (home / "ends.txt").read_text()
    assert name in text
    assert "template's" not in text


def test_a_session_begins_anew(child: Child) -> None:
    """Step 5: neither what it has seen nor how many messages it has sent are the template's."""
    assert value(child, "[len(digests) > 20, bool(digests & session.digest_history)]") == [True, False]
    assert value(child, "[count > 40, session.message_count < count]") == [True, True]


def test_a_kernel_is_named_after_itself(child: Child) -> None:
    """Step 5: its connection file, and the topics under which it publishes."""
    kernel = "get_ipython().kernel"
    assert value(child, "IPKernelApp.instance().connection_file") == f"kernel-{child.id}.json"
    topics = f"[{kernel}.shell.displayhook.topic.decode(), {kernel}.ident]"
    topic, ident = value(child, topics)
    assert topic == f"kernel.{ident}.execute_result"


def test_what_c_code_has_buffered_is_written_once(child: Child, home: Path) -> None:
    """Step 6: by the template, what it had before; by the child, what was added."""
    name = os.urandom(8).hex()
    child.run(f"n = c.fputs(b'{name} ', file)", visitor="alice")
    child.own.close()
    assert child.ended()
    text = (home / "written-by-c.txt").read_text().split()
    assert (text.count("ahead"), text.count(name)) == (1, 1)


MAKES = """
import atexit, os, subprocess, tempfile
folder = tempfile.TemporaryDirectory()
def at_end(): print("ended", file=open("template-ends.txt", "a"))
n = atexit.register(at_end)
from jupyter_app_meta import app_meta
"""
STARTS = "process = subprocess.Popen(['sleep', '3600'])\nprint(process.pid)"


def test_a_refused_template_leaves_nothing(tmp_path: Path) -> None:
    """Neither a process nor a folder: a notebook is tried again and again. What is planned for the end is done."""
    with template(tmp_path) as made:
        made.run(MAKES, pending=True)
        started = int(made.run(STARTS, pending=True))
        folder = Path(made.run("print(folder.name)", pending=True).strip())
        assert "the process 'sleep' that it started" in made.prepare()
        assert folder.is_dir()
        made.control.shutdown(socket.SHUT_RDWR)
        made.process.wait(PATIENCE)
    until(lambda: gone(started))
    assert not folder.exists()
    assert (tmp_path / "template-ends.txt").read_text() == "ended\n"


def test_what_children_share_goes_with_the_last_of_them(tmp_path: Path) -> None:
    """A template that ends while a child lives leaves its folder; one that outlives its children removes it."""
    for outlives in (True, False):
        with template(tmp_path) as made:
            made.run(MAKES, pending=True)
            folder = Path(made.run("print(folder.name)", pending=True).strip())
            assert made.prepare() == ""
            child = made.fork()
            if outlives:
                child.own.close()
                assert child.ended()
            made.control.shutdown(socket.SHUT_RDWR)
            made.process.wait(PATIENCE)
            assert folder.exists() is not outlives
            if not outlives:
                assert child.run("import os; print(os.path.isdir(folder.name))", visitor="alice") == "True\n"
    shutil.rmtree(folder)


def test_a_template_takes_no_visitor_and_no_browser(tmp_path: Path) -> None:
    """Whatever its own socket says: a claim that is signed with its key, or addresses to listen at."""
    channels = "shell", "iopub", "stdin", "control", "hb"
    ports = {f"{name}_port": number for number, name in enumerate(channels, 1)}
    with template(tmp_path) as made:
        made.run("from jupyter_app_meta import app_meta", pending=True)
        made.claim("mallory")
        made.write(frames.ATTACH, json.dumps({"transport": "ipc", "ip": str(tmp_path / "k"), **ports}).encode())
        asked = made.ask("print(app_meta().user.username)")
        assert made.prepare() == ""
        child = made.fork()
        child.claim("alice")
        assert child.finish(asked) == "alice\n"
    assert not list(tmp_path.glob("k-*"))


@pytest.mark.parametrize(("kind", "stamp"), [("app_meta_claim_request", "pending"), ("execute_request", "given")])
def test_only_a_claim_gives_a_child(made: tuple[Template, str], kind: str, stamp: Any) -> None:
    """Neither another message that the server has signed for this kernel, nor a claim that is still to come."""
    child = made[0].fork()
    header = {"msg_id": "1", "msg_type": kind}
    signed = child.stamp("1", kind, child.visit("mallory"), stamp)
    child.write(frames.VISITOR, json.dumps({"header": header, "stamp": signed}).encode())
    child.claim("alice")
    child.finish(made[1])
    assert value(child, "app_meta().user.username") == "alice"
    assert child.run("print(app_meta().user.username)", pending=True) == "alice\n"
