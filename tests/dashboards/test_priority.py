"""A process without a waiting visitor gets a lower priority, and then its old one; with a real process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from jupyter_app_meta.dashboards.runs import priority

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nothing is done elsewhere")

THREADED = """
import threading, time
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def child() -> Iterator[int]:
    """A process with two threads."""
    with subprocess.Popen([sys.executable, "-Sc", THREADED], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def niceness(pid: int) -> list[int]:
    """Return the niceness of each thread of a process."""
    return [os.getpriority(os.PRIO_PROCESS, thread) for thread in priority._threads(pid)]


def processors(pid: int) -> list[set[int]]:
    """Return the processors that each thread of a process may use."""
    return [os.sched_getaffinity(thread) for thread in priority._threads(pid)]


OURS = os.getpriority(os.PRIO_PROCESS, 0)
reversible = pytest.mark.skipif(not priority._is_reversible(), reason="niceness cannot be taken back here")


def test_asking_whether_it_can_be_taken_back_changes_nothing() -> None:
    """It is tried on a thread of its own: this process and its other threads stay as they are."""
    before, threads = set(niceness(os.getpid())), threading.active_count()
    priority._is_reversible.cache_clear()
    assert priority._is_reversible() in (True, False)
    assert (set(niceness(os.getpid())), threading.active_count()) == (before, threads)


@reversible
def test_lowered_process_steps_back_and_comes_forward(child: int) -> None:
    """Every thread gets the lowest priority, and then the server's again. Idempotent."""
    for _ in range(2):
        priority.lower(child)
    assert niceness(child) == [priority.LOW, priority.LOW]
    assert os.getpriority(os.PRIO_PROCESS, 0) == OURS
    for _ in range(2):
        priority.restore(child)
    assert niceness(child) == [OURS, OURS]


def test_without_the_right_it_keeps_to_one_processor(child: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where niceness cannot be taken back, the process leaves the other processors to those who wait."""
    monkeypatch.setattr(priority, "_is_reversible", lambda: False)
    before, everywhere = niceness(child), os.sched_getaffinity(0)
    priority.lower(child)
    assert os.sched_getaffinity(child) == ({max(everywhere)} if len(everywhere) > 1 else everywhere)
    assert (niceness(child), os.sched_getaffinity(0)) == (before, everywhere)
    priority.restore(child)
    assert processors(child) == [everywhere, everywhere]


def test_threads_that_began_meanwhile_come_forward_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread inherits what its starter had: it is given all processors as well."""
    monkeypatch.setattr(priority, "_is_reversible", lambda: False)
    code = f"input()\n{THREADED}"
    with subprocess.Popen([sys.executable, "-Sc", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        priority.lower(process.pid)
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        priority.restore(process.pid)
        assert processors(process.pid) == [os.sched_getaffinity(0)] * 2
        process.kill()


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("change", [priority.lower, priority.restore])
def test_process_that_is_gone_is_nobodys_error(change: object, ours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that has ended, or that runs elsewhere and has no process id here, is left alone."""
    monkeypatch.setattr(priority, "_is_reversible", lambda: ours)
    assert callable(change)
    with subprocess.Popen([sys.executable, "-Sc", ""]) as process:
        process.wait()
    change(process.pid)
    change(None)


@pytest.mark.parametrize("change", [priority.lower, priority.restore])
def test_elsewhere_nothing_happens(change: object, child: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On systems other than Linux no process is touched."""
    before = niceness(child), processors(child)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert callable(change)
    change(child)
    assert (niceness(child), processors(child)) == before
