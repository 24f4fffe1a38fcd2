"""Whether a process may be forked: what it has that two processes cannot share.

A child has a copy of the memory, only the thread that forked, and the same open descriptions as its parent. So these
are refused, each by name:

1. Threads of Python, which would be missing in the child, and threads of libraries that do not know of forks.
2. Processes that this one started: only it can wait for them.
3. Sockets, pipes, devices and the like, and files that are open for writing: all children would use the same one. A
   file that is open for appending or reading is opened again by each child (``files``), unless it is locked.
4. Memory that is shared with other processes, and timers, which a child does not inherit.
5. A process that does not want to know how its children end.

In doubt the answer is no.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path

from . import files, life, owners

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
"""Devices that are the same for all who use them."""

FORK_AWARE = ("jemalloc_bg_thd",)
"""The names of threads that prepare for forks and start again after them: their library calls pthread_atfork."""

FORK_AWARE_LIBRARIES = ("libarrow.so",)
"""How the names of libraries begin whose pools of threads do the same. Reading a Parquet file starts Arrow's."""


def refusal(keep: Collection[int] = ()) -> str:
    """Return why this process may not be forked; nothing if it may.

    ``keep`` are descriptors that the caller takes care of. It forks once for a trial, because some libraries end their
    threads before a fork.
    """
    if sys.platform != "linux":
        return f"kernels are forked on Linux only, not on {sys.platform}"
    own = {0, 1, 2, *keep}
    checks: tuple[Callable[[], Iterator[str]], ...] = (
        _signals,
        _threads,
        _foreign_threads,  # its library says more than the descriptors that it has
        _processes,
        _timers,
        lambda: _descriptors(own),
        _shared_memory,
    )
    try:
        return next((found for check in checks for found in check()), "")
    except OSError as error:
        return f"/proc cannot be read: {error.strerror}"


def _signals() -> Iterator[str]:
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        yield "it ignores SIGCHLD"


def _threads() -> Iterator[str]:
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            yield f"the thread {thread.name!r} ({type(thread).__module__}.{type(thread).__qualname__}) runs"


def _processes() -> Iterator[str]:
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in children.read_text().split():
            yield f"the process {_name(Path('/proc', pid))!r} that it started has not ended, or was not waited for"
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return
    yield "a process that it started has not ended, or was not waited for"


def _timers() -> Iterator[str]:
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        if any(signal.getitimer(timer)):
            yield "a timer of signal.setitimer or signal.alarm is set"


def _descriptors(own: Collection[int]) -> Iterator[str]:
    for number, target in files.descriptors():
        if number not in own and (found := _descriptor(number, target)):
            yield f"{found} (descriptor {number})"


def _descriptor(number: int, target: str) -> str:
    """Return what is wrong with a descriptor, or nothing."""
    kind = os.fstat(number).st_mode
    if stat.S_ISDIR(kind) or target in DEVICES:
        return ""
    if not stat.S_ISREG(kind):
        word = "a socket" if stat.S_ISSOCK(kind) else "a pipe" if stat.S_ISFIFO(kind) else target
        return f"{word} is open"
    flags = files.flags(number)
    if flags & os.O_ACCMODE != os.O_RDONLY and not flags & os.O_APPEND:
        return f"the file {target} is open for writing"
    if files.is_locked(number):
        return f"the file {target} is locked"
    return "" if files.can_reopen(number) else f"the file {target} cannot be opened again"


def _shared_memory() -> Iterator[str]:
    for line in Path("/proc/self/maps").read_text().splitlines():
        _, permissions, _, _, _, *path = line.split(maxsplit=5)
        if permissions == "rw-s":
            yield f"it shares memory with other processes ({''.join(path) or 'without a name'})"


def _foreign_threads() -> Iterator[str]:
    _fork_for_trial()
    for task in sorted(Path("/proc/self/task").iterdir()):
        if int(task.name) == threading.get_native_id():
            continue
        name, owner = _name(task), owners.owner(task)
        if name not in FORK_AWARE and not owner.startswith(FORK_AWARE_LIBRARIES):
            yield f"the thread {name!r}, probably of {owner or 'an unknown library'}, may not survive a fork"


def _fork_for_trial() -> None:
    pid = life.fork()
    if not pid:
        os._exit(0)
    with suppress(ChildProcessError):  # code of the notebook has waited for it
        os.waitpid(pid, 0)


def _name(process: Path) -> str:
    """Return what the system calls a process or thread; nothing if it has ended."""
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return ""
