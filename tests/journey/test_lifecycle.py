"""Restarts, deaths, reconnects, culling and foreign kernels: as without us, and still attributed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from harness import AWARE, BARE, FORMATS, Format, Json, Server, Socket, Visitor, eventually, kernelspec, serving

from conftest import PEOPLE

PID = "import os; print(os.getpid())"


def started_again(socket: Socket, old: str) -> None:
    """Wait until the socket's kernel is another process."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            # What is sent while there is no kernel may be lost, with us or without.
            if socket.run(PID, timeout=3).text.strip() not in ("", old):
                return
        except TimeoutError:
            continue
    raise TimeoutError("the kernel did not come back")


def test_restart_keeps_the_visitor(alice: Visitor, bob: Visitor) -> None:
    """After a kernel's restart each person keeps their identity on the same connection."""
    kernel = alice.start_kernel()
    sockets = {"alice": alice.connect(kernel), "bob": bob.connect(kernel)}
    old = sockets["alice"].run(PID).text.strip()
    alice.call("POST", f"/api/kernels/{kernel}/restart").raise_for_status()
    for name, socket in sockets.items():
        started_again(socket, old)
        assert socket.who()["user"]["username"] == name


def test_killed_kernel_comes_back_with_its_visitor(alice: Visitor) -> None:
    """A kernel that is killed is restarted by the server, and knows its visitor again."""
    socket = alice.connect(alice.start_kernel())
    old = socket.run(PID).text.strip()
    os.kill(int(old), signal.SIGKILL)
    socket.until(lambda message: message["content"].get("execution_state") == "restarting", 30)
    started_again(socket, old)
    assert socket.who()["user"]["username"] == "alice"


def test_dead_kernel_leaves_nothing_behind(alice: Visitor) -> None:
    """A kernel that is shut down is gone, and its socket is closed or silent, as without us."""
    kernel = alice.start_kernel()
    socket = alice.connect(kernel)
    socket.who()
    assert alice.call("DELETE", f"/api/kernels/{kernel}").status_code == 204
    assert alice.get(f"/api/kernels/{kernel}").status_code == 404


def shape(messages: list[Json]) -> list[tuple[object, ...]]:
    """Return what a client can tell of messages: all but times, ids and the session's name."""
    volatile = {"msg_id", "date", "session", "started", "engine", "engine_info"}

    def clean(value: object) -> object:
        if isinstance(value, dict):
            return {key: clean(item) for key, item in value.items() if key not in volatile}
        return value

    return [
        (m["channel"], m["header"]["msg_type"], clean(m["parent_header"]), clean(m["metadata"]), clean(m["content"]))
        for m in messages
    ]


def traffic(visitor: Visitor, name: str, format: Format) -> list[tuple[object, ...]]:
    """Return all that a client sees while it does everyday things with a kernel."""
    kernel = visitor.start_kernel(name)
    socket = visitor.connect(kernel, "the-same-name", format=format)
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:  # what a new connection hears by itself differs from run to run
        try:
            socket.receive(0.3)
        except Exception:
            break
    messages = []
    for code in (
        "1 + 1",
        "print('x')",
        "1/0",
        "from IPython.display import display; display({'text/plain': 'd'}, raw=True)",
    ):
        messages += sorted(socket.run(code, {"cellId": "c"}).messages, key=lambda message: message["channel"])
    info = socket.message("comm_info_request", {})
    messages += sorted(socket.collect(socket.send(info)).messages, key=lambda message: message["channel"])
    header = messages[0]["parent_header"]
    assert header["session"] == socket.session_id
    return shape(messages)


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same server without us."""
    with serving(tmp_path_factory.mktemp("without"), config=PEOPLE, token="", enabled=False) as server:
        yield server


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", [AWARE, BARE])
def test_traffic_is_the_same_as_without_us(people: Server, without: Server, format: Format, name: str) -> None:
    """What a client sees of a kernel, aware of us or not, is what it sees on a server without us."""
    cookies = {"person": "alice"}
    ours = traffic(people.visitor(cookies=cookies), name, format)
    theirs = traffic(without.visitor(cookies=cookies), name, format)
    assert ours == theirs


def test_kernel_without_our_package_works(tmp_path: Path, people: Server, alice: Visitor) -> None:
    """A kernel whose environment does not have our package runs as ever: it ignores the stamps."""
    kernelspec(people.home, "foreign", executable=str(_environment_without_us(tmp_path)))
    socket = alice.connect(alice.start_kernel("foreign"))
    assert "ModuleNotFoundError" in socket.run("import jupyter_app_meta").text
    assert socket.run("print(6 * 7)").text == "42\n"


def _environment_without_us(tmp_path: Path) -> Path:
    """Return an interpreter that has the packages of this one, but not ours."""
    import sys

    script = tmp_path / "python"
    block = (
        "import sys, runpy\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'jupyter_app_meta':\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "sys.argv = sys.argv[2:]\n"
        "runpy.run_module('ipykernel_launcher', run_name='__main__', alter_sys=True)\n"
    )
    (tmp_path / "launch.py").write_text(block)
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path / "launch.py"}" "$@"\n')
    script.chmod(0o755)
    return script


def test_plain_python_kernel_knows_its_visitor_by_import_alone(alice: Visitor) -> None:
    """In an ordinary kernel, without the extension, the import alone gives the request."""
    seen = alice.connect(alice.start_kernel(BARE)).who()
    assert seen["user"]["username"] == "alice"


def test_idle_kernel_is_culled(tmp_path: Path) -> None:
    """Stamping does not count as activity: an idle kernel with a connection is culled as it is without us."""
    culling = (
        "c.MappingKernelManager.cull_idle_timeout = 8\nc.MappingKernelManager.cull_interval = 1\n"
        "c.MappingKernelManager.cull_connected = True\n"
    )
    with serving(tmp_path, config=PEOPLE + culling, token="") as server:
        visitor = server.visitor(cookies={"person": "alice"})
        kernel = visitor.start_kernel()
        visitor.connect(kernel).run("1")
        eventually(lambda: visitor.get(f"/api/kernels/{kernel}").status_code == httpx.codes.NOT_FOUND)


def test_server_restart_with_a_visitor_on_the_same_cookie(tmp_path: Path) -> None:
    """A server that is started anew stamps at once: nothing about visitors was stored in it."""
    for _ in range(2):
        with serving(tmp_path, config=PEOPLE, token="") as server:
            visitor = server.visitor(cookies={"person": "alice"})
            assert visitor.connect(visitor.start_kernel()).who()["user"]["username"] == "alice"
