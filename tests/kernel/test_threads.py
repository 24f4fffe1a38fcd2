"""Which threads know who started them, in real kernels that several people share."""

from __future__ import annotations

import compileall
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from people import AWARE, Kernel, running

WORKSHOP = Path(__file__).with_name("workshop.py")

HELPER = """
import threading
def ask(who):
    out = []
    thread = threading.Thread(target=lambda: out.append(who()))
    thread.start(); thread.join()
    return out[0]
"""

COMM = """
import comm
c = comm.create_comm(target_name='t', comm_id='the-comm')
comm.get_comm_manager().register_comm(c)
"""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders with a library that is installed, in several ways, and with modules of the author's."""
    root = tmp_path_factory.mktemp("places")
    for folder in ("site-packages", "dist-packages", "target", "archived", "beside", "bytes"):
        (root / folder).mkdir()
    shutil.copy(WORKSHOP, root / "site-packages")
    (root / "site-packages/helper_installed.py").write_text(HELPER)
    (root / "dist-packages/helper_debian.py").write_text(HELPER)
    (root / "target/helper_target.py").write_text(HELPER)
    (root / "target/helper_target-1.0.dist-info").mkdir()
    (root / "beside/helper_beside.py").write_text(HELPER)
    (root / "beside/script.py").write_text(f"{HELPER}\nprint(ask(who))")
    (root / "beside/helper_linked.py").symlink_to(root / "site-packages/helper_installed.py")
    for folder, name in (("beside", "helper_bytes"), ("site-packages", "helper_installed_bytes")):
        source = root / "bytes" / f"{name}.py"
        source.write_text(HELPER)
        compileall.compile_file(source, legacy=True, quiet=2, ddir="/home/maker")
        source.with_suffix(".pyc").rename(root / folder / f"{name}.pyc")
    with zipfile.ZipFile(root / "archived.zip", "w") as archive:
        archive.writestr("helper_archived.py", HELPER)
    return root


@pytest.fixture(scope="module")
def kernel(places: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel with the IPython extension, that library and those modules."""
    with running(tmp_path_factory.mktemp("aware"), AWARE) as kernel:
        paths = [str(places / name) for name in ("site-packages", "dist-packages", "target", "beside", "archived.zip")]
        kernel.run(None, f"import sys\nsys.path[:0] = {paths!r}\nimport asyncio, contextvars, functools, threading")
        yield kernel


def each(kernel: Kernel, setup: str, ask: str) -> list[str]:
    """Return what Alice's cell, and then Bob's, sees of what Alice has set up."""
    kernel.run("alice", dedent(setup))
    return [kernel.run(name, f"print({ask})") for name in ("alice", "bob")]


@pytest.mark.parametrize("kind", ["Pool", "Later", "Cluster", "Scheduler", "Offloading"])
def test_threads_that_a_library_starts_see_nobody(kernel: Kernel, kind: str) -> None:
    """A library's thread lives on and serves the next person: it sees neither that person nor its starter."""
    assert each(kernel, f"import workshop\nkept = workshop.{kind}()", "kept.ask(who)") == ["None", "None"]


SERVES = "threading.Thread(target=kept.serve, daemon=True).start()"


@pytest.mark.parametrize(
    ("kind", "begin"),
    [("Given", SERVES), ("Observer", SERVES), ("Observer", "kept.start()"), ("Plain", "kept.start()")],
)
def test_work_of_a_library_sees_nobody_in_the_authors_thread(kernel: Kernel, kind: str, begin: str) -> None:
    """A server's loop, or a thread of a library's class, serves many people, even if a cell starts it."""
    assert each(kernel, f"import workshop\nkept = workshop.{kind}()\n{begin}", "kept.ask(who)") == ["None", "None"]


LISTENER = """
import logging, logging.handlers, queue
records, heard = queue.Queue(), queue.Queue()
class Hear(logging.Handler):
    def emit(self, record): heard.put(who())
logging.handlers.QueueListener(records, Hear()).start()
def ask(): records.put(logging.makeLogRecord({})); return heard.get(timeout=60)
"""
SERVER = """
import queue, socket, socketserver
heard = queue.Queue()
class Hear(socketserver.BaseRequestHandler):
    def handle(self): heard.put(who())
class Server({}): daemon_threads = True
server = Server(('127.0.0.1', 0), Hear)
threading.Thread(target=server.serve_forever, daemon=True).start()
def ask(): socket.create_connection(server.server_address).close(); return heard.get(timeout=60)
"""
POOL = "import {0}\nfrom {0} import {1}\npool = {1}(1)\nask = lambda: {2}"


@pytest.mark.parametrize(
    "setup",
    [
        LISTENER,
        SERVER.format("socketserver.TCPServer"),
        SERVER.format("socketserver.ThreadingTCPServer"),
        POOL.format("concurrent.futures", "ThreadPoolExecutor", "pool.submit(who).result()"),
        POOL.format("multiprocessing.pool", "ThreadPool", "pool.apply(who)"),
    ],
)
def test_threads_of_the_standard_library_see_nobody(kernel: Kernel, setup: str) -> None:
    """Listeners, servers and pools of the standard library are libraries' as well."""
    assert each(kernel, setup, "ask()") == ["None", "None"]


OWN = """
out, Thread = [], threading.Thread
def work(): out.append(who())
def ended(thread): thread.join(); return out.pop()
"""


@pytest.mark.parametrize(
    "start",
    [
        "t = threading.Thread(target=work); t.start()",
        "t = threading.Timer(0, work); t.start()",
        "t = threading.Thread(target=functools.partial(work)); t.start()",
        "t = threading.Thread(target=work); functools.partial(t.start)()",
        "t = threading.Thread(target=work); list(map(threading.Thread.start, [t]))",
        "t = threading.Thread(target=work); exec('t.start()')",
        "t = threading.Thread(target=work); exec('t.start()', {'t': t})",
        "t = threading.Thread(target=work); eval('t.start()')",
        "def launch(thread): thread.start()\nt = threading.Thread(target=work); launch(t)",
        "class T(threading.Thread):\n    def run(self): work()\nt = T(); t.start()",
        "class T(threading.Thread):\n    def start(self): super().start()\nt = T(target=work); t.start()",
        "class T(Thread):\n    def start(self, *a): Thread.start(self)\nt = T(None, work); t.start(1)",
        "async def main(): work()\nt = threading.Thread(target=lambda: asyncio.run(main())); t.start()",
        "async def main(): work()\nt = threading.Thread(target=asyncio.run, args=(main(),)); t.start()",
        "async def main(): await asyncio.to_thread(work)\nt = Thread(None, asyncio.run, None, [main()]); t.start()",
        "t = threading.Thread(target=contextvars.copy_context().run, args=(work,)); t.start()",
        "def w(f):\n    def g(*a): f(*a)\n    return functools.wraps(f)(g)\nt = Thread(None, w(work)); w(t.start)()",
    ],
)
def test_thread_that_a_cell_starts_sees_its_starter(kernel: Kernel, start: str) -> None:
    """In whatever way the author's own code calls ``start()``, the thread sees the person whom that code saw."""
    assert kernel.run("alice", f"{OWN}\n{start}\nprint(ended(t))") == "alice"


@pytest.mark.parametrize(
    ("module", "seen"),
    [
        ("beside", "alice"),
        ("bytes", "alice"),
        ("installed", "None"),
        ("installed_bytes", "None"),
        ("debian", "None"),
        ("target", "None"),
        ("linked", "None"),
        ("archived", "None"),
    ],
)
def test_module_is_the_authors_unless_it_is_installed(kernel: Kernel, module: str, seen: str) -> None:
    """A module beside the notebook is the author's own; installed ones, and those without a file, are libraries."""
    assert kernel.run("alice", f"import helper_{module} as helper\nprint(helper.ask(who))") == seen


def test_script_that_is_run_is_the_authors(kernel: Kernel, places: Path) -> None:
    """``%run`` runs the author's own code."""
    assert kernel.run("alice", f"%run -i {places / 'beside/script.py'}") == "alice"


@pytest.mark.parametrize(
    "start",
    [
        "t = threading.Thread(target=work); workshop.call(t.start)",
        "class T(threading.Thread):\n    def start(self): super().start()\nt = T(target=work); workshop.call(t.start)",
        "def launch(thread): thread.start()\nt = threading.Thread(target=work); workshop.call(launch, t)",
        "def launch(*given): given[0].start()\nt = threading.Thread(target=work); workshop.call(launch, t)",
    ],
)
def test_thread_that_the_author_hands_to_a_library_sees_nobody(kernel: Kernel, start: str) -> None:
    """Where a library calls ``start()``, also through a function of the author's, the thread is the library's."""
    assert kernel.run("alice", f"import workshop\n{OWN}\n{start}\nprint(ended(t))") == "None"


# Copies of a context


def test_carried_context_is_believed_while_its_message_is_handled(kernel: Kernel) -> None:
    """What the author carries over to a pool is the message's own, and ends with it; the next person's is theirs."""
    pool = "import concurrent.futures\npool = concurrent.futures.ThreadPoolExecutor(1)"
    ask = "pool.submit(contextvars.copy_context().run, who).result()"
    assert each(kernel, pool, ask) == ["alice", "bob"]
    kernel.run("alice", "kept = contextvars.copy_context()")
    assert kernel.run("bob", "print(pool.submit(kept.run, who).result())") == "None"


def test_to_thread_sees_its_creator_after_the_cell(kernel: Kernel) -> None:
    """A task of Alice's that outlives her cell gives its threads her request, while Bob's cells run."""
    kernel.run(
        "alice",
        "seen, go = [], asyncio.Event()\n"
        "async def later():\n    await go.wait(); seen.append(await asyncio.to_thread(who))\n"
        "task = asyncio.ensure_future(later())",
    )
    assert kernel.run("bob", "go.set(); await task; print(seen, await asyncio.to_thread(who))") == "['alice'] bob"


def test_loop_in_to_thread_ends_with_its_message(kernel: Kernel) -> None:
    """A loop in a thread belongs to the message while that is handled; if it lives on, it sees no request."""
    kernel.run("alice", "async def main(): return who()")
    assert kernel.run("alice", "print(await asyncio.to_thread(lambda: asyncio.run(main())))") == "alice"
    kernel.run(
        "alice",
        "go = asyncio.Event()\nasync def later():\n    await go.wait()\n"
        "    return await asyncio.to_thread(lambda: asyncio.run(main()))\ntask = asyncio.ensure_future(later())",
    )
    assert kernel.run("bob", "go.set(); print(await task)") == "None"


def test_loop_in_a_thread_of_the_authors_serves_nobody_later(kernel: Kernel) -> None:
    """A service that Alice's cell left in a background loop does Bob's work in a copy of her context: no request."""
    kernel.run(
        "alice",
        "import queue\nloop, answers = asyncio.new_event_loop(), queue.Queue()\n"
        "threading.Thread(target=loop.run_forever, daemon=True).start()\n"
        "jobs = asyncio.Queue()\n"
        "async def serve():\n    while True:\n        job = await jobs.get(); answers.put(job())\n"
        "service = asyncio.run_coroutine_threadsafe(serve(), loop)\n"
        "async def once(): return who()\n"
        "def ask(): loop.call_soon_threadsafe(jobs.put_nowait, who); return answers.get(timeout=60)",
    )
    assert kernel.run("bob", "print(ask(), asyncio.run_coroutine_threadsafe(once(), loop).result())") == "None bob"
    assert kernel.run("carol", "loop.call_soon_threadsafe(loop.stop); print(who())") == "carol"


def test_cluster_serves_nobody_while_its_starter_still_runs(kernel: Kernel) -> None:
    """Bob's callback gives work to the cluster of Alice's cell, which awaits: her message lives, the work is his."""
    kernel.run("alice", f"import workshop{COMM}answers = []\n@c.on_msg\ndef _(msg): answers.append(cluster.put(who))")
    cell = kernel.start(
        "alice",
        "cluster = workshop.Cluster()\nwhile not answers: await asyncio.sleep(0.01)\n"
        "print(await asyncio.to_thread(answers[0].get))",
    )
    kernel.comm("bob", "the-comm", {})
    assert kernel.finish(cell) == "None"


def test_what_a_callback_left_is_not_the_waiting_cells(kernel: Kernel) -> None:
    """Bob's callback gives work to Alice's cluster, and is done before the cluster takes it: it is not hers."""
    kernel.run(
        "alice",
        f"import workshop{COMM}answers, gate = [], threading.Event()\n"
        "@c.on_msg\ndef _(msg): answers.append(cluster.put(lambda: (gate.wait(20), who())[1]))",
    )
    cell = kernel.start(
        "alice",
        "cluster = workshop.Cluster()\nwhile not answers: await asyncio.sleep(0.01)\n"
        "for _ in range(20): await asyncio.sleep(0.01)\n"
        "gate.set(); print(await asyncio.to_thread(answers[0].get), await asyncio.to_thread(who), who())",
    )
    kernel.comm("bob", "the-comm", {})
    assert kernel.finish(cell) == "None alice alice"


def test_work_that_waited_is_not_that_of_who_starts_the_worker(kernel: Kernel) -> None:
    """Bob's work waits in a library's queue; Alice's cell starts what does it, in her context, while she waits."""
    kernel.run("bob", "import workshop\nkept = workshop.Given()\nanswer = kept.put(who)")
    kernel.run("alice", "import concurrent.futures\npool = concurrent.futures.ThreadPoolExecutor(1)")
    start = "pool.submit(contextvars.copy_context().run, kept.serve)"
    assert kernel.run("alice", f"_ = {start}\nprint(answer.get(timeout=60))") == "None"


def test_inherited_context_is_carried_by_nobody(kernel: Kernel) -> None:
    """Python 3.14 may start threads in a copy of their starter's context; what works in it serves many people."""
    code = """
        import concurrent.futures
        class Inheriting(threading.Thread):  # as Python 3.14 does it, where its flag says so
            def run(self):
                if not hasattr(self, '_context'): self._context = contexts.pop()
                self._context.run(threading.Thread.run, self)
        contexts, out = [contextvars.copy_context()], []
        t = Inheriting(target=lambda: out.append(who()))
        concurrent.futures.ThreadPoolExecutor(1).submit(t.start).result()
        t.join(); print(out)
    """
    assert kernel.run("alice", dedent(code)) == "[None]"


def test_thread_of_a_pinned_thread_is_its_own(kernel: Kernel) -> None:
    """A library that a pinned thread uses starts threads without a request, and a loop there keeps none."""
    code = """
        import workshop
        out = []
        def work(): out.extend([who(), workshop.Pool().ask(who), workshop.Cluster().ask(who)])
        t = threading.Thread(target=work); t.start(); t.join(); print(out)
    """
    assert kernel.run("alice", dedent(code)) == "['alice', None, None]"
