"""How a child ends: by what it registered itself, and by nothing that its template registered.

1. ``atexit`` functions, finalizers and processes of the template are not the child's: its siblings still use what they
   would remove.
2. The interpreter is not torn down, because that would end what the template made, and takes long.
3. Processes that the child started are told to end, as ipykernel tells them.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import weakref
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from .process import Process


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


def end(process: Process) -> NoReturn:
    """End this process."""
    try:
        if process.is_child:
            _end_child(process)
    finally:
        os._exit(0)


def _end_child(process: Process) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)  # the child leads its own group; `multiprocessing` waits for its processes
    atexit._run_exitfuncs()
    if process.attached is not None:
        process.attached.close()
    for stream in (sys.__stdout__, sys.__stderr__):
        with suppress(OSError, ValueError, AttributeError):  # there may be none
            stream.flush()  # type: ignore[union-attr]
