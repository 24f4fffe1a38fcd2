"""A process is killed at each step of a fork: visitors get their pages, and no process is left."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from forked_pages import forked, inhabitants, opened_how, ready
from harness import Server
from stage import SLIDER, WHO, Opened, eventually, staging, write

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only"),
    pytest.mark.timeout(600),
]

STRIKES = """
import errno, gc, os, signal, time
from jupyter_app_meta.kernel.forks import attaching, child, ending, files, process, seeds
pids = {"server": os.getppid(), "template": os.getpid()}
freeze = gc.freeze

def once():
    try:
        os.close(os.open("struck", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    while not os.path.exists("go"):
        time.sleep(0.01)
    return True

def strike(place, name, victim):
    was = getattr(place, name)
    def struck(*given, **named):
        if once():
            if victim == "memory":
                raise OSError(errno.ENOMEM, "none")
            os.kill(pids.get(victim) or os.getpid(), signal.SIGKILL)
        return was(*given, **named)
    setattr(place, name, struck)

def strike_at_the_fork(*given):  # the check forks, and answers, before that
    gc.freeze = freeze
    def frozen():
        freeze()
        strike(*given)
    gc.freeze = frozen
"""
"""A cell that kills a process the first time that a step is reached."""

STEPS = {
    "prepare": "strike(gc, 'collect', {victim!r})",
    "fork": "strike_at_the_fork(os, 'fork', {victim!r})",
    "forked": "strike_at_the_fork(os, 'pidfd_open', {victim!r})",
    "life": "strike(child, 'live', {victim!r})",
    "loop": "strike(child, 'take_loop', {victim!r})",
    "socket": "strike(child, 'take_socket', {victim!r})",
    "key": "strike_at_the_fork(process.Process, 'first_message', {victim!r})",
    "finalizers": "strike(ending, 'forget', {victim!r})",
    "kernel": "strike(child, 'take_kernel', {victim!r})",
    "files": "strike(files, 'reopen', {victim!r})",
    "numbers": "strike(seeds.Seeds, 'in_child', {victim!r})",
    "claim": "strike(process.Process, '_take_claim', {victim!r})",
    "attach": "strike(attaching, 'attach', {victim!r})",
    "end": "strike(ending, '_end_child', {victim!r})",
}
"""What is struck, in the order of the steps. Those before ``life`` are the template's own."""

OF_TEMPLATE = ("prepare", "fork", "forked")
CASES = [(step, victim) for step in STEPS for victim in ("template", "child") if step not in OF_TEMPLATE]
CASES += [(step, "template") for step in OF_TEMPLATE] + [("fork", "memory"), ("forked", "memory")]

APP = """
app = create_app(identity_provider=People, fork=True, fork_spares=0, max_pages=0)
for folder in sorted(path for path in Path().iterdir() if path.is_dir()):
    app = app.with_app(path=f"/{folder.name}", root=folder / "page.ipynb")
"""
IMPORTS = "from pathlib import Path\n"


def prepare(home: Path, step: str, victim: str) -> Path:
    """Write the notebook of a case; return its folder."""
    folder = home / "root" / f"{step}-{victim}"
    write(folder / "page.ipynb", f"{STRIKES}\n{STEPS[step].format(victim=victim)}", WHO, SLIDER, "print('after')")
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a notebook for each case in which the server itself lives on."""
    home = tmp_path_factory.mktemp("chaos")
    for case in CASES:
        (prepare(home, *case) / "go").touch()
    with staging(home, IMPORTS + APP) as server:
        yield server


def is_whole(opened: Opened, person: str) -> bool:
    """Whether a page is its visitor's own, from its first cell to its last."""
    return f"<{person}|" in opened.html and ">after\n" in opened.html


@pytest.mark.parametrize(("step", "victim"), CASES)
def test_visitors_are_served(server: Server, step: str, victim: str) -> None:
    """Whoever is killed when: only the page of a killed child is lost. The next ones are forked, and all end."""
    ready(server)
    path, folder = f"/{step}-{victim}", server.home / "root" / f"{step}-{victim}"
    first, _ = opened_how(server, "alice", path)
    is_lost = victim == "child" and step not in ("attach", "end")
    assert is_whole(first, "alice") != is_lost, first.html[-2000:]
    assert ("could not be completed" in first.html) == is_lost
    if step == "attach":
        first.visitor.get(f"api/kernels/{first.kernel_id}")
    first.close()
    eventually((folder / "struck").exists)
    second = forked(server, "bob", path)
    assert is_whole(second, "bob")
    second.connect().close()
    second.close()
    eventually(lambda: len(inhabitants(folder)) == 1)  # the template


@pytest.mark.parametrize("step", ["prepare", "fork", "forked", "key", "kernel", "claim", "attach", "end"])
def test_nothing_outlives_its_server(tmp_path: Path, step: str) -> None:
    """The server is killed at a step of the fork: template and child end, at whatever they are."""
    folder = prepare(tmp_path, step, "server")
    with staging(tmp_path, IMPORTS + APP) as server:
        (folder / "go").touch()
        visitor = server.visitor(cookies={"person": "alice"})
        with suppress(httpx.TransportError):  # the connection ends with the server
            while server.process.poll() is None:
                page = Opened(visitor, visitor.get(folder.name))
                visitor.get(f"api/kernels/{page.kernel_id}")
                page.close()
        assert server.process.wait(60) == -signal.SIGKILL
        eventually(lambda: not inhabitants(folder))
