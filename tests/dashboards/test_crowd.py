"""Many visitors at once and one after another: every page is its visitor's own, and nothing is left of it."""

from __future__ import annotations

import json
import re
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from harness import Server, without_kernels
from stage import FORK, SLIDER, WHO, Opened, browse, eventually, kernel_process, kernels, move, staging, visit, write

from jupyter_app_meta.state.keys import AUDIENCES
from jupyter_app_meta.state.stores.base import Where
from jupyter_app_meta.state.stores.open import open_store

pytestmark = pytest.mark.timeout(600)

CROWD = 50
LEAVERS = 15
VISITS = 60
SOCKETS = VISITS // 4
"""How many of the visits connect, for a moment."""
THREADS = 8
"""So many threads ask the store, each made when all others are in use."""
CONNECT_TIMEOUT, IDLE_TIMEOUT = 12, 2
"""Seconds. A busy machine may take long until a page that has come connects."""
WARM = {"crowd": 4, "small": 2}

COUNTS = """from jupyter_app_meta import shared, visitor
print(f"[{visitor.state.add('visits')}|{shared.state.add('visits')}]")"""
"""A cell that stores."""

WATCHES = "watch = shared.state.on_change(lambda change: None)"
"""A cell that wants to be told what others store."""

APP = f"""
import asyncio, collections, gc, json, threading
from pathlib import Path
from jupyter_app_meta.state import grants

def counts(status, request):
    '''Answer what there is in this process, as the error page of a path that nobody may see.'''
    grants._claims.cache_clear()  # it has room for more than there are visits
    gc.collect()
    kinds = ((str(getattr(type(thing), "__module__", "")), type(thing).__name__) for thing in gc.get_objects())
    ours = collections.Counter(name for module, name in kinds if module.startswith("jupyter_app_meta"))
    coroutines = [task.get_coro() for task in asyncio.all_tasks()]  # the next step of an async generator has no name
    tasks = collections.Counter(getattr(each, "__qualname__", type(each).__name__) for each in coroutines)
    return json.dumps({{"objects": ours, "tasks": tasks, "threads": threading.active_count()}})

# fifty kernels at once may keep the server from answering for longer than the default of five seconds
config = {{"AppMetaExtension": {{"state_url": f"sqlite:///{{Path('state.db').resolve()}}", "state_timeout": 60}}}}
app = (create_app(identity_provider=People, on_error=counts, config=config,
                  connect_timeout={CONNECT_TIMEOUT}, idle_timeout={IDLE_TIMEOUT})
       .with_app(path="/counts", root="small.ipynb", authorize=lambda user, request: False)
       .with_app(path="/slow", root="slow.ipynb")
       .with_app(path="/cold", root="small.ipynb"))
for path, warm in {WARM}.items():
    app = app.with_app(path=f"/{{path}}", root=f"{{path}}.ipynb", warm=warm)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose pages end soon after they were left."""
    home = tmp_path_factory.mktemp("crowd")
    write(home / "root" / "crowd.ipynb", WHO, COUNTS, SLIDER)
    write(home / "root" / "small.ipynb", WHO, COUNTS, WATCHES)
    write(
        home / "root" / "slow.ipynb", WHO, f"import time; time.sleep({CONNECT_TIMEOUT + 2})", "print('and ' + 'done')"
    )
    with tempfile.TemporaryDirectory() as folder, staging(home, APP, env={"TMPDIR": folder}) as server:
        yield server


class Figures(NamedTuple):
    """What a server's process is made of at one moment."""

    kernels: int
    files: int
    descriptors: int
    threads: int
    objects: dict[str, int]
    tasks: dict[str, int]
    rows: int
    megabytes: float


def figures(server: Server) -> Figures:
    """Measure a server."""
    process = psutil.Process(server.process.pid)
    visitor = server.visitor(cookies={"person": "counter"})
    counts = json.loads(visitor.get("counts").text)
    visitor.http.close()
    return Figures(
        len(kernels(server)),
        len(list(temporary(server).rglob("kernel-*.json"))),
        process.num_fds(),
        counts["threads"],
        counts["objects"],
        counts["tasks"],
        rows(server),
        process.memory_full_info().uss / 1e6,
    )


def rows(server: Server) -> int:
    """Return how many entries a server's store has that are of no visitor and no dashboard, such as open pages."""
    with closing(open_store(f"sqlite:///{server.home}/root/state.db")) as store:
        return sum(row.scope.audience not in AUDIENCES for row in store.export(Where()))


def temporary(server: Server) -> Path:
    """Return a server's folder for temporary files."""
    return Path(psutil.Process(server.process.pid).environ()["TMPDIR"])


def at_rest(server: Server, timeout: float = 100) -> Figures:
    """Return the figures of a server as soon as it has none but its warm kernels, all of which wait for a visitor."""
    found: list[Figures] = []

    def rests() -> bool:
        time.sleep(0.5 if found else 0)
        found.append(figures(server))
        known = [measured._replace(megabytes=0) for measured in found[-2:]]
        asked = known[0].tasks["RequestHandler._execute"] - 1  # a closed socket may wait for the browser's own word
        return len(known) == 2 and known[0] == known[1] and known[0].kernels == sum(WARM.values()) and not asked

    eventually(lambda: len(kernels(server)) == sum(WARM.values()), timeout)
    eventually(rests, timeout)
    return found[-1]


def test_fifty_visitors_within_one_second(server: Server) -> None:
    """Each page has its own person and query and no other's, none is lost, and callbacks know their visitor."""
    at_rest(server)
    start = threading.Barrier(CROWD)

    def come(number: int) -> tuple[float, Opened]:
        visitor = server.visitor(cookies={"person": f"person-{number}-CANARY"})
        start.wait()
        time.sleep(number / CROWD)
        before = time.monotonic()
        opened = browse(visitor, "/crowd", mark=f"query-{number}-CANARY")
        took = time.monotonic() - before
        if number % 5 == 0:
            assert move(opened.connect(), opened, 3).startswith(f"person-{number}-CANARY|{{'mark': 'query-{number}-")
        return took, opened

    with ThreadPoolExecutor(CROWD) as pool:
        came = list(pool.map(come, range(CROWD)))
    for number, (_, opened) in enumerate(came):
        assert opened.response.status_code == 200
        assert f"<person-{number}-CANARY|{{'mark': 'query-{number}-CANARY'}}|{{}}|run>" in opened.html
        assert set(re.findall(r"(\d+)-CANARY", opened.html)) == {str(number)}
    assert len({opened.kernel_id for _, opened in came}) == CROWD
    times = sorted(took for took, _ in came)
    print(f"seconds: first {times[0]:.2f}, median {statistics.median(times):.2f}, last {times[-1]:.2f}")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda page: page[1].close(), came))


def grown(before: Figures, after: Figures, sockets: int = 0) -> dict[str, int]:
    """Return what is more than before: what a timer still holds for a minute, of sockets above all, does not count.

    A socket may have two of a kind, and some visits may have ended just now.
    """
    kinds = {kind: number - before.objects.get(kind, 0) for kind, number in after.objects.items()}
    tasks = {task: number - before.tasks.get(task, 0) for task, number in after.tasks.items()}
    return {kind: number for kind, number in kinds.items() if number > 3 * sockets + 10} | {
        task: number for task, number in tasks.items() if number > 0
    }


@pytest.fixture(scope="module")
def before(server: Server) -> Figures:
    """The figures after the crowd has gone."""
    return at_rest(server)


def test_visitors_who_leave_early_leave_nothing_behind(server: Server, before: Figures) -> None:
    """Whenever they go, before, while or after their kernel starts, it does not outlive them."""
    logged = len(server.log)
    host, port = server.url.split("/")[2].split(":")

    def come_and_go(number: int) -> None:
        with socket.create_connection((host, int(port))) as connection:
            request = (
                f"GET /slow?token=CANARY HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: person=person-{number}\r\n\r\n"
            )
            connection.sendall(request.encode())
            time.sleep(number * 0.05)

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(come_and_go, range(LEAVERS)))
    after = at_rest(server)
    assert after.kernels == before.kernels and after.files == (0 if FORK else after.kernels)  # forks have none yet
    assert not {task: number for task, number in after.tasks.items() if number > before.tasks.get(task, 0)}
    assert "CANARY" not in server.log[logged:]
    log = without_kernels(server.log[logged:])
    assert "Uncaught" not in log and "never retrieved" not in log


def test_visits_leave_nothing_behind(server: Server, before: Figures) -> None:
    """After sixty more visits, which store and watch, all but what they stored is as after the first fifty."""
    logged, counted = len(server.log), list[int]()

    def come(number: int) -> None:
        opened = visit(server, f"person-{number}", "/small", mark=str(number))
        assert f"<person-{number}|{{'mark': '{number}'}}|" in opened.html
        found = re.search(r"\[(\d+)\|(\d+)\]", opened.html)
        assert found and found[1] == "1", opened.html[-2000:]
        counted.append(int(found[2]))
        tab = opened.connect() if number < SOCKETS else None
        if tab:
            tab.collect(tab.send(tab.message("kernel_info_request", {})))
        assert opened.close().status_code == 204
        if tab:
            tab.close()
        opened.visitor.http.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(come, range(VISITS)))
    after = at_rest(server)
    print(f"before: {before}\nafter: {after}")
    assert sorted(counted) == list(range(1, VISITS + 1)) and after.rows == before.rows
    assert after.kernels == before.kernels and after.files == (0 if FORK else after.kernels)  # forks have none yet
    assert after.descriptors <= before.descriptors + 4 and after.threads <= before.threads + THREADS
    assert after.megabytes < before.megabytes + 12
    assert not grown(before, after, SOCKETS)
    log = without_kernels(server.log[logged:])
    assert "Uncaught" not in log and "never retrieved" not in log


def test_pages_end_when_nobody_looks_at_them(server: Server) -> None:
    """A page that never connects, or lost its connection, ends after its time; a connected or slow one goes on."""
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(visit, server, "carol", "/slow")
        lost = visit(server, "bob", "/cold")
        tab = lost.connect()
        began = time.monotonic()
        never = visit(server, "alice", "/cold")
        processes = {page.kernel_id: kernel_process(server, page.kernel_id) for page in (never, lost)}
        assert not psutil.wait_procs([processes[never.kernel_id]], timeout=CONNECT_TIMEOUT + 60)[1]
        assert time.monotonic() - began > CONNECT_TIMEOUT
        tab.collect(tab.send(tab.message("kernel_info_request", {})))
        left = time.monotonic()
        tab.close()
        assert not psutil.wait_procs([processes[lost.kernel_id]], timeout=IDLE_TIMEOUT + 60)[1]
        assert time.monotonic() - left > IDLE_TIMEOUT
        assert "and done" in slow.result().html
    assert never.close().status_code == lost.close().status_code == 403


def test_page_ends_with_its_kernel(server: Server) -> None:
    """A kernel that crashes is not started anew, its page's socket is closed, and nothing of it stays."""
    opened = visit(server, "alice", "/cold")
    tab = opened.connect()
    kernel_process(server, opened.kernel_id).kill()
    with pytest.raises(ConnectionError):
        tab.until(lambda message: False, timeout=60)
    assert opened.visitor.get(f"api/kernels/{opened.kernel_id}").status_code == 403
    eventually(lambda: not list(temporary(server).rglob(f"*{opened.kernel_id}*")))
