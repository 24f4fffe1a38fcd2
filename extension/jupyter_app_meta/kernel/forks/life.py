"""How long a forked process lives: as long as its server, in a session of its own, and not at its parent's expense.

The server holds the writing end of a pipe, and nothing is ever written to it. When the server ends, however it ends,
the system sends SIGKILL to each process that holds the reading end by ``hold``. No thread waits, so this works while C
code keeps the interpreter's lock; and a process can neither block nor handle that signal, nor be stopped for it.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import warnings
from contextlib import suppress

EXPENDABLE = 300
"""By how much likelier the system ends a child than its parent, if memory runs out: of at most 1000."""


def fork() -> int:
    """Fork this process. From Python 3.12 on, that warns of threads: which ones there are is checked before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def hold(lifeline: int) -> None:
    """Let this process end with the server. ``lifeline`` is the pipe's reading end; raises OSError.

    The signal belongs to an open description, which a fork would share. So each process opens the pipe again.
    """
    own = os.open(f"/proc/self/fd/{lifeline}", os.O_RDONLY | os.O_NONBLOCK)
    os.dup2(own, lifeline, inheritable=False)
    os.close(own)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if _has_ended(lifeline):  # before the signal was asked for
        os.kill(os.getpid(), signal.SIGKILL)


def separate() -> None:
    """Give this process, a child, a session of its own, and let the system end it before its parent.

    A signal to the group of its parent or of a sibling does not reach it.
    """
    os.setsid()
    with suppress(OSError, ValueError):  # a system that does not say it ends processes in its own order
        score = os.open("/proc/self/oom_score_adj", os.O_RDWR)  # to use a Path copies half a megabyte of memory
        try:
            os.write(score, b"%d" % min(1000, int(os.read(score, 16)) + EXPENDABLE))
        finally:
            os.close(score)


def _has_ended(lifeline: int) -> bool:
    waiting = select.poll()
    waiting.register(lifeline, 0)
    return any(event & select.POLLHUP for _, event in waiting.poll(0))
