"""Two hundred forks one after another, fifty at once: nothing of them stays, in the server or in the template."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from forked_pages import forked, inhabitants, ready
from harness import Server
from stage import SLIDER, WHO, eventually, move, staging, visit, write

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only"),
    pytest.mark.timeout(600),
]

VISITS, WARM_UP, CROWD, CANARIES = 200, 20, 50, 12
SPARES = 2
SOCKETS = 20
"""Each of how many visits connects."""

ALLOWED = {"object": 4, "server's": 8, "task": 1}
"""How much more there may be. It takes a minute: timers hold what belonged to a socket. Eight threads ask the store."""

APP = f"""
import asyncio, collections, gc, json, threading

def counts(status, request):
    '''Answer what there is in this process, as the error page of a path that nobody may see.'''
    gc.collect()
    kinds = ((str(getattr(type(thing), "__module__", "")), type(thing).__name__) for thing in gc.get_objects())
    ours = collections.Counter(name for module, name in kinds if module.startswith("jupyter_app_meta"))
    coroutines = [task.get_coro() for task in asyncio.all_tasks()]
    tasks = collections.Counter(getattr(each, "__qualname__", type(each).__name__) for each in coroutines)
    return json.dumps({{"objects": ours, "tasks": tasks, "threads": threading.active_count()}})

app = create_app(identity_provider=People, on_error=counts, fork=True, fork_spares={SPARES}, max_pages=0)
app = app.with_app(path="/counts", root="page/page.ipynb", authorize=lambda user, request: False, fork=False)
app = app.with_app(path="/page", root="page/page.ipynb")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that keeps two forks ahead."""
    home = tmp_path_factory.mktemp("many")
    write(home / "root" / "page" / "page.ipynb", "import os\nprint('ahead', os.getpid(), '.')", WHO, SLIDER)
    with tempfile.TemporaryDirectory() as folder, staging(home, APP, env={"TMPDIR": folder}) as server:
        ready(server)
        yield server


def template(server: Server) -> int:
    """Return the process that is forked."""
    page = forked(server, "alice", "/page")
    found = re.search(r"ahead (\d+) \.", page.html)
    assert found
    page.close()
    page.visitor.http.close()
    return int(found[1])


def figures(server: Server, of: int) -> dict[str, int]:
    """Count what a server and its template have."""
    visitor = server.visitor(cookies={"person": "counter"})
    counted = json.loads(visitor.get("counts").text)
    visitor.http.close()
    own, children = psutil.Process(server.process.pid), inhabitants(server.home / "root" / "page")
    files = Path(psutil.Process(server.process.pid).environ()["TMPDIR"]).rglob("kernel-*.json")
    return {
        **{f"object {name}": number for name, number in counted["objects"].items()},
        **{f"task {name}": number for name, number in counted["tasks"].items()},
        "server's descriptors": own.num_fds(),
        "server's threads": own.num_threads(),
        "template's descriptors": psutil.Process(of).num_fds(),
        "template's threads": psutil.Process(of).num_threads(),
        "processes": len(children),
        "connection files": len(list(files)),
    }


def at_rest(server: Server, of: int) -> dict[str, int]:
    """Return the figures as soon as there are only the template and the forks ahead, and nothing changes."""
    seen = [figures(server, of)]

    def rests() -> bool:
        seen.append(figures(server, of))
        return seen[-1] == seen[-2] and seen[-1]["processes"] == 1 + SPARES

    eventually(rests, 120)
    return seen[-1]


def come(server: Server, number: int, canary: str = "") -> str:
    """Visit, and go; return the page."""
    person = f"person-{number}{canary}"
    page = visit(server, person, "/page", mark=f"query-{number}{canary}")
    assert f"<{person}|{{'mark': 'query-{number}{canary}'}}|{{}}|run>" in page.html
    if not number % (VISITS // SOCKETS):
        socket = page.connect()
        assert move(socket, page, 3).startswith(f"{person}|")
        socket.close()
    assert page.close().status_code == 204
    page.visitor.http.close()
    return page.html


def test_two_hundred_visits_leave_nothing(server: Server) -> None:
    """Descriptors, threads, processes, files, tasks and objects are as before."""
    of = template(server)
    for number in range(WARM_UP):
        come(server, number)
    before = at_rest(server, of)
    for number in range(VISITS):
        come(server, number)

    def grown() -> dict[str, int]:
        after = figures(server, of)
        more = {name: number - before.get(name, 0) for name, number in after.items()}
        return {name: number for name, number in more.items() if number > ALLOWED.get(name.split()[0], 0)}

    try:
        eventually(lambda: not grown(), 240)
    finally:
        print(grown())
    assert template(server) == of


def test_fifty_at_once_have_one_template(server: Server) -> None:
    """Each page is its visitor's own, and each was forked."""
    of = template(server)
    with ThreadPoolExecutor(CROWD) as pool:
        pages = list(pool.map(lambda number: come(server, number, "-crowd"), range(CROWD)))
    assert {re.findall(r"ahead (\d+) \.", page)[0] for page in pages} == {str(of)}
    assert len(re.findall(r" page 200 person-\d+-crowd /page \d+ms forked$", server.log, re.MULTILINE)) == CROWD
    eventually(lambda: len(inhabitants(server.home / "root" / "page")) == 1 + SPARES)


def test_the_template_never_has_what_is_a_visitors(server: Server) -> None:
    """Names, queries, ids and keys are in the server's memory, and the last visitor's in that of their kernel."""
    of = template(server)
    canaries = [os.urandom(8).hex() for _ in range(CANARIES)]
    pages = [forked(server, f"person-{canary}", "/page", mark=f"query-{canary}") for canary in canaries]
    for page in pages:  # a connection file, in which the key is, is written for a browser
        page.connect().close()
    ids = [page.kernel_id for page in pages]
    keys = [json.loads(_connection_file(server, kernel_id).read_text())["key"] for kernel_id in ids]
    kernels = {
        kernel_id: pid
        for pid in inhabitants(server.home / "root" / "page")
        for kernel_id in ids
        if kernel_id in " ".join(psutil.Process(pid).cmdline())
    }
    assert len(kernels) == len({*keys}) == CANARIES
    secrets = [*canaries, *ids, *keys]
    assert _found(server.process.pid, secrets) == set(secrets)
    assert _found(of, secrets) == set()
    assert _found(kernels[ids[-1]], secrets) == {canaries[-1], ids[-1], keys[-1]}
    for page in pages:
        page.close()


def _connection_file(server: Server, kernel_id: str) -> Path:
    """Return the file that says how a kernel is reached."""
    folder = Path(psutil.Process(server.process.pid).environ()["TMPDIR"])
    return eventually(lambda: list(folder.rglob(f"kernel-{kernel_id}.json")))[0]


def _found(pid: int, secrets: list[str]) -> set[str]:
    """Return which of these texts a process has in its memory."""
    found = set()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            where, permissions, *_ = line.split()
            start, end = (int(part, 16) for part in where.split("-"))
            if permissions.startswith("rw"):
                memory.seek(start)
                part = memory.read(end - start) or b""
                found |= {secret for secret in secrets if secret.encode() in part}
    return found
