"""Modules that cells import after the question: the template imports them once, so that no child has to.

1. The server reads their names in the notebook. No child tells the template anything.
2. They are modules that are installed, or the standard library's. The author's own may do anything when imported.
3. Each is imported in a trial process first. If that fails, prints, takes long, or leaves what cannot be forked, the
   module is left to the cell that imports it.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import select
import signal
import sys
import time
from collections.abc import Collection, Iterable
from importlib.machinery import PathFinder

from ... import authors
from .. import life, safety

USUAL = ("ipywidgets", "traceback")
"""Modules that most children need."""

LONGEST = 20.0
"""Seconds for which trials may go on."""

HARMLESS = 75
"""The status of a trial that went well. A module that ends its process hardly does so with this one."""


def usual() -> None:
    """Import what most children need."""
    for name in USUAL:
        _load(name)


def named(names: Iterable[str], lifeline: int, keep: Collection[int]) -> None:
    """Import what a notebook's later cells name. ``keep`` are descriptors of which the caller takes care."""
    until = time.monotonic() + LONGEST
    for name in names:
        if name not in sys.modules and _is_installed(name) and _is_harmless(name, lifeline, keep, until):
            _load(name)


def _load(name: str) -> str:
    """Import a module; return what it printed. If it is missing or broken, the notebook will say so."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), contextlib.suppress(Exception):
        importlib.import_module(name)
    return printed.getvalue()


def _is_installed(name: str) -> bool:
    """Whether a module is an installed one, or the standard library's."""
    try:
        spec = PathFinder.find_spec(name.partition(".")[0])
    except (ImportError, ValueError):
        return False
    files = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    return any(file and (authors.is_installed(file) or authors.is_standard(file)) for file in files)


def _is_harmless(name: str, lifeline: int, keep: Collection[int], until: float) -> bool:
    """Whether this process could be forked if it had imported a module."""
    if (left := until - time.monotonic()) <= 0:
        return False
    pid = life.fork()
    if not pid:
        _try(name, lifeline, keep)
    process = os.pidfd_open(pid)
    try:
        waiting = select.poll()
        waiting.register(process, select.POLLIN)
        if not waiting.poll(left * 1000):
            os.kill(pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == HARMLESS
    except ChildProcessError:  # code of the notebook has waited for it
        return False
    finally:
        os.close(process)


def _try(name: str, lifeline: int, keep: Collection[int]) -> None:
    """Import a module in this process, and end it."""
    status = 1
    try:
        life.hold(lifeline)
        if not _load(name) and name in sys.modules and not safety.refusal(keep):
            status = HARMLESS
    finally:
        os._exit(status)
