"""May a process be forked for each visitor, and what does each child have of its own? Each case is a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")

NATIVE = """import ctypes, os, threading
c = ctypes.CDLL(None)
c.pthread_create(ctypes.byref(ctypes.c_ulong()), None, ctypes.cast(c.pause, ctypes.c_void_p), None)
[task] = {int(name) for name in os.listdir('/proc/self/task')} - {threading.get_native_id()}
"""
"""A thread that Python does not know, in the C library's own code."""

HALF_READ = """import sqlite3
made = sqlite3.connect('a.db')
made.executescript('create table t (n); insert into t values (1), (2)')
made.close()
kept = sqlite3.connect('file:a.db?mode=ro', uri=True)
rows = kept.execute('select * from t')
next(rows)"""

REFUSED = {
    "thread": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), name='poller', daemon=True).start()",
        "the thread 'poller' (threading.Thread) runs",
    ),
    "pool": (
        "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(1)\npool.submit(int).result()",
        "the thread 'ThreadPoolExecutor-0_0' (threading.Thread) runs",
    ),
    "library": ("import zmq\nkept = zmq.Context()\npublisher = kept.socket(zmq.PUB)", "probably of libzmq"),
    "unknown": (NATIVE, "may not survive a fork"),
    "process": (
        "import subprocess\nkept = subprocess.Popen(['cat'], stdin=subprocess.PIPE)",
        "the process 'cat' that it started has not ended",
    ),
    "zombie": (
        "import os, subprocess\nkept = subprocess.Popen(['true'])\nos.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)",
        "was not waited for",
    ),
    "deaf": ("import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)", "it ignores SIGCHLD"),
    "timer": ("import signal\nsignal.setitimer(signal.ITIMER_REAL, 1000)", "a timer of signal.setitimer"),
    "socket": ("import socket\nkept = socket.socket()", "a socket is open (descriptor 3)"),
    "pipe": ("import os\nos.pipe()", "a pipe is open (descriptor 3)"),
    "selector": ("import select\nkept = select.epoll()", "anon_inode:[eventpoll] is open"),
    "device": ("import os\nos.openpty()", "ptmx is open"),
    "written": ("kept = open('out.txt', 'w')", "out.txt is open for writing (descriptor 3)"),
    "database": (
        "import sqlite3\nkept = sqlite3.connect('sales.db')\nkept.execute('create table t (n)')",
        "sales.db is open for writing",
    ),
    "locked": ("import fcntl\nkept = open('out.txt', 'a')\nfcntl.flock(kept, fcntl.LOCK_EX)", "out.txt is locked"),
    "locked in part": ("import fcntl\nkept = open('out.txt', 'a')\nfcntl.lockf(kept, fcntl.LOCK_EX)", "is locked"),
    "half read": (HALF_READ, "a.db is locked"),
    "temporary": ("import tempfile\nkept = tempfile.NamedTemporaryFile()", "is open for writing"),
    "memory": (
        "import mmap\nkept = mmap.mmap(-1, 4096)",
        "it shares memory with other processes (/dev/zero (deleted))",
    ),
}

ALLOWED = {
    "nothing": "",
    "reading": "kept = open(__import__('sys').executable, 'rb')",
    "appending": "kept = open('log.txt', 'a')",
    "reading what others read": (
        "import fcntl, sys\nkept = open(sys.executable, 'rb')\nfcntl.flock(kept, fcntl.LOCK_SH)"
    ),
    "null": "kept = open('/dev/null', 'w')",
    "folder": "import os\nos.open('.', os.O_RDONLY)",
    "temporary folder": "import tempfile\nkept = tempfile.TemporaryDirectory()",
    "database in memory": "import sqlite3\nkept = sqlite3.connect(':memory:')",
    "database that was closed": "import sqlite3\nsqlite3.connect('sales.db').close()",
    "thread that ended": "import threading\nthread = threading.Thread(target=int)\nthread.start()\nthread.join()",
    "process that ended": "import subprocess\nsubprocess.run(['true'])",
    "linear algebra": "import numpy\nnumpy.linalg.inv(numpy.eye(300) + 1)",
    "jemalloc": NATIVE + "open(f'/proc/self/task/{task}/comm', 'w').write('jemalloc_bg_thd')",
    "arrow": (
        "import ctypes, os, shutil, zmq\nname = next(line.split()[-1] for line in open('/proc/self/maps')"
        " if 'libzmq' in line)\nshutil.copy(name, 'libarrow.so.9')\nlibrary = ctypes.CDLL('./libarrow.so.9')\n"
        "library.zmq_ctx_new.restype = library.zmq_socket.restype = ctypes.c_void_p\n"
        "context = ctypes.c_void_p(library.zmq_ctx_new())\nassert library.zmq_socket(context, 1)\n"
        "keep = set(map(int, os.listdir('/proc/self/fd')))"
    ),
    "kept": "import os\nread, write = os.pipe()\nkeep = {read, write}",
}

ASK = """
from jupyter_app_meta.kernel.forks import safety
print(safety.refusal(globals().get('keep', ())))
"""

CHILDREN = """
import json, os, sys
def children(answer, before=lambda: None, after=lambda: None, count=2):
    found = []
    for _ in range(count):
        read, write = os.pipe()
        before()
        if not os.fork():
            after()
            os.write(write, json.dumps(answer()).encode())
            os._exit(0)
        os.close(write)
        with open(read) as file:
            found.append(json.load(file))
        os.wait()
    print(json.dumps(found))
"""
"""Forks children one after the other, and prints what each answers."""

SEEDS = """
import secrets, tempfile, uuid, random
from jupyter_app_meta.kernel.forks.seeds import Seeds
seeds = Seeds()
seeds.watch()
def numbers():
    found = {"random": random.random(), "uuid": str(uuid.uuid4()), "secrets": secrets.token_hex(8)}
    found["file"] = tempfile.mktemp()
    if "numpy" in sys.modules:
        found["numpy"] = float(sys.modules["numpy"].random.random())
    return found
"""


def run(home: Path, code: str) -> str:
    """Return what a process prints that runs this code in ``home``."""
    argv, quiet = [sys.executable, "-c", code], subprocess.DEVNULL
    done = subprocess.run(argv, cwd=home, capture_output=True, text=True, timeout=120, stdin=quiet, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.strip()


def answers(home: Path, code: str) -> list[Any]:
    """Return the answers of the children that this code forks."""
    found: list[Any] = json.loads(run(home, CHILDREN + code))
    return found


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path: Path, case: str) -> None:
    """What two processes cannot share is named."""
    code, expected = REFUSED[case]
    assert expected in run(tmp_path, code + ASK)


@pytest.mark.parametrize("case", ALLOWED)
def test_allowed(tmp_path: Path, case: str) -> None:
    """What a child may have a copy of, or opens again, does not prevent a fork."""
    assert run(tmp_path, ALLOWED[case] + ASK) == ""


def test_other_systems_are_refused_by_name(tmp_path: Path) -> None:
    """Only Linux says what a process has."""
    assert "on Linux only, not on darwin" in run(
        tmp_path, "import sys, jupyter_app_meta\nsys.platform = 'darwin'" + ASK
    )


# --- files -----------------------------------------------------------------------------------------------------------


def test_each_child_has_its_own_position(tmp_path: Path) -> None:
    """Children that read a file begin where their parent was, whatever a sibling has read."""
    (tmp_path / "lines.txt").write_text("a\nb\nc\n")
    code = (
        "from jupyter_app_meta.kernel.forks import files\nopened = open('lines.txt', 'rb', buffering=0)\n"
        "os.set_inheritable(opened.fileno(), True)\nfirst = opened.readline()\n"
        "children(lambda: [opened.readline().decode(), os.get_inheritable(opened.fileno())], after=files.reopen)"
    )
    assert answers(tmp_path, code) == [["b\n", True]] * 2


def test_what_was_buffered_is_written_once(tmp_path: Path) -> None:
    """A log that is open for appending has each line once, though its parent had not written the first."""
    code = (
        "from jupyter_app_meta.kernel.forks import files\nlog = open('log.txt', 'a')\nlog.write('before\\n')\n"
        "def line():\n    print('child', file=log, flush=True)\n"
        "children(line, before=files.flush, after=files.reopen)"
    )
    answers(tmp_path, code)
    assert (tmp_path / "log.txt").read_text() == "before\nchild\nchild\n"


def test_a_closed_or_detached_file_is_passed(tmp_path: Path) -> None:
    """Files that cannot be written out do not stop the others."""
    code = (
        "from jupyter_app_meta.kernel.forks import files\na, b = open('a', 'w'), open('b', 'w')\nraw = b.detach()\n"
        "a.close()\nc = open('c', 'a')\nc.write('kept')\nfiles.flush()\nprint(open('c').read())"
    )
    assert run(tmp_path, code) == "kept"


def test_objects_that_stand_for_others_are_not_asked(tmp_path: Path) -> None:
    """Neither one whose object is gone, nor one that does something when it is asked for its class, as lazy ones do."""
    code = (
        "import weakref\nfrom jupyter_app_meta.kernel.forks import files\nclass Thing: pass\nthing = Thing()\n"
        "gone = weakref.proxy(thing)\ndel thing\nasked = []\nclass Lazy:\n    @property\n"
        "    def __class__(self):\n        asked.append(1)\n        raise RuntimeError\n"
        "lazy = Lazy()\nlog = open('log', 'a')\nlog.write('kept')\nfiles.flush()\nprint(open('log').read(), asked)"
    )
    assert run(tmp_path, code) == "kept []"


# --- random numbers --------------------------------------------------------------------------------------------------


def test_children_have_numbers_of_their_own(tmp_path: Path) -> None:
    """No child has a number, an id, a secret or a temporary name of another one."""
    code = SEEDS + "import numpy\nnumbers()\nchildren(numbers, seeds.before_fork, seeds.in_child)"
    first, second = answers(tmp_path, code)
    assert first.keys() == second.keys() == {"random", "uuid", "secrets", "file", "numpy"}
    assert not [name for name in first if first[name] == second[name]]


@pytest.mark.parametrize(
    "seed", ["random.seed(42)", "random.seed(a=42)", "random.setstate(random.Random(42).getstate())"]
)
def test_a_seed_stays(tmp_path: Path, seed: str) -> None:
    """A notebook that seeds its generators gets the numbers that follow, as in a kernel of its own."""
    draw = "\nchildren(numbers, seeds.before_fork, seeds.in_child)\nprint(random.random(), numpy.random.random())"
    code = CHILDREN + SEEDS + f"import numpy\n{seed}\nnumpy.random.seed(7)\nrandom.random()" + draw
    found, own = run(tmp_path, code).splitlines()
    expected = dict(zip(("random", "numpy"), map(float, own.split()), strict=True))
    assert [{name: child[name] for name in expected} for child in json.loads(found)] == [expected] * 2


@pytest.mark.parametrize("order", ["import numpy\n{watch}", "{watch}\nimport numpy"], ids=["before", "after"])
def test_a_seed_of_the_system_is_not_a_choice(tmp_path: Path, order: str) -> None:
    """After ``seed()``, children differ again, whenever NumPy was imported."""
    seeds = "random.seed(42)\nrandom.seed()\nnumpy.random.seed(7)\nnumpy.random.seed()\n"
    code = SEEDS.replace("seeds.watch()", order.format(watch="seeds.watch()")) + seeds
    first, second = answers(tmp_path, code + "children(numbers, seeds.before_fork, seeds.in_child)")
    assert first["random"] != second["random"]
    assert first["numpy"] != second["numpy"]


@pytest.mark.parametrize("seed", ["seed(7)", "seed(seed=7)", "set_state(numpy.random.RandomState(7).get_state())"])
@pytest.mark.parametrize("order", ["import numpy\n{watch}", "{watch}\nimport numpy"], ids=["before", "after"])
def test_a_seed_of_numpy_stays(tmp_path: Path, seed: str, order: str) -> None:
    """However it is given, and whenever NumPy was imported."""
    code = SEEDS.replace("seeds.watch()", order.format(watch="seeds.watch()")) + f"numpy.random.{seed}\n"
    first, second = answers(tmp_path, code + "children(numbers, seeds.before_fork, seeds.in_child)")
    assert first["numpy"] == second["numpy"] == np.random.RandomState(7).random()


def test_a_child_has_the_functions_themselves(tmp_path: Path) -> None:
    """Pools of processes are given them by name."""
    names = "[function.__module__ for function in (random.seed, numpy.random.seed, numpy.random.set_state)]"
    own = f"def own(): return [type(random.seed.__self__).__name__, *{names}]\n"
    found = run(tmp_path, f"import random, numpy.random\n{own}print(own())")
    code = SEEDS + f"import numpy\n{own}children(own, seeds.before_fork, seeds.in_child)"
    assert answers(tmp_path, code) == [json.loads(found.replace("'", '"').replace("None", "null"))] * 2


# --- how long a child lives ------------------------------------------------------------------------------------------

HOLD = """
import ctypes, os, signal, sys
from jupyter_app_meta.kernel.forks import life
lifeline = int(sys.argv[1])
"""
READY = "print('ready', flush=True)\n"


def ended(code: str, *, early: bool = False) -> int:
    """Return how this code ended, whose server ends once the code is ready, or before it began."""
    lifeline, server = os.pipe()
    argv = [sys.executable, "-c", HOLD + code, str(lifeline)]
    try:
        if early:
            os.close(server)
        with subprocess.Popen(argv, pass_fds=[lifeline], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            if not early:
                assert process.stdout.readline() == "ready\n"
                assert process.poll() is None
                os.close(server)
            return process.wait(60)
    finally:
        os.close(lifeline)


@pytest.mark.parametrize(
    "wait",
    ["signal.pause()", "ctypes.PyDLL(None).pause()", "[signal.pause() for _ in iter(int, 1)]"],
    ids=["idle", "in C code that holds the lock", "endless"],
)
def test_a_child_ends_with_its_server(wait: str) -> None:
    """Whatever it does at that time, and though no thread of it waits for that."""
    assert ended(f"life.hold(lifeline)\n{READY}{wait}") == -signal.SIGKILL


@pytest.mark.parametrize(
    "deaf",
    [
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))",
        "[signal.signal(number, lambda *_: None) for number in (signal.SIGHUP, signal.SIGTERM)]",
        "stopped = signal.SIGSTOP",
    ],
    ids=["signals blocked", "signals handled", "stopped"],
)
def test_no_code_of_a_child_keeps_it_alive(deaf: str) -> None:
    """Not even if the process blocks or handles signals, or is stopped."""
    stop = "os.kill(os.getpid(), signal.SIGSTOP)" if "stopped" in deaf else "signal.pause()"
    assert ended(f"{deaf}\nlife.hold(lifeline)\n{READY}while True: {stop}") == -signal.SIGKILL


def test_a_server_that_ended_early_is_noticed() -> None:
    """A child that begins after the end of its server ends as well."""
    assert ended("life.hold(lifeline)\nsignal.pause()", early=True) == -signal.SIGKILL


def test_each_child_is_told(tmp_path: Path) -> None:
    """Parent and children have the signal each; a child that ends takes it from no sibling."""
    code = """
read, write = os.pipe()
last, held = os.pipe()  # ends with the last process that holds it
if not (parent := os.fork()):
    life.hold(lifeline)
    for number in range(3):
        if not os.fork():
            life.separate()
            life.hold(lifeline)
            os.write(write, b".")
            number or os._exit(0)
            signal.pause()
    os.wait()
    os.write(write, b".")
    signal.pause()
os.close(held)
counted = b""
while len(counted) < 4:
    counted += os.read(read, 4)
print('ready', flush=True)
sys.exit(40 + (os.waitpid(parent, 0)[1] == signal.SIGKILL) + (os.read(last, 1) == b""))
"""
    assert ended(code) == 42


def test_a_child_is_apart(tmp_path: Path) -> None:
    """It leads its own session and group, and is ended before its parent if memory runs out."""
    code = (
        "from jupyter_app_meta.kernel.forks import life\nbefore = int(open('/proc/self/oom_score_adj').read())\n"
        "def place():\n    return [os.getsid(0) == os.getpgid(0) == os.getpid(),"
        " int(open('/proc/self/oom_score_adj').read()) - min(1000, before + 300)]\n"
        "children(place, after=life.separate)"
    )
    assert answers(tmp_path, code) == [[True, 0]] * 2


def test_memory_is_the_same_in_large_pages() -> None:
    """A process that puts its memory into large pages has the same in it, also where the system cannot do that."""
    code = """if True:
    from jupyter_app_meta.kernel.forks.ahead import idle
    kept = bytes(range(256)) * 65_536
    idle.compact()
    print(kept == bytes(range(256)) * 65_536)
    """
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "True\n"
