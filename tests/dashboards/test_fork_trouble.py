"""Notebooks and processes that misbehave while kernels are forked, and what the server does about them."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from forked_pages import forked, inhabitants, lives, opened_how, ready
from harness import Server
from stage import WHO, eventually, staging, write

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only"),
    pytest.mark.timeout(600),
]

BUSY = """import atexit, ipywidgets, os
at_end = atexit.register(print, "ended", os.getpid(), file=open("ends.txt", "a"))
slider = ipywidgets.IntSlider()
def for_ever(change):
    while True:
        pass
slider.observe(for_ever, "value")
print("slider", slider.comm.comm_id)"""

ENDLESS = "import time\nwhile True:\n    time.sleep(0.01)"

SOMETIMES = """from pathlib import Path
count = len(list(Path().glob("attempt-*")))
Path(f"attempt-{count}").touch()
assert count, "the first attempt"
"""

NOTEBOOKS = {
    "endless": (ENDLESS, WHO),
    "fine": (WHO,),
    "hangs": (WHO,),
    "busy": (WHO, BUSY),  # what is registered before the question is the template's
    "orphans": (WHO,),
    "helped": ("import helper", f"{WHO}\nprint('helped by', helper.x)"),
    "late": ("import sys", f"{WHO}\nprint('known', 'colorsys' in sys.modules)", "import colorsys"),
    "sometimes": (SOMETIMES, WHO),
}

APP = f"""
import ctypes
from jupyter_app_meta.dashboards.forks import strategy
strategy.TURN, strategy.READY = 0.5, 1.0  # for a notebook without an end
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: like the first process of a container
app = create_app(identity_provider=People, fork=True, fork_spares=0, max_pages=0)
for name in {list(NOTEBOOKS)}:
    app = app.with_app(path=f"/{{name}}", root=f"{{name}}/page.ipynb")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that forks kernels of such notebooks."""
    home = tmp_path_factory.mktemp("trouble")
    for name, cells in NOTEBOOKS.items():
        write(home / "root" / name / "page.ipynb", *cells)
    (home / "root" / "helped" / "helper.py").write_text("x = 'the first'\n")
    with staging(home, APP) as server:
        ready(server)
        yield server


def folder(server: Server, name: str) -> Path:
    """Return the folder of a notebook."""
    return server.home / "root" / name


def test_a_cell_without_an_end_keeps_nothing_up(server: Server) -> None:
    """The server is ready, other notebooks are served, and a better version of this one runs ahead at once."""
    forked(server, "alice", "/fine").close()
    endless = eventually(lambda: inhabitants(folder(server, "endless")))
    write(folder(server, "endless") / "page.ipynb", WHO)
    page = forked(server, "alice", "/endless")
    assert "<alice|" in page.html
    page.close()
    eventually(lambda: not any(map(lives, endless)))
    assert server.visitor().get("healthz?ready").status_code == 200


def test_a_notebook_that_failed_is_tried_again(server: Server) -> None:
    """The reason is logged once, and visitors are served meanwhile."""
    page = forked(server, "alice", "/sometimes")
    assert "<alice|" in page.html
    page.close()
    assert server.log.count("page: its kernels cannot be forked, because a cell failed ahead of a visitor") == 1


def test_what_later_cells_import_is_there(server: Server) -> None:
    """The template has imported it for all its forks."""
    page = forked(server, "alice", "/late")
    assert "known True" in page.html
    page.close()


def test_a_changed_module_of_the_author_is_used_at_once(server: Server) -> None:
    """As a changed notebook. Its next page starts cold, and then it is forked again."""
    page = forked(server, "alice", "/helped")
    assert "helped by the first" in page.html
    page.close()
    (folder(server, "helped") / "helper.py").write_text("x = 'another one'\n")
    page, how = opened_how(server, "alice", "/helped")
    assert how == "cold"
    assert "helped by another one" in page.html
    page.close()
    page = forked(server, "bob", "/helped")
    assert "helped by another one" in page.html
    page.close()


def test_a_template_that_hangs_is_asked_once(server: Server) -> None:
    """Its visitor gets a page that starts cold. The next ones do not wait for it, and it is replaced."""
    forked(server, "alice", "/hangs").close()
    [template] = eventually(lambda: found if len(found := inhabitants(folder(server, "hangs"))) == 1 else [])
    psutil.Process(template).send_signal(signal.SIGSTOP)
    for person in ("alice", "bob"):
        page, how = opened_how(server, person, "/hangs")
        assert f"<{person}|" in page.html
        assert how == "cold"
        page.close()
    assert server.log.count("did not answer within 5 seconds") == 1
    forked(server, "carol", "/hangs").close()
    eventually(lambda: not lives(template))


def test_a_callback_without_an_end_is_interrupted(server: Server) -> None:
    """The page is complete when its visitor leaves. What its kernel registered for its end is still done."""
    page = forked(server, "alice", "/busy")
    found = re.search(r"slider ([0-9a-f]{32})", page.html)
    assert found
    socket = page.listen()
    data = {"method": "update", "state": {"value": 5}, "buffer_paths": []}
    sent = socket.send(socket.message("comm_msg", {"comm_id": found[1], "data": data}))
    socket.until(lambda message: message["parent_header"].get("msg_id") == sent and _is_busy(message))
    [kernel] = [pid for pid in inhabitants(folder(server, "busy")) if page.kernel_id in _command(pid)]
    page.close()
    eventually(lambda: not lives(kernel))
    # The pages before the first fork, which were cold, have ended as well.
    assert (folder(server, "busy") / "ends.txt").read_text().splitlines().count(f"ended {kernel}") == 1


def _is_busy(message: object) -> bool:
    return '"execution_state": "busy"' in json.dumps(message, default=str)


def _command(pid: int) -> str:
    with suppress(psutil.NoSuchProcess):
        return " ".join(psutil.Process(pid).cmdline())
    return ""


def test_orphans_leave_no_zombies(server: Server) -> None:
    """A server that becomes the parent of forks, as in a container, waits for them when they end."""
    page = forked(server, "alice", "/orphans")
    [template] = [pid for pid in inhabitants(folder(server, "orphans")) if "template-" in _command(pid)]
    [child] = [pid for pid in inhabitants(folder(server, "orphans")) if page.kernel_id in _command(pid)]
    psutil.Process(template).kill()
    eventually(lambda: psutil.Process(child).ppid() == server.process.pid)
    page.close()
    eventually(lambda: not psutil.pid_exists(child))
