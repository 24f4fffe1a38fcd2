"""Other libraries patch what we patch, before and after us: their work is done in any case, and so is the author's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from people import Kernel, running

WORKSHOP = Path(__file__).with_name("workshop.py")

LOAD, UNLOAD, RELOAD = "%load_ext jupyter_app_meta", "%unload_ext jupyter_app_meta", "%reload_ext jupyter_app_meta"

SETUP = """
import asyncio, functools, sys, threading
sys.path.insert(0, {0!r})
import workshop
Thread, first, plain = threading.Thread, threading.Thread.start, threading.Thread.run
seen, other = [], []
def started():
    t = Thread(target=lambda: seen.append(who())); t.start(); t.join(10)
    return seen.pop()
def pooled():
    return workshop.Pool().ask(who)
"""
WRAPS_RUN = """
def wrap(old):
    @functools.wraps(old)
    def start(self, *a, **kw):
        function = getattr(self.run, '__func__', self.run)
        def run(*a, **kw):
            other.append('run'); return function(threading.current_thread(), *a[1:], **kw)
        self.run = run
        return old(self, *a, **kw)
    return start
Thread.start = wrap(Thread.start)
"""
WRAPS_CLASS = """
def wrap(old):
    def run(self, *a, **kw): other.append('run'); return old(self, *a, **kw)
    return run
Thread.run = wrap(Thread.run)
"""
WRAPS_PLAINLY = """
def wrap(old):
    def begin(*a, **kw): other.append('start'); return old(*a, **kw)
    return begin
Thread.start = wrap(Thread.start)
"""
WRAPS_OBJECT = """
class Wrapper:
    def __init__(self, wrapped): self.__wrapped__ = wrapped
    def __get__(self, thread, owner): return functools.partial(self, thread) if thread is not None else self
    def __call__(self, *a, **kw): other.append('start'); return self.__wrapped__(*a, **kw)
Thread.start = Wrapper(Thread.start)
"""
RESTORE = f"{UNLOAD}\nThread.start, Thread.run = first, plain"
PATCHES = {"run": WRAPS_RUN, "class": WRAPS_CLASS, "plain": WRAPS_PLAINLY, "object": WRAPS_OBJECT}


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    """An ordinary kernel, with a library whose pool starts a thread."""
    library = tmp_path / "site-packages"
    library.mkdir()
    shutil.copy(WORKSHOP, library)
    with running(tmp_path) as kernel:
        kernel.run(None, SETUP.format(str(library)))
        yield kernel


@pytest.mark.parametrize("patch", PATCHES)
def test_thread_runs_and_knows_its_starter(kernel: Kernel, patch: str) -> None:
    """If another patches ``Thread`` too, its patch works, and threads run; the author's know their starter."""
    for order in ("patch load", "load patch patch", "patch load patch reload reload"):
        for step in order.split():
            kernel.run("carol", {"load": LOAD, "reload": RELOAD, "patch": PATCHES[patch]}[step])
        for name in ("alice", "bob"):
            seen = kernel.run(name, "del other[:]; print(started(), pooled(), len(other) > 1)")
            assert (order, seen) == (order, f"{name} None True")
        kernel.run("carol", RESTORE)


@pytest.mark.parametrize("order", ["load patch unload", "load patch unload restore", "load patch restore unload"])
def test_unloading_in_any_order_leaves_threads_that_know_nobody(kernel: Kernel, order: str) -> None:
    """After ``%unload_ext`` threads are not pinned, in any order of restoring; loading again pins again."""
    restore, patch = "Thread.start = kept", f"kept = Thread.start\n{WRAPS_RUN}"
    for step in order.split():
        kernel.run("carol", {"load": LOAD, "unload": UNLOAD, "patch": patch, "restore": restore}[step])
    assert kernel.run("alice", "print(started())") == "None"
    kernel.run("carol", LOAD)
    assert kernel.run("alice", "print(started())") == "alice"


def test_patch_that_drops_ours_is_survived(kernel: Kernel) -> None:
    """Another that restores what it found before us takes our patch away; loading again brings it back, once."""
    kernel.run("carol", f"{LOAD}\nThread.start = first")
    assert kernel.run("alice", "print(started())") == "None"
    kernel.run("carol", RELOAD)
    assert kernel.run("alice", "print(started())") == "alice"
    kernel.run("carol", UNLOAD)
    assert kernel.run("alice", "print(started(), Thread.start is first)") == "None True"


def test_thread_takes_the_arguments_of_another_patch(kernel: Kernel) -> None:
    """What another patch passes on to ``start()`` reaches the ``start()`` that it was meant for."""
    kernel.run("carol", "def start(self, *a, **kw): other.append((a, kw)); return first(self)\nThread.start = start")
    kernel.run("carol", LOAD)
    code = "t = Thread(target=lambda: seen.append(who())); t.start(1, x=2); t.join(); print(seen, other)"
    assert kernel.run("alice", code) == "['alice'] [((1,), {'x': 2})]"


@pytest.mark.parametrize(
    "fault",
    [
        "import jupyter_app_meta.kernel.{0} as faulty\ndef fail(*a): raise RuntimeError('ours')\nfaulty.{1} = fail",
        "import jupyter_app_meta.kernel.{0} as faulty\ndel faulty.{1}",
    ],
)
@pytest.mark.parametrize("place", [("context", "parent_of"), ("authors", "wrote"), ("threads", "_has_begun")])
def test_fault_of_ours_costs_no_thread(kernel: Kernel, fault: str, place: tuple[str, str]) -> None:
    """If our own code fails, the thread runs, and at worst sees no request."""
    kernel.run("carol", f"{LOAD}\n{fault.format(*place)}")
    assert kernel.run("alice", "print(started())") == "None"


ODD_THREADS = (
    "class Odd(Thread):\n    def __eq__(self, other): return True\n    def __hash__(self): return 1",
    "class Odd(Thread):\n    def __setattr__(self, name, value): object.__setattr__(self, name, value)",
    "class Odd(Thread):\n    __slots__ = ('slot',)",
    "class Odd(Thread):\n    def __getattribute__(self, name): return object.__getattribute__(self, name)",
)


def test_odd_thread_runs(kernel: Kernel) -> None:
    """A thread of an odd kind runs as any."""
    kernel.run("carol", LOAD)
    run = "del seen[:]; t = Odd(target=lambda: seen.append(who())); t.start(); t.join(10); print(seen)"
    for odd in ODD_THREADS:
        assert (odd, kernel.run("alice", f"{odd}\n{run}")) in ((odd, "['alice']"), (odd, "[None]"))


def test_thread_that_has_run_is_refused_in_pythons_words(kernel: Kernel) -> None:
    """A thread is started once; who tries it again does not take it over."""
    kernel.run("carol", LOAD)
    kernel.run(
        "alice", "go = threading.Event(); t = Thread(target=lambda: (go.wait(20), seen.append(who()))); t.start()"
    )
    assert "threads can only be started once" in kernel.run("bob", "t.start()")
    assert kernel.run("bob", "go.set(); t.join(); print(seen)") == "['alice']"


WRAPS_KERNEL = """
kernel = get_ipython().kernel
def wrap(old):
    def wrapper(*a, **kw): other.append(1); return old(*a, **kw)
    return wrapper
kernel.set_parent = wrap(kernel.set_parent)
kernel.control_handlers['shutdown_request'] = wrap(kernel.control_handlers['shutdown_request'])
"""


@pytest.mark.parametrize("order", [(WRAPS_KERNEL, LOAD), (LOAD, WRAPS_KERNEL), (LOAD, WRAPS_KERNEL, RELOAD)])
def test_patched_kernel_works_and_is_given_back(kernel: Kernel, order: tuple[str, ...]) -> None:
    """Another's patches of the kernel's own methods work beside ours, stay when we go, and the kernel ends."""
    for step in order:
        kernel.run("carol", step)
    assert kernel.run("alice", "print(who())") == "alice"
    kernel.run("carol", UNLOAD)
    assert kernel.run("bob", "n = len(other)\nprint(who(), n > 0)") == "bob True"
    assert kernel.run("bob", "print(len(other) > n)") == "True"
    kernel.send(None, "shutdown_request", {"restart": False}, channel="control")
    assert kernel.client.get_control_msg(timeout=30)["content"]["status"] == "ok"


@pytest.mark.parametrize("module", ["messages", "claims", "logs"])
def test_step_that_fails_is_named_and_the_others_are_done(kernel: Kernel, module: str) -> None:
    """Another build of ipykernel may lack what a step changes: a warning names the step, and the rest works."""
    fault = {"messages": "messages.guard", "claims": "claims.listen", "logs": "_filter"}[module]
    step = {"messages": "keep callbacks from", "claims": "make a warm kernel listen", "logs": "keep stamps out"}[module]
    code = "import jupyter_app_meta.kernel.extension as e\ndef fail(*a): raise AttributeError('gone')\n"
    said = kernel.run("carol", f"{code}e.{fault} = fail\n{LOAD}")
    assert f"jupyter_app_meta could not {step}" in said
    assert "AttributeError: gone" in said
    assert kernel.run("alice", "name = %app_meta user.username\nprint(name, started())") == "alice alice"


def test_kernel_without_the_variable_knows_nobody(kernel: Kernel) -> None:
    """If ipykernel's private parts are not as we know them, code runs and sees no request."""
    kernel.run("carol", LOAD)
    assert kernel.run("alice", "del get_ipython().kernel.io_loop.asyncio_loop\nprint(who())") != "bob"
    kernel.run(
        "alice", "k = get_ipython().kernel; kept = k._shell_parent\nimport jupyter_app_meta.kernel.messages as m"
    )
    assert (
        kernel.run("bob", "m._told = None; m._vouched[0] = (None, lambda: None, 0)\nprint(who(), started())")
        == "None None"
    )


def test_record_that_cannot_be_read_is_left_out_of_the_log(tmp_path: Path) -> None:
    """A filter of ours never makes the code fail that logs."""
    with running(tmp_path) as kernel:
        kernel.run("carol", LOAD)
        odd = "class Odd(dict):\n    def get(self, *a): raise ValueError\n"
        log = "get_ipython().kernel.log.error('%s', Odd(app_meta=1))"
        assert kernel.run("alice", f"{odd}{log}\nprint(who())").endswith("alice")
    assert "could not be read" in (tmp_path / "stderr").read_text()
