"""A page ends even if its kernel loses a message; a slow kernel is waited for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import Server
from stage import ASK, FORK, WHO, eventually, kernels, staging, visit, write

from jupyter_app_meta.dashboards.runs import watch
from jupyter_app_meta.dashboards.runs.page import END
from jupyter_app_meta.dashboards.runs.watch import NoAnswer, Watch

LOSSY = """kernel = get_ipython().kernel
send, deserialize = kernel.session.send, kernel.session.deserialize
def lossy_send(stream, what, content=None, *args, **more):
    if what == LOST or what == "status" and content["execution_state"] == LOST:
        kernel.session.send = send
        return {"content": {"status": "ok"}}
    return send(stream, what, content, *args, **more)
def lossy_deserialize(message, content=True, *args, **more):
    made = deserialize(message, content, *args, **more)
    if content and made["header"]["msg_type"] == LOST:
        kernel.session.deserialize = deserialize
        raise ValueError("lost on its way")
    return made
kernel.session.send, kernel.session.deserialize = lossy_send, lossy_deserialize"""
"""A kernel loses one message of the type, or one status of the name, that LOST has."""

ONCE = """from pathlib import Path
Path("attempts").write_text("x" + (Path("attempts").read_text() if Path("attempts").exists() else ""))
LOST = "execute_reply" if len(Path("attempts").read_text()) == 1 else None"""

LATER = """import asyncio, time
def work():
    print("began")
    time.sleep(4)
asyncio.get_running_loop().call_later(0.05, work)"""

LATE = """import sys, time
sys.stdout.flush_timeout = sys.stderr.flush_timeout = 0.01
get_ipython().kernel.iopub_thread.schedule(lambda: time.sleep(6))
display("in good time")"""
"""The reply does not wait for what is shown, which comes six seconds later."""

OUTPUTS = """from ipywidgets import Output, interact
first, second = Output(), Output()
with first:
    print("within")
@second.capture()
def say():
    print("captured")
say()
second.append_stdout("appended")
display(first, second)
@interact(x=3)
def show(x):
    print("interacted", x)"""

NOTEBOOKS = {
    "reply": (f"{ASK}LOST = 'execute_reply'", LOSSY + "\nprint('said before')", "print('not reach' + 'ed')"),
    "request": (f"{ASK}LOST = 'execute_request'", LOSSY, "print('not reach' + 'ed')"),
    "idle": (f"{ASK}LOST = 'idle'", LOSSY + "\nprint('said before')", WHO),
    "late": (ASK + LATE, WHO),
    "dead": (f"{ASK}print('said before')", "import os; os._exit(1)", "print('not reach' + 'ed')"),
    "busy": (f"{ASK}import time; time.sleep(4)", WHO),
    "blocked": (ASK + LATER, "import time; time.sleep(0.5)", WHO),
    "waiting": (f"{ASK}import asyncio; await asyncio.sleep(4)", WHO),
    "once": (ONCE, LOSSY, WHO),
    "outputs": (*[OUTPUTS] * 4, WHO),
}

APP = f"""
import asyncio, os
import zmq
from jupyter_app_meta.dashboards.runs import watch
from jupyter_server.services.kernels.kernelmanager import ServerKernelManager
watch.LOOK = 0.1
connect = ServerKernelManager.connect_iopub
def connect_late(manager, identity=None):
    stream = connect(manager, identity)
    if os.path.exists("late"):
        address = stream.socket.getsockopt(zmq.LAST_ENDPOINT)
        stream.socket.disconnect(address)
        asyncio.get_running_loop().call_later(2, stream.socket.connect, address)
    return stream
ServerKernelManager.connect_iopub = connect_late
app = create_app(identity_provider=People)
for name in {list(NOTEBOOKS)}:
    app = app.with_app(path=f"/{{name}}", root=f"{{name}}.ipynb", warm=int(name == "once"))
app = app.with_app(path="/unheard", root="reply.ipynb", fork=False)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that loses patience ten times as fast, and kernels that lose things."""
    home = tmp_path_factory.mktemp("watch")
    for name, cells in NOTEBOOKS.items():
        write(home / "root" / f"{name}.ipynb", *cells)
    with staging(home, APP) as server:
        yield server


@pytest.mark.parametrize("lost", ["reply", "request"])
def test_page_ends_where_its_kernel_is_idle_and_does_not_answer(server: Server, lost: str) -> None:
    """The visitor reads why, and the log has the kind; what was printed is shown, and no later cell is run."""
    opened = visit(server, "alice", f"/{lost}")
    assert "This part of the page did not finish." in opened.html
    assert opened.html.removesuffix(END).rstrip().endswith("</html>") and "not reached" not in opened.html
    assert ("said before" in opened.html) == (lost == "reply")
    number = 2 if lost == "reply" else 3
    eventually(lambda: re.search(rf"E-\w{{4}} {lost}.ipynb, cell {number}, for alice at /{lost}: NoAnswer", server.log))
    opened.close()


def test_page_ends_where_its_server_hears_its_kernel_late(server: Server) -> None:
    """Cells wait until the server knows whether the kernel is idle: it once took a kernel for busy ever after.

    A fork is heard over its own socket, which is there from its beginning.
    """
    switch = server.home / "root" / "late"
    switch.touch()
    opened = visit(server, "alice", "/unheard")
    switch.unlink()
    assert "This part of the page did not finish." in opened.html
    opened.close()


def test_page_goes_on_where_the_end_of_a_cell_is_lost(server: Server) -> None:
    """The reply says enough: the page is whole, and later cells are run."""
    opened = visit(server, "alice", "/idle")
    assert "said before" in opened.html and "<alice|" in opened.html
    opened.close()


def test_page_has_outputs_that_come_long_after_their_reply(server: Server) -> None:
    """What a kernel publishes comes on a way of its own, and late on a machine that has much to do."""
    opened = visit(server, "alice", "/late")
    assert "in good time" in opened.html and "<alice|" in opened.html
    opened.close()


def test_page_ends_where_its_kernel_dies(server: Server) -> None:
    """The visitor has what came before, and is told to load the page again."""
    opened = visit(server, "alice", "/dead")
    assert "said before" in opened.html and "could not be completed" in opened.html
    assert "not reached" not in opened.html


@pytest.mark.parametrize("slow", ["busy", "blocked", "waiting"])
def test_slow_kernel_is_waited_for(server: Server, slow: str) -> None:
    """A cell that takes several times the server's patience ends as ever; so does one that waits its turn."""
    opened = visit(server, "alice", f"/{slow}")
    assert "<alice|" in opened.html and "did not finish" not in opened.html
    opened.close()


@pytest.mark.unforked("a cell failed ahead")
def test_stuck_run_is_replaced_and_given_to_no_visitor(server: Server) -> None:
    """A run ahead whose reply is lost is given up; the visitor has a whole page."""
    eventually(lambda: re.search("once.ipynb, cell 2, ahead of its visitor: NoAnswer", server.log), timeout=60)
    opened = visit(server, "alice", "/once")
    assert "<alice|" in opened.html and "did not finish" not in opened.html
    opened.close()


def test_pages_with_output_widgets_end(server: Server) -> None:
    """Ten pages whose cells write into Output widgets, five at a time, are whole: half of them hung here once."""
    with ThreadPoolExecutor(5) as pool:
        for opened in pool.map(lambda _: visit(server, "alice", "/outputs"), range(10)):
            assert "<alice|" in opened.html and "did not finish" not in opened.html
            opened.close()


class Kernel:
    """A kernel that says idle or busy as it is told, and answers on the channels that it is told."""

    def __init__(self, *answers: str) -> None:
        self.is_idle, self._answers = True, answers
        self.asked: list[str] = []

    async def answer(self, channel: str) -> None:
        """Answer, or never."""
        self.asked.append(channel)
        if channel not in self._answers:
            await asyncio.Event().wait()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch that looks all the time."""
    monkeypatch.setattr(watch, "LOOK", 0)


@pytest.mark.usefixtures("hasty")
async def test_run_is_under_suspicion_before_it_is_ended() -> None:
    """Suspicion comes soon, and goes as the kernel is busy."""
    watched, kernel = Watch(), Kernel()
    async with watched.over(kernel):
        while not watched.is_suspicious:
            await asyncio.sleep(0)
        kernel.is_idle = False
        while watched.is_suspicious:
            await asyncio.sleep(0)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(("answers", "asked"), [("shell", ["shell"]), ("control", ["shell", "control"])])
async def test_idle_kernel_that_answers_is_taken_for_stuck(answers: str, asked: list[str]) -> None:
    """It is asked in its turn first, and after a long time on the channel that waits for no turn."""
    watched, kernel = Watch(), Kernel(answers)
    with pytest.raises(NoAnswer):
        async with watched.over(kernel):
            await asyncio.Event().wait()
    assert kernel.asked == asked and watched.is_suspicious


@pytest.mark.usefixtures("hasty")
async def test_kernel_that_answers_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that stands still, as on a machine that is overloaded, is never ended."""
    monkeypatch.setattr(watch, "DEAFNESS", 3)
    kernel = Kernel()
    async with Watch().over(kernel):
        while kernel.asked != ["shell", "control"]:
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)


@pytest.mark.usefixtures("hasty")
async def test_error_of_the_cell_passes() -> None:
    """An error of the cell is raised, including one of its own timeouts."""
    with pytest.raises(TimeoutError):
        async with Watch().over(Kernel()):
            raise TimeoutError


def test_no_kernel_is_left(server: Server) -> None:
    """Pages that were ended have ended their kernels, once they are closed; the one that is kept ahead stays.

    So does the fork that is kept ahead, once the notebook that failed can be forked.
    """
    eventually(lambda: len(kernels(server)) <= 1 + FORK, timeout=60)
