"""The private variable that tells a message from a thread, in each release of ipykernel that we support."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from queue import Empty

import pytest
from people import AWARE, Kernel, running
from templates import template

RELEASES = ("7.0.0", "7.1.0", "7.2.0", "7.3.0")
"""The first of each minor release before the installed one, whose tests are all the others."""

VARIABLE = "from contextvars import ContextVar\nprint(isinstance(get_ipython().kernel._shell_parent, ContextVar))"
TASK = (
    "import asyncio, threading\nout = []\ngo = threading.Event()\n"
    "async def later():\n    for _ in range(3):\n        out.append(who()); await asyncio.sleep(0.1)\n"
    "task = asyncio.ensure_future(later())\n"
    "thread = threading.Thread(target=lambda: (go.wait(10), out.append(('thread', who())))); thread.start()"
)
COMM = (
    "import comm\nheard = []\nc = comm.create_comm(target_name='t', comm_id='the-comm')\n"
    "comm.get_comm_manager().register_comm(c)\n@c.on_msg\ndef _(msg): heard.append(who())"
)


@pytest.fixture(scope="module", params=RELEASES)
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has one release of ipykernel."""
    folder = tmp_path_factory.mktemp("ipykernel")
    install = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-deps", "--target"]
    packages = [f"ipykernel=={request.param}", "nest_asyncio"]  # which these releases still need
    subprocess.run([*install, str(folder), *packages], check=True, timeout=300)
    return folder


def test_attribution(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells, tasks, threads and callbacks see their own person in this release too."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(release), os.environ.get("PYTHONPATH", "")]))
    for attempt in ("first", "second", "third"):
        with suppress(Empty), running(tmp_path / attempt, AWARE) as kernel:
            kernel.patience = 30
            check(kernel, release)
            return
    pytest.fail("Three kernels fell silent.")  # these releases hear no more, once in a while, of what they are sent


@pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")
def test_an_older_release_is_not_forked(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has other private names. The log says so."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(release), os.environ.get("PYTHONPATH", "")]))
    with template(tmp_path) as made:
        assert made.refused == "its ipykernel is older than 7.4"


def check(kernel: Kernel, release: Path) -> None:
    """Run what shows each kind of attribution."""
    assert str(release) in kernel.run(None, "import ipykernel; print(ipykernel.__file__)")
    assert kernel.run(None, VARIABLE) == "True"
    kernel.run("alice", TASK)
    assert [kernel.run(name, "print(who())") for name in ("bob", "carol", "bob")] == ["bob", "carol", "bob"]
    kernel.run("alice", COMM)
    kernel.finish(kernel.comm("carol", "the-comm", {}))
    kernel.run("bob", "await task; go.set(); thread.join(); assert who() == 'bob'")
    assert kernel.run("bob", "print(out, heard)") == "['alice', 'alice', 'alice', ('thread', 'alice')] ['carol']"
    assert kernel.run(None, "print(who())") == "None"
