"""The process that is forked for each visitor, and its children: each step of a fork, with real processes.

The template of most tests runs these cells once. Each test has children of its own.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from templates import PATIENCE, Child, Template, template

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")

AHEAD = """
import asyncio, atexit, json, os, random, secrets, tempfile, threading, uuid, weakref
from jupyter_app_meta import app_meta
def who():
    user = app_meta().user
    return user and user["username"]
def at_end(name):
    print("ended", name, file=open("ends.txt", "a"))
class Thing: pass
thing = Thing()
atexit.register(at_end, "template's")
finalizer = weakref.finalize(thing, at_end, "template's thing")
folder = tempfile.TemporaryDirectory()
lines = open("lines.txt", "rb", buffering=0)
first = lines.readline()
log = open("log.txt", "a")
print("ahead", file=log)
import logging.handlers
logger, records = logging.getLogger("kept"), logging.handlers.MemoryHandler(1000)
records.setTarget(logging.FileHandler("records.txt"))
logger.addHandler(records)
template_pid, template_session = os.getpid(), get_ipython().kernel.session.session
async def count():
    global counted
    counted = 0
    while True:
        await asyncio.sleep(0.05)  # many children live at once
        counted += 1
async def late():
    global heard
    await started.wait()
    heard = who()
started = asyncio.Event()
tasks = [asyncio.ensure_future(count()), asyncio.ensure_future(late())]
import numpy
"""

SOCKETS = """
names = []
for file in os.scandir("/proc/self/fd"):
    try: names.append(os.readlink(file.path))
    except OSError: pass  # it was the descriptor of this folder
print(json.dumps([name for name in names if name.startswith("socket:")]))
"""


class Ready:
    """A template that waits in a cell for its visitors."""

    def __init__(self, template: Template, home: Path, msg_id: str) -> None:
        self.template, self.home, self._msg_id = template, home, msg_id

    def child(self, username: str = "alice") -> Child:
        """Return the kernel of a visitor, whose cell has ended."""
        child = self.template.fork()
        child.claim(username)
        assert child.finish(self._msg_id) == f"{username}\n"
        return child

    def asking(self) -> Child:
        """Return a kernel that waits for its visitor."""
        return self.template.fork()

    def finish(self, child: Child) -> str:
        """Return what the cell of a child prints that asked."""
        return child.finish(self._msg_id)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ready]:
    """A template that waits in a cell for its visitors."""
    home = tmp_path_factory.mktemp("template")
    (home / "lines.txt").write_text("a\nb\nc\n")
    with template(home) as made:
        assert made.run(AHEAD, pending=True) == ""
        msg_id = made.ask("print(who())")
        assert made.prepare() == ""
        yield Ready(made, home, msg_id)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Template]:
    """A template of one test."""
    with template(tmp_path) as made:
        assert made.run("from jupyter_app_meta import app_meta\nimport os", pending=True) == ""
        yield made


def value(child: Child, code: str) -> Any:
    """Return what an expression or a cell that prints JSON is in a child."""
    return json.loads(child.run(code if "\n" in code else f"print(json.dumps({code}))", visitor="alice"))


def shown(child: Child) -> str:
    """Return what a child has printed, and where it has displayed something."""
    kinds = ("stream", "display_data")
    return "".join(str(m["content"].get("text", "<display>")) for m in child.seen if m["msg_type"] in kinds)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""

    async def wait() -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.01)

    asyncio.run(wait())


def gone(pid: int) -> bool:
    """Whether a process has ended; one that was not waited for counts."""
    try:
        return " Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


# --- the fork and the claim ------------------------------------------------------------------------------------------


def test_each_visitor_has_a_process(ready: Ready) -> None:
    """The cell that asked goes on in each child, with what ran ahead, and sees that child's visitor."""
    alice, bob = ready.child("alice"), ready.child("bob")
    assert alice.run("print(who(), first)", visitor="alice") == "alice b'a\\n'\n"
    assert bob.run("x = 1\nprint(who(), os.getpid() == template_pid)", visitor="bob") == "bob False\n"
    assert alice.run("print('x' in globals())", visitor="alice") == "False\n"
    assert alice.pid != bob.pid


def test_what_a_busy_child_prints_arrives(ready: Ready, tmp_path: Path) -> None:
    """A page shows it while the cell runs, in the order in which it was printed and displayed."""
    child = ready.child("alice")
    goes_on = tmp_path / "goes-on"
    waits = f"while not os.path.exists({str(goes_on)!r}): time.sleep(0.01)"
    msg_id = child.execute(f"import time\nprint('begun')\ndisplay(1)\nprint('waits')\n{waits}\nprint('ended')")
    while "waits" not in (text := shown(child)):
        child.message()
    assert text.startswith("begun\n<display>waits")
    goes_on.touch()
    assert child.finish(msg_id) == "begun\nwaits\nended\n"


def test_a_child_waits_for_its_visitor(ready: Ready) -> None:
    """A child that was forked ahead waits, and other children do not wait for it."""
    spare = ready.asking()
    ready.child("bob")
    spare.claim("carol")
    assert ready.finish(spare) == "carol\n"


def test_a_child_is_prepared_before_its_visitor_is_there(ready: Ready) -> None:
    """It has read a claim of no server, and has its thread for outputs. It has printed nothing, and still waits."""
    spare = ready.asking()
    until(lambda: len(os.listdir(f"/proc/{spare.pid}/task")) == 2)
    spare.claim("carol")
    assert ready.finish(spare) == "carol\n"


def test_what_two_streams_print_at_once_arrives_together(ready: Ready, tmp_path: Path) -> None:
    """While the cell is busy. One thread sends both."""
    child, goes_on = ready.child(), tmp_path / "goes on"
    msg_id = child.execute(f"""
import sys, time
from pathlib import Path
print("out"), print("err", file=sys.stderr)
while not Path({str(goes_on)!r}).exists():
    time.sleep(0.01)""")
    while not all(text in shown(child) for text in ("out", "err")):
        child.message()
    goes_on.touch()
    child.finish(msg_id)


def test_only_its_own_key_gives_a_child(ready: Ready) -> None:
    """A claim that is signed with the key of the template, or of a sibling, is refused. A second one is ignored."""
    child, sibling = ready.asking(), ready.child()
    for signer in (ready.template, sibling):
        child.claim("mallory", signer=signer)
    child.claim("alice")
    assert ready.finish(child) == "alice\n"
    child.claim("bob")
    assert child.run("print(who())", pending=True) == "alice\n"


def test_code_that_was_left_behind_sees_the_visitor(ready: Ready) -> None:
    """A task of an earlier cell that asks only in the child sees that child's visitor."""
    for username in ("alice", "bob"):
        child = ready.child(username)
        child.run("started.set()", visitor=username)
        child.run("await tasks[1]", visitor=username)
        assert child.run("print(heard)", visitor=username) == f"{username}\n"


def test_a_template_gives_nothing_away(ready: Ready) -> None:
    """The template's memory has no name and no key of its children."""
    told = [f"visitor-{number:02}-of-{os.urandom(8).hex()}" for number in range(12)]
    keys = [ready.child(username).key for username in told]
    found = memory(ready.template.process.pid)
    assert ready.template.key.encode() in found  # the search finds what is there
    assert not [text for text in (*told, *keys) if text.encode() in found]


def memory(pid: int) -> bytes:
    """Return what a process has in its memory."""
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as file:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            where, permissions, *_ = line.split()
            if permissions.startswith("rw"):
                start, end = (int(part, 16) for part in where.split("-"))
                file.seek(start)
                found.append(file.read(end - start) or b"")
    return b"".join(found)


# --- step by step ----------------------------------------------------------------------------------------------------


def test_the_template_knows_its_children(ready: Ready) -> None:
    """Step 1: it waits for each, says how it ended, and keeps no descriptor."""
    descriptors = Path(f"/proc/{ready.template.process.pid}/fd")
    child = ready.child()
    child.send_signal(signal.SIGSEGV)
    assert child.ended()
    while child.pid not in ready.template.reaped:
        ready.template.answer(unasked=True)
    assert ready.template.reaped[child.pid] == -signal.SIGSEGV
    before = {file.name for file in descriptors.iterdir()}
    for _ in range(20):
        child = ready.child()
        child.own.close()
        while child.pid not in ready.template.reaped:
            ready.template.answer(unasked=True)
        assert ready.template.reaped[child.pid] == 0
    assert {file.name for file in descriptors.iterdir()} == before


def test_a_child_lives_on_its_own(ready: Ready) -> None:
    """Step 2: a session and a group of its own, ended before the template, and a lifeline of its own."""
    child = ready.child()
    code = "[os.getsid(0), os.getpgid(0), int(open('/proc/self/oom_score_adj').read())]"
    score = int(Path(f"/proc/{ready.template.process.pid}/oom_score_adj").read_text())
    assert value(child, code) == [child.pid, child.pid, min(1000, score + 300)]


def test_a_child_has_its_own_loop_and_sockets(ready: Ready) -> None:
    """Step 3: no socket of the template or of a sibling; a pipe of its own wakes the loop; tasks go on."""
    template = {os.readlink(file) for file in Path(f"/proc/{ready.template.process.pid}/fd").iterdir()}
    first, second = (value(ready.child(), SOCKETS) for _ in range(2))
    assert not set(first) & set(second)
    assert not {*first, *second} & template
    assert len(first) == 3  # its own socket, and the two ends of the loop's pipe
    awake = "await asyncio.wait_for(asyncio.to_thread(int, 5), 60)\nbefore = counted\nwhile counted == before:\n"
    assert ready.child().run(awake + "    await asyncio.sleep(0.001)\nprint('went on')", visitor="a") == "went on\n"


def test_a_child_ends_its_own(ready: Ready) -> None:
    """Step 4: what the template registered for its end is not the child's. What the child registered is done."""
    ends = ready.home / "ends.txt"
    ends.unlink(missing_ok=True)
    child = ready.child()
    own = Path(
        value(
            child, "atexit.register(at_end, 'own')\nmine = tempfile.TemporaryDirectory()\nprint(json.dumps(mine.name))"
        )
    )
    inherited = Path(value(child, "folder.name"))
    assert own.is_dir()
    child.own.close()
    assert child.ended()
    assert ends.read_text() == "ended own\n"
    assert inherited.is_dir()
    assert not own.exists()


def test_what_a_child_has_written_is_not_lost(ready: Ready) -> None:
    """Step 4: what its files and log handlers have buffered is written out at its end, as by any Python."""
    child, name = ready.child(), os.urandom(8).hex()
    own = f"own = open('{name}.txt', 'w'); n = own.write('{name}')"
    assert child.run(f"{own}\nprint('{name}', file=log)\nlogger.warning('{name}')", visitor="alice") == ""
    child.own.close()
    assert child.ended()
    for file in (f"{name}.txt", "log.txt", "records.txt"):
        assert (ready.home / file).read_text().count(name) == 1
    assert (ready.home / "log.txt").read_text().count("ahead") == 1


def test_a_child_completes_its_archives(ready: Ready) -> None:
    """Step 4: a compressed file or an archive that is still open gets its end, as from any Python."""
    child, name = ready.child(), os.urandom(8).hex()
    files = f"one = gzip.open('{name}.gz', 'wt'); n = one.write('{name}'); all = zipfile.ZipFile('{name}.zip', 'w')"
    assert child.run(f"import gzip, zipfile\n{files}\nall.writestr('it', '{name}')", visitor="alice") == ""
    child.own.close()
    assert child.ended()
    with gzip.open(ready.home / f"{name}.gz", "rt") as one, zipfile.ZipFile(ready.home / f"{name}.zip") as archive:
        assert one.read() == name == archive.read("it").decode()


@pytest.mark.parametrize("how", ["threading.Thread(target=store).start()", "pool = Pool(1); pool.submit(store)"])
def test_a_child_waits_for_its_threads(ready: Ready, how: str) -> None:
    """Step 4: one that still stores something when the page is closed goes on to its end, as in any Python."""
    child, name = ready.child(), f"{os.urandom(8).hex()}.txt"
    code = f"""
import time
from concurrent.futures import ThreadPoolExecutor as Pool
def store():
    while not os.path.exists("{name}.ending"): time.sleep(0.01)
    open("{name}", "w").write("stored")
{how}"""
    assert child.run(code, visitor="alice") == ""
    child.own.close()
    (ready.home / f"{name}.ending").touch()
    assert child.ended()
    assert (ready.home / name).read_text() == "stored"


@pytest.mark.parametrize("how", ["threading.Thread(target=never).start()", "atexit.register(never)"])
def test_a_child_that_does_not_come_to_its_end_is_ended(ready: Ready, how: str) -> None:
    """Step 4: no process is left if the server was killed, and cannot kill it."""
    child = ready.child()
    code = f"""
from jupyter_app_meta.kernel.forks import ending
ending.LONGEST = 1
def never(): threading.Event().wait()
{how}"""
    assert child.run(code, visitor="alice") == ""
    child.own.close()
    assert child.ended()


def test_a_folder_of_the_template_stays(ready: Ready) -> None:
    """Step 4: a child that lets go of a temporary folder does not remove it from its siblings."""
    child = ready.child()
    inherited = Path(value(child, "folder.name"))
    assert child.run("del folder\nimport gc; n = gc.collect()", visitor="alice") == ""
    assert inherited.is_dir()


def test_a_child_is_a_kernel_of_its_own(ready: Ready) -> None:
    """Step 5: key, session, ids. A child does not believe what is signed with the template's key."""
    code = "k = get_ipython().kernel\nprint(json.dumps([k.session.session, k.session.key.decode(), k.ident]))"
    first, second = ready.child(), ready.child()
    mine, other = value(first, code), value(second, code)
    assert mine[:2] == [first.session.session, first.key]
    assert not set(mine) & set(other)
    assert ready.template.session.session not in (mine[0], other[0])
    first.key = ready.template.key
    assert first.run("print(who())", visitor="mallory") == "None\n"


def test_a_child_is_shown_under_its_own_name(ready: Ready) -> None:
    """Tools that look for kernels find it as they find any, and its template as what it is."""
    child = ready.child()
    shown = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in (child.pid, ready.template.process.pid)}
    assert f"\0-f\0kernel-{child.id}.json\0" in shown[child.pid]
    assert f"\0-f\0template-{ready.template.id}.json\0" in shown[ready.template.process.pid]


def test_files_are_read_from_where_the_template_was(ready: Ready) -> None:
    """Step 6: each child has its own position; what the template had not written yet is written once."""
    for _ in range(2):
        child = ready.child()
        assert child.run("print(lines.readline())", visitor="alice") == "b'b\\n'\n"
        child.run("print('child', file=log, flush=True)", visitor="alice")
    text = (ready.home / "log.txt").read_text().splitlines()
    assert (text.count("ahead"), text.count("child")) == (1, 2)


def test_children_have_their_own_numbers(ready: Ready) -> None:
    """Step 7: random numbers, ids, secrets and names differ."""
    code = "[random.random(), float(numpy.random.random()), str(uuid.uuid4()), secrets.token_hex(8), tempfile.mktemp()]"
    assert not set(value(ready.child(), code)) & set(value(ready.child(), code))


def test_a_seed_holds_in_each_child(alone: Template) -> None:
    """Step 7: a notebook that seeds its generators gets the numbers that follow."""
    alone.run("import random, numpy\nrandom.seed(42); numpy.random.seed(7)", pending=True)
    msg_id = alone.ask("app_meta(); print(random.random(), numpy.random.random())")
    assert alone.prepare() == ""
    seen = set()
    for _ in range(2):
        child = alone.fork()
        child.claim("alice")
        seen.add(child.finish(msg_id))
    assert seen == {f"{random.Random(42).random()} {np.random.RandomState(7).random()}\n"}


# --- who asks, and how -----------------------------------------------------------------------------------------------

ASKS = {
    "async": "import asyncio\nawait asyncio.sleep(0)\nprint(app_meta(timeout=0.001).user.username)",
    "task": (
        "import asyncio\nprint('ahead')\nasync def ask(): return app_meta().user.username\n"
        "print(await asyncio.create_task(ask()))"
    ),
    "gather": (
        "import asyncio\nasync def ask():\n    await asyncio.sleep(0)\n    return app_meta().user.username\n"
        "print({*await asyncio.gather(ask(), ask())}.pop())"
    ),
}


@pytest.mark.parametrize("case", ASKS)
def test_ways_to_ask(tmp_path: Path, case: str) -> None:
    """The question may stand in a cell, an async cell or tasks, and with a timeout, which never passes ahead."""
    with template(tmp_path) as made:
        made.run("from jupyter_app_meta import app_meta", pending=True)
        msg_id = made.ask(ASKS[case])
        assert made.prepare() == ""
        for username in ("alice", "bob"):
            child = made.fork()
            child.claim(username)
            assert child.finish(msg_id) == f"{username}\n"


def test_a_notebook_that_never_asks(alone: Template) -> None:
    """Its children are forked after the last cell; a callback sees the visitor."""
    assert alone.run("x = 5\nprint('done')", pending=True) == "done\n"
    assert alone.prepare() == ""
    first, second = alone.fork(), alone.fork()
    first.claim("alice")
    second.claim("bob")
    assert first.run("x += 1\nprint(x, app_meta().user.username)", visitor="alice") == "6 alice\n"
    assert second.run("print(x, app_meta().user.username)", pending=True) == "5 bob\n"
    first.own.close()
    assert first.ended()
    assert alone.answer(unasked=True) == {"said": "ended", "pid": first.pid, "status": 0}


def test_a_thread_that_asks_is_refused(alone: Template) -> None:
    """Only the main thread goes on in a child."""
    code = (
        "import threading\ndef ask(): app_meta()\nthread = threading.Thread(target=ask)\nthread.start(); thread.join()"
    )
    alone.execute(code, pending=True)
    assert "a thread asks for the visitor" in alone.answer()["why"]


def test_what_cannot_be_forked_is_named(alone: Template) -> None:
    """A refusal says what the cells left open; when that is closed, the template can be prepared."""
    alone.run("import socket\nkept = socket.socket()", pending=True)
    assert "a socket is open" in alone.prepare()
    alone.run("kept.close()", pending=True)
    assert alone.prepare() == ""


def test_what_goes_wrong_in_the_check_is_an_answer(alone: Template) -> None:
    """The server does not wait for a template that cannot say more."""
    alone.run("import gc\ndef fail(): raise ValueError('odd')\ngc.freeze = fail", pending=True)
    assert alone.prepare() == "it cannot be prepared (ValueError: odd)"


def test_an_idle_executor_is_no_obstacle(alone: Template) -> None:
    """The threads of ``asyncio.to_thread`` are ended, and a child makes its own."""
    alone.run("import asyncio\nawait asyncio.to_thread(int)", pending=True)
    assert alone.prepare() == ""
    child = alone.fork()
    assert child.run("print(await asyncio.to_thread(int, '5'))") == "5\n"


WAITS = """
import signal
def wait(*_):
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        pass
waiting = signal.signal(signal.SIGCHLD, wait)
"""

IDLE = {
    "progress": "from tqdm import tqdm\nfor n in tqdm(range(3)): pass",
    "auto": "from tqdm.auto import tqdm\nfor n in tqdm(range(3)): pass",
    "script": "%%bash\necho shown >&2",
}


@pytest.mark.parametrize("case", IDLE)
def test_idle_threads_are_no_obstacle(alone: Template, case: str) -> None:
    """A progress bar's monitor and the loop of script cells are ended, and a child makes its own."""
    alone.run(IDLE[case], pending=True)
    assert alone.prepare() == ""
    for _ in range(2):
        child = alone.fork()
        assert ("shown" in child.run(IDLE[case])) == (case == "script")
        assert child.run("print(5)") == "5\n"


def test_a_notebook_that_waits_for_its_children(alone: Template) -> None:
    """Code that waits for whichever process has ended takes nothing from the template that it needs."""
    alone.run(WAITS, pending=True)
    assert alone.prepare() == ""
    for _ in range(2):
        child = alone.fork()
        child.own.close()
        assert alone.answer(unasked=True)["pid"] == child.pid


def test_nothing_of_the_notebook_runs_after_the_check(alone: Template) -> None:
    """A task goes on in each child: what it opens there is the child's own, and so are its threads."""
    task = (
        "import asyncio, socket\nasync def refresh():\n    global near, far\n    await asyncio.sleep(0.05)\n"
        "    near, far = socket.socketpair()\n    await asyncio.to_thread(int)\n    return os.getpid()\n"
        "task = asyncio.ensure_future(refresh())"
    )
    alone.run(task, pending=True)
    assert alone.prepare() == ""
    time.sleep(0.3)  # the time of the task passes, and it must not run
    first, second = alone.fork(), alone.fork()
    for child in (first, second):
        assert child.run("print(await task == os.getpid(), await asyncio.to_thread(int, '5'))") == "True 5\n"
    first.run("near.send(b'of alice')")
    assert second.run("far.setblocking(False)\nfar.recv(9)").startswith("BlockingIOError")


LATER = """
import gc
from jupyter_app_meta.kernel.forks import life
hold, freeze = life.hold, gc.freeze
def frozen():  # after the trial fork of the check
    freeze()
    {then}
gc.freeze = frozen
"""


def test_a_child_that_cannot_be_made_its_own_ends(alone: Template) -> None:
    """It runs no line of the notebook, and the next one is as it should be."""
    failing = "def failing(lifeline):\n    raise OSError\n"
    alone.run(failing + LATER.format(then="life.hold = failing"), pending=True)
    alone.run("os.register_at_fork(after_in_parent=lambda: setattr(life, 'hold', hold))", pending=True)
    assert alone.prepare() == ""
    assert alone.fork().ended() and alone.answer(unasked=True)["status"] == 1
    assert alone.fork().run("print(5)") == "5\n"


def test_a_template_without_descriptors_says_so(alone: Template) -> None:
    """And forks again as soon as it has some."""
    assert alone.prepare() == ""
    had = resource.prlimit(alone.process.pid, resource.RLIMIT_NOFILE)
    taken = sorted(map(int, os.listdir(f"/proc/{alone.process.pid}/fd")))
    lowest = next(number for number in range(len(taken) + 1) if number not in taken)
    resource.prlimit(alone.process.pid, resource.RLIMIT_NOFILE, (lowest, had[1]))
    found = alone.answer_to_fork(Child())
    assert (found["said"], found["why"]) == ("failed", "Too many open files")
    resource.prlimit(alone.process.pid, resource.RLIMIT_NOFILE, had)
    assert alone.fork().run("print(5)") == "5\n"


@pytest.mark.parametrize("call", ["fork", "pidfd_open"])
def test_a_fork_that_fails_is_told(alone: Template, call: str) -> None:
    """The next one may succeed."""
    failing = f"import errno\ncalled = os.{call}\ndef failing(*given):\n    os.{call} = called\n"
    failing += "    raise OSError(errno.ENOMEM, 'none')\n"
    alone.run(failing + LATER.format(then=f"os.{call} = failing"), pending=True)
    assert alone.prepare() == ""
    found = alone.answer_to_fork(Child())
    assert (found["said"], found["why"]) == ("failed", "Cannot allocate memory")
    assert alone.fork().run("print(5)") == "5\n"


# --- how processes end -----------------------------------------------------------------------------------------------


def test_the_template_ends_with_its_sockets(alone: Template) -> None:
    """When the server closes them, it ends; its children live on, and end when theirs are closed."""
    assert alone.prepare() == ""
    child = alone.fork()
    alone.control.close()
    assert alone.process.wait(PATIENCE) == 0
    assert child.run("print(5)") == "5\n"
    child.own.close()
    assert child.ended()


def test_a_template_that_is_interrupted_in_its_question_ends(alone: Template, tmp_path: Path) -> None:
    """The error does not go into the cell that asks, whose rest would run for nobody."""
    alone.ask("app_meta()\nopen('went-on', 'w').close()")
    assert alone.prepare() == ""
    alone.process.send_signal(signal.SIGINT)
    assert alone.process.wait(PATIENCE) == 1
    assert not (tmp_path / "went-on").exists()


def test_children_survive_a_template_that_is_killed(alone: Template) -> None:
    """Their sockets are their own."""
    assert alone.prepare() == ""
    child = alone.fork()
    alone.process.kill()
    alone.process.wait(PATIENCE)
    assert child.run("print(5)") == "5\n"


def test_a_dead_server_leaves_nothing(tmp_path: Path) -> None:
    """Template, a child that is idle and one that never lets go of the interpreter end with the lifeline."""
    with template(tmp_path) as made:
        made.run("import ctypes", pending=True)
        assert made.prepare() == ""
        idle, busy = made.fork(), made.fork()
        assert idle.run("print(5)") == "5\n"
        busy.execute("print('busy', flush=True)\nctypes.PyDLL(None).pause()")
        while busy.message()[1].get("content", {}).get("text") != "busy\n":
            pass
        os.close(made.life)
        made.life = os.dup(made.own.fileno())
        assert idle.ended()
        assert busy.ended()
        assert made.process.wait(PATIENCE) == -signal.SIGKILL


def test_a_busy_child_is_interrupted(ready: Ready) -> None:
    """SIGINT ends the running cell, and then the child ends when its socket is closed."""
    child = ready.child()
    (ready.home / "ends.txt").unlink(missing_ok=True)
    child.execute("atexit.register(at_end, 'busy one')\nprint('busy', flush=True)\nwhile True: pass", visitor="alice")
    while child.message()[1].get("content", {}).get("text") != "busy\n":
        pass
    child.send_signal(signal.SIGINT)
    child.own.close()
    assert child.ended()
    assert (ready.home / "ends.txt").read_text() == "ended busy one\n"


def test_an_interrupt_ends_only_the_cell(ready: Ready) -> None:
    """As in any kernel."""
    child = ready.child()
    msg_id = child.execute("print('busy', flush=True)\nwhile True: pass", visitor="alice")
    while child.message()[1].get("content", {}).get("text") != "busy\n":
        pass
    child.send_signal(signal.SIGINT)
    assert child.finish(msg_id).endswith("KeyboardInterrupt: ")
    assert child.run("print(5)") == "5\n"


def test_a_child_that_waits_ends_with_its_socket(ready: Ready) -> None:
    """A kernel that is not needed any more ends although its cell still asks."""
    child = ready.asking()
    child.own.close()
    assert child.ended()


def test_processes_of_a_child_end_with_it(ready: Ready) -> None:
    """What a cell has started does not outlive the page."""
    child = ready.child()
    pid = value(child, "import subprocess\np = subprocess.Popen(['sleep', '1000'])\nprint(p.pid)")
    workers = "import multiprocessing\nm = multiprocessing.get_context('fork').Process(target=threading.Event().wait)"
    worker = value(child, workers + "\nm.start()\nprint(m.pid)")
    child.own.close()
    assert child.ended()
    until(lambda: gone(pid) and gone(worker))


def test_a_process_of_a_child_may_print(ready: Ready) -> None:
    """Messages of several processes that print at once stay whole."""
    child = ready.child()
    code = (
        "import multiprocessing\ndef report(n):\n    for _ in range(100): print('x' * 2000, flush=True)\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n    n = pool.map(report, range(2))\n"
    )
    assert child.run(code, visitor="alice").count("x" * 2000) == 200


def test_a_stream_that_is_no_stream_of_messages(ready: Ready) -> None:
    """A child whose socket brings something else ends, and its siblings do not."""
    child, sibling = ready.child(), ready.child()
    child.own.sendall(b"\0" * 100)
    assert child.ended()
    assert sibling.run("print(5)") == "5\n"


def test_usage() -> None:
    """Without its descriptors, the module says what it needs."""
    argv = [sys.executable, "-m", "jupyter_app_meta.kernel.forks.template", "x"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert "usage: python -m" in done.stderr
