"""How a child ends: by what it registered itself, and by nothing that its template registered. And how a template ends.

1. ``atexit`` functions, finalizers and processes of the template are not the child's: its siblings still use what they
   would remove.
2. The interpreter is not torn down, because that would end what the template made, and takes long. What the
   interpreter's end does for the child's own work is done: its threads are waited for, unless they are daemons, and
   its log handlers and files are written out, also the end of an archive.
3. Processes that the child started are told to end, as ipykernel tells them.
4. A template does the same for what it started and registered, such as its temporary folders, unless children live,
   which may use these.
5. A thread or a function that does not come to its end holds up neither for more than ``LONGEST`` seconds.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
import weakref
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NoReturn

from . import files

if TYPE_CHECKING:
    from .process import Process

LONGEST = 10
"""Seconds that an end may take. A server kills a process that takes longer, but not if the server itself was killed."""


def forget() -> None:
    """Take from this process, a child, what its template would do at its end."""
    atexit._clear()
    finalize: Any = weakref.finalize
    for kept in tuple(finalize._registry):
        kept.atexit = False
        if _removes_folder(kept.peek()):
            kept.detach()  # not even when the child's own copy of the object is deleted
    finalize._registered_with_atexit = False  # so that the child's own finalizers run at its end
    if multiprocessing := sys.modules.get("multiprocessing.util"):
        multiprocessing._finalizer_registry.clear()
        multiprocessing._run_after_forkers()
        atexit.register(multiprocessing._exit_function)


def _removes_folder(planned: Any) -> bool:
    cleanup: Any = TemporaryDirectory._cleanup  # type: ignore[attr-defined]  # private
    return planned is not None and getattr(planned[1], "__func__", None) is cleanup.__func__


def end(process: Process, *, shared: bool = False) -> NoReturn:
    """End this process. ``shared`` says that it is a template whose children live."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends the process, whatever its threads do
    signal.alarm(LONGEST)
    try:
        if process.is_child:
            _end_child(process)
        elif not shared:
            _end_started()
            _end_registered(process)
    finally:
        os._exit(0)


def _end_child(process: Process) -> None:
    _end_started()
    threading._shutdown()  # type: ignore[attr-defined]  # private: it waits for threads that may still store something
    _end_registered(process)
    if files.finish():
        files.flush(process.files)
    if process.attached is not None:
        process.attached.close()


def _end_started() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)  # this process leads its own group; `multiprocessing` waits for its processes


def _end_registered(process: Process) -> None:
    atexit._run_exitfuncs()
    logging.shutdown()  # a child has forgotten it, but a handler may have kept records; it can be done twice
    files.flush(process.files)
