"""Kernels that are run ahead of their visitors: sooner, and otherwise as if they had not been.

Where kernels are forked, forks that are made ahead take their place. A cell that gives up its visitor does so in a warm
kernel only, because each fork has one: the dashboards of such cells ask for no forks.
"""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from html import unescape
from pathlib import Path

import psutil
import pytest
from harness import Server, without_kernels
from stage import ASK, SLIDER, WHO, Opened, browse, eventually, kernel_process, kernels, move, staging, visit, write

TIMER = """import os, time
print('ran at', time.time())
open(f'ready-{os.getpid()}', 'w').close()"""
"""A cell that prints when it was run, and leaves a note that it was."""

THREADS = """import asyncio, os, threading
from jupyter_app_meta import app_meta
found = []
def look():
    found.append(app_meta().user.username)
thread = threading.Thread(target=look)
thread.start()
task = asyncio.create_task(asyncio.to_thread(look))
open(f'ready-{os.getpid()}', 'w').close()"""

FLAKY = """from pathlib import Path
attempts = Path("attempts")
attempts.write_text(attempts.read_text() + "x" if attempts.exists() else "x")
if len(attempts.read_text()) == 1:
    raise RuntimeError("not yet")
print("at last")"""

IMPATIENT = """from jupyter_app_meta import app_meta
try:
    print("asked in time:", app_meta(timeout=0.3).user.username)
except TimeoutError as error:
    print("gave up:", type(error).__name__)"""

ENVIRONMENT = "import os, json\nprint('<' + json.dumps(dict(os.environ)) + '>')"

NOTEBOOKS = {
    "early": (TIMER, WHO, SLIDER),
    "whole": (SLIDER, TIMER),
    "env": (ENVIRONMENT, TIMER, WHO),
    "threads": (THREADS, "thread.join(); await task; print('threads saw', found)"),
    "impatient": (IMPATIENT, TIMER, WHO),
    "slow": (TIMER, WHO + "\nimport time; time.sleep(150)", "print('never' + ' reached')"),
    "flaky": (FLAKY, WHO),
    "hasty": (TIMER, "from jupyter_app_meta import app_meta\napp_meta(timeout=0.3)", WHO),
}

LIMIT = 12
"""Seconds that a cell may take. A busy machine may need several for an import."""

APP = f"""
config = {{"VoilaExecutor": {{"timeout": {LIMIT}}}}}
app = create_app(identity_provider=People, config=config).with_app(path="/cold/env", root="env/page.ipynb")
for name in {list(NOTEBOOKS)}:
    settings = {{"warm": 2 if name in ("early", "whole") else 1}}
    if name in ("impatient", "hasty"):
        settings["fork"] = False
    app = app.with_app(path=f"/{{name}}", root=f"{{name}}/page.ipynb", **settings)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a time limit for each cell, and notebooks of many kinds."""
    home = tmp_path_factory.mktemp("warm")
    for name, cells in NOTEBOOKS.items():
        write(home / "root" / name / "page.ipynb", *cells)
    with staging(home, APP) as server:
        yield server


def ahead(server: Server, name: str) -> dict[int, psutil.Process]:
    """Return the kernels of a notebook that have run their cells up to the note, one at least, by their process ids.

    For a fork, its template has.
    """

    def found() -> dict[int, psutil.Process]:
        notes = {int(path.name[6:]): path for path in (server.home / "root" / name).glob("ready-*")}
        return {process.pid: process for process in kernels(server).values() if _ran(process) & notes.keys()}

    return eventually(found, timeout=60)


def _ran(process: psutil.Process) -> set[int]:
    """Return which process may have run a kernel's first cells: itself, or its parent."""
    with suppress(psutil.NoSuchProcess):
        return {process.pid, process.ppid()}
    return set()


def lives(process: psutil.Process) -> bool:
    """Whether a process has not ended; one whose parent is gone may be left as a zombie.

    A killed process is a zombie while its last threads end. Until then its parent still takes it to be alive.
    """
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and (process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1)
    return False


def _written(note: Path) -> float:
    return note.stat().st_mtime


def ran_at(opened: Opened) -> float:
    """Return when the timer's cell was run."""
    found = re.search(r"ran at ([0-9.]+)", opened.html)
    assert found, opened.html[-2000:]
    return float(found[1])


def test_cells_before_the_first_question_ran_ahead(server: Server) -> None:
    """They are older than the visitor's request; what asks for the visitor knows them."""
    ahead(server, "early")
    before = time.time()
    opened = visit(server, "alice", "/early", region="emea")
    assert ran_at(opened) < before
    assert "<alice|{'region': 'emea'}|{}|run>" in opened.html
    opened.close()


def test_notebook_that_never_asks_is_rendered_ahead(server: Server) -> None:
    """The whole page is there at once, its widgets work, and each visitor has one of their own."""
    kernel_ids = set()
    eventually(lambda: len(ahead(server, "whole")) == 2)
    for person in ("alice", "bob"):
        before = time.time()
        opened = visit(server, person, "/whole", q="1")
        assert ran_at(opened) < before
        assert move(opened.connect(), opened, 3).startswith(f"{person}|{{'q': '1'}}|")
        kernel_ids.add(opened.kernel_id)
        opened.close()
    assert len(kernel_ids) == 2


def test_nobody_sees_what_an_earlier_visitor_brought(server: Server) -> None:
    """Six visitors one after another, and three at once: each page has its own person and query, and no other's."""
    people = [f"person{number}-CANARY{number}" for number in range(9)]
    opened = [visit(server, person, "/early", mark=person) for person in people[:6]]
    with ThreadPoolExecutor(3) as pool:
        opened += pool.map(lambda person: visit(server, person, "/early", mark=person), people[6:])
    assert len({page.kernel_id for page in opened}) == 9
    for person, page in zip(people, opened, strict=True):
        assert f"<{person}|{{'mark': '{person}'}}|{{}}|run>" in page.html
        assert set(re.findall(r"CANARY\d", page.html)) == {person[-7:]}
        assert move(page.connect(), page, 1).startswith(f"{person}|{{'mark': '{person}'}}|")
    for page in opened:
        page.close()
    eventually(lambda: not {page.kernel_id for page in opened} & kernels(server).keys())


def test_kernels_are_replaced_after_each_visit(server: Server) -> None:
    """A visitor takes a kernel that waited, and another one is soon there in its place."""
    before = eventually(lambda: found if len(found := ahead(server, "early")) == 2 else {})
    opened = visit(server, "alice", "/early")
    taken = kernel_process(server, opened.kernel_id).pid
    assert taken in before
    eventually(lambda: len(ahead(server, "early").keys() - {taken}) == 2)
    opened.close()


def test_crashed_kernels_are_given_to_nobody(server: Server) -> None:
    """All kernels that wait are killed, and the next pages are right, at once and a little later."""
    killed = {**ahead(server, "early"), **ahead(server, "whole")}.values()
    for process in killed:
        process.kill()
    eventually(lambda: not any(map(lives, killed)))
    for name in ("early", "whole"):
        opened = visit(server, "alice", f"/{name}", after="crash")
        assert "ran at" in opened.html
        assert move(opened.connect(), opened, 5).startswith("alice|{'after': 'crash'}|")
        opened.close()
        time.sleep(0.6)


def test_changed_notebook_is_shown_as_it_is(server: Server) -> None:
    """A page that begins after the change is the new one, though the old one was run ahead."""
    path = server.home / "root" / "whole" / "page.ipynb"
    text = path.read_text()
    old = ahead(server, "whole")
    for word in ("changed", "again"):
        write(path, f"print('this is ' + '{word}')", SLIDER)
        opened = visit(server, "alice", "/whole")
        assert f"this is {word}" in opened.html and "ran at" not in opened.html
        opened.close()
    path.write_text(text)
    opened = visit(server, "alice", "/whole")
    assert "ran at" in opened.html and "this is" not in opened.html
    opened.close()
    assert not psutil.wait_procs(old.values(), timeout=60)[1]


@pytest.mark.unforked("a cell failed ahead")
def test_cell_that_fails_ahead_costs_its_visitor_nothing(server: Server) -> None:
    """They get a page that was begun for them; the next attempt ahead is made after a while."""
    attempts = server.home / "root" / "flaky" / "attempts"
    eventually(attempts.exists)
    opened = visit(server, "alice", "/flaky")
    assert "at last" in opened.html and "<alice|" in opened.html
    opened.close()
    eventually(lambda: len(attempts.read_text()) >= 3)


@pytest.mark.unforked("the thread 'Thread-", "a thread asks")
def test_threads_and_tasks_that_ask_early_wait_for_the_visitor(server: Server) -> None:
    """Code that was started before the visitor arrived sees the visitor."""
    ahead(server, "threads")
    opened = visit(server, "alice", "/threads")
    assert "threads saw ['alice', 'alice']" in opened.html
    opened.close()


def test_author_may_ask_with_a_timeout(server: Server) -> None:
    """A cell that gives up is shown as it is, and what asks later knows the visitor."""
    ahead(server, "impatient")
    opened = visit(server, "alice", "/impatient", q="1")
    assert "gave up: NotClaimed" in opened.html and "asked in time" not in opened.html
    assert "<alice|{'q': '1'}|{}|run>" in opened.html
    opened.close()


def test_timeout_that_nobody_catches_makes_pages_cold(server: Server) -> None:
    """A notebook that gives up ahead of its visitor is begun when they come, or a moment before: it is tried again."""
    before = time.time()
    opened = visit(server, "alice", "/hasty")
    assert ran_at(opened) > before - 10 and "<alice|{}|{}|run>" in opened.html
    opened.close()


def test_visitor_who_comes_as_they_are_given_up_is_served(tmp_path: Path) -> None:
    """A cell that gave up, and was not heard of yet when its visitor came, is run again for them."""
    late = """import time
from jupyter_app_meta import app_meta
try:
    app_meta(timeout=0.3)
except TimeoutError:
    open("gave-up", "w").close()
    time.sleep(2)
    raise"""
    write(tmp_path / "root" / "late.ipynb", late, WHO)
    app = "app = create_app(identity_provider=People).with_app(path='/', root='late.ipynb', warm=1, fork=False)"
    with staging(tmp_path, app) as server:
        eventually((tmp_path / "root" / "gave-up").exists)
        opened = visit(server, "alice")
        assert "<alice|{}|{}|run>" in opened.html and "NotClaimed" not in opened.html


@pytest.mark.parametrize("path", ["/env", "/cold/env"])
def test_environment_of_kernels_has_nothing_of_a_visitor(server: Server, path: str) -> None:
    """Neither page nor query, header nor cookie stands in what every process that a cell starts inherits."""
    ahead(server, "env")
    headers = {"User-Agent": "CANARY-agent", "Accept-Language": "CANARY-language", "Cookie": "person=CANARY-person"}
    visitor = server.visitor(headers={**headers, "X-Forwarded-User": "CANARY-user", "Referer": "http://x/CANARY"})
    opened = browse(visitor, path, q="CANARY-query")
    assert "<CANARY-person|{'q': 'CANARY-query'}|{}|run>" in opened.html
    found = re.search(r"<(\{.*?\})>", unescape(opened.response.text))
    assert found
    environment = json.loads(found[1])
    assert "CANARY" not in found[1] and "PATH" in environment
    foreign = {"QUERY_STRING", "PATH_INFO", "SCRIPT_NAME", "SERVER_NAME", "KERNEL_APP_META_KEY", "JUPYTER_TOKEN"}
    assert not foreign & environment.keys()
    assert not [name for name in environment if name.startswith(("VOILA", "HTTP_", "REMOTE_", "REQUEST_"))]
    opened.close()


def test_time_limit_of_cells_begins_with_the_visitor(server: Server) -> None:
    """A kernel that has waited for longer than a cell may run is given as any other, and then has as long as any."""
    ahead(server, "slow")
    eventually(lambda: time.time() - max(map(_written, (server.home / "root" / "slow").glob("ready-*"))) > LIMIT + 1)
    before = time.time()
    opened = visit(server, "alice", "/slow")
    assert ran_at(opened) < before - LIMIT and "<alice|{}|{}|run>" in opened.html
    assert LIMIT - 0.5 < time.time() - before < 100
    assert "Something went wrong (E-" in opened.html
    assert "never reached" not in opened.html
    opened.close()


def test_end_of_the_server_is_the_end_of_its_kernels(tmp_path: Path) -> None:
    """SIGTERM ends those that wait, those with a page and those that are busy within seconds, and leaves nothing."""
    write(tmp_path / "root" / "page.ipynb", WHO)
    write(tmp_path / "root" / "busy.ipynb", f"{ASK}print('begun')", "import time\nwhile True:\n    time.sleep(1)")
    app = """
app = (create_app(identity_provider=People)
       .with_app(path="/warm", root="page.ipynb", warm=2).with_app(path="/busy", root="busy.ipynb"))
"""
    with tempfile.TemporaryDirectory() as folder, staging(tmp_path, app, env={"TMPDIR": folder}) as server:
        visitor = server.visitor(cookies={"person": "alice"})
        opened = browse(visitor, "/warm")
        eventually(lambda: len(kernels(server)) == 3)
        with visitor.http.stream("GET", "busy") as response:
            assert response.status_code == 200
            eventually(lambda: len(kernels(server)) == 4)
            time.sleep(0.5)
            processes = kernels(server)
            assert opened.kernel_id in processes
            server.process.send_signal(signal.SIGTERM)
            assert not psutil.wait_procs(list(processes.values()), timeout=60)[1]
        assert server.process.wait(60) == 0
        assert not [str(path) for path in Path(folder).rglob("*")]
        log = without_kernels(server.log)
        assert "Uncaught" not in log and "never retrieved" not in log


def test_kernels_end_with_a_server_that_is_killed(server: Server) -> None:
    """A kernel that waits for its visitor does not wait for a server that is gone. The last test of this server."""
    ahead(server, "early")
    processes = list(kernels(server).values())
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    eventually(lambda: not any(map(lives, processes)))
