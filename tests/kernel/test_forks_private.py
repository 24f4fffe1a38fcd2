"""The private names of others that forked kernels use: if one is missing in a new release, this says which."""

from __future__ import annotations

import asyncio
import atexit
import multiprocessing.util
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from ipykernel.iostream import IOPubThread
from ipykernel.ipkernel import IPythonKernel
from IPython.core.magics.script import ScriptMagics

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")

OF_MODULES: dict[Any, tuple[str, ...]] = {
    asyncio: ("_set_running_loop",),
    atexit: ("_clear", "_run_exitfuncs"),
    multiprocessing.util: ("_finalizer_registry", "_run_after_forkers", "_exit_function"),
    threading: ("_shutdown",),
    weakref.finalize: ("_registry", "_registered_with_atexit"),
    TemporaryDirectory: ("_cleanup",),
    IPythonKernel: ("_execute_sleep", "_supports_kernel_subshells", "_topic"),
    IOPubThread: ("_really_send",),
    ScriptMagics: ("stop_event_loop",),
}


@pytest.mark.parametrize("owner", OF_MODULES, ids=lambda owner: owner.__name__)
def test_names(owner: Any) -> None:
    """A module or class has them."""
    assert [name for name in OF_MODULES[owner] if not hasattr(owner, name)] == []


def test_names_of_an_event_loop() -> None:
    """A child gives it a pipe of its own."""
    names = "_selector", "_ssock", "_csock", "_internal_fds", "_make_self_pipe", "_signal_handlers", "_default_executor"
    with asyncio.Runner() as runner:
        assert [name for name in names if not hasattr(runner.get_loop(), name)] == []


def test_names_of_an_executor() -> None:
    """The template ends one that has nothing to do."""
    with ThreadPoolExecutor(1) as executor:
        assert executor._work_queue.empty()


def test_names_of_numpy() -> None:
    """It lets go of the sequence from which it began when it is seeded."""
    code = "import numpy.random as r\nstate = r.mtrand._rand._bit_generator\nprint(state._seed_seq is None)\n"
    code += "r.seed(5)\nprint(state._seed_seq is None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
