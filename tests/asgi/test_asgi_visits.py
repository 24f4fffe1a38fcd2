"""Many visits to dashboards inside an ASGI host leave nothing behind. ``APP_META_VISITS=200`` makes it a soak test."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from harness import Server, without_kernels
from journeys import at, hosting
from stage import FORK, WHO, browse, eventually, kernels, write

pytestmark = pytest.mark.timeout(900)

VISITS = int(os.environ.get("APP_META_VISITS", "12"))
"""So many visits are measured, after a few that warm the server up."""
THREADS = 8
"""So many threads ask the store, each made when all others are in use."""

CONNECT_TIMEOUT = 60
"""So many seconds a kernel is kept for a page that was complete before its visitor left: the default."""

PLACES = ("", "dash/", "t/acme/d/")

DASHBOARDS = f"""
import asyncio, collections, gc, threading

async def counts():
    '''Answer what there is in this process.'''
    gc.collect()
    kinds = ((str(getattr(type(thing), "__module__", "")), type(thing).__name__) for thing in gc.get_objects())
    ours = collections.Counter(name for module, name in kinds if module.startswith("jupyter_app_meta"))
    tasks = collections.Counter(task.get_coro().__qualname__ for task in asyncio.all_tasks())
    return {{"objects": ours, "tasks": tasks, "threads": threading.active_count()}}

class Pass(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        return await call_next(request)

mounted(
    builder.with_app(path="/open", root="page.ipynb", fork={FORK})
    .with_app(path="/through", root="page.ipynb", middleware=[Pass], fork={FORK}),
    *("/dash", "/t/{{tenant}}/d", "/"),
    counts=counts,
)
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A FastAPI application that serves a small dashboard, with a folder for temporary files of its own."""
    home = tmp_path_factory.mktemp("visits")
    write(home / "root" / "page.ipynb", WHO)
    with tempfile.TemporaryDirectory() as folder, hosting(home, DASHBOARDS, TMPDIR=folder) as server:
        yield server


class Figures(NamedTuple):
    """What a server's process is made of at one moment."""

    kernels: int
    files: list[str]
    descriptors: int
    threads: int
    objects: dict[str, int]
    tasks: dict[str, int]
    megabytes: float


def figures(host: Server) -> Figures:
    """Measure a server."""
    process = psutil.Process(host.process.pid)
    visitor = host.visitor(cookies={"person": "counter"})
    counts: dict[str, Any] = visitor.get("counts").json()
    visitor.http.close()
    folder = Path(process.environ()["TMPDIR"])
    return Figures(
        len(kernels(host)),
        sorted(str(path.relative_to(folder)) for path in folder.rglob("*")),
        process.num_fds(),
        counts["threads"],
        counts["objects"],
        counts["tasks"],
        process.memory_full_info().uss / 1e6,
    )


def at_rest(host: Server) -> Figures:
    """Return the figures of a server as soon as it has no kernel, and two measurements in a row agree."""
    found: list[Figures] = []

    def rests() -> bool:
        time.sleep(0.3 if found else 0)
        found.append(figures(host))
        known = [measured._replace(megabytes=0, objects={}) for measured in found[-2:]]
        return len(known) == 2 and known[0] == known[1]

    eventually(lambda: not kernels(host), CONNECT_TIMEOUT + 60)
    eventually(rests)
    return found[-1]


def come(host: Server, number: int) -> None:
    """Open a page, and leave it in one of four ways: with a socket or without, refused, or before it is complete."""
    there = at(host, PLACES[number % 3])
    path = "through" if number % 2 else "open"
    visitor = there.visitor(cookies={"person": f"person-{number}"})
    if number % 4 == 3:
        leave_early(there, path, number)
    else:
        page = browse(visitor, path, mark=str(number))
        assert f"<person-{number}|{{'mark': '{number}'}}|" in page.html
        if number % 4 == 0:
            tab = page.connect()
            tab.collect(tab.send(tab.message("kernel_info_request", {})))
            tab.connection.close()
        if number % 4 == 1:
            visitor.http.cookies.set("person", "mallory")
            assert page.close().status_code == 403
            visitor.http.cookies.set("person", f"person-{number}")
        assert page.close().status_code == 204
    visitor.http.close()


def leave_early(there: Server, path: str, number: int) -> None:
    """Ask for a page, and close the connection before it can be complete."""
    _, _, host, place = there.url.split("/", 3)
    name, _, port = host.partition(":")
    with socket.create_connection((name, int(port))) as connection:
        request = f"GET /{place}{path} HTTP/1.1\r\nHost: {host}\r\nCookie: person=person-{number}\r\n\r\n"
        connection.sendall(request.encode())
        connection.settimeout(0.2 * (number % 3) + 0.05)
        with suppress(TimeoutError):
            connection.recv(1)  # so some leave while the kernel starts, and some when the page has begun


def test_visits_leave_nothing_behind(host: Server) -> None:
    """Kernels, temporary files, descriptors, threads, tasks and our own objects are as after the first few visits."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: come(host, number), range(4)))
        before = at_rest(host)
        list(pool.map(lambda number: come(host, number), range(VISITS)))
    after = at_rest(host)
    print(f"before: {before}\nafter: {after}")
    assert after.kernels == before.kernels == 0
    assert after.files == before.files
    assert after.descriptors <= before.descriptors + 4 and after.threads <= before.threads + THREADS
    assert after.tasks == before.tasks
    held = VISITS // 4 * 2 + 2  # timers hold what belongs to a socket, two of a kind, for about a minute
    assert {kind: n for kind, n in after.objects.items() if n > before.objects.get(kind, 0) + held} == {}
    assert after.megabytes < before.megabytes + 12
    log = without_kernels(host.log)
    assert "Traceback" not in log and "never retrieved" not in log and "Uncaught" not in log
