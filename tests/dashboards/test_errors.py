"""What a kernel writes for its author does not reach a visitor by any route; the visitor is told an id."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from harness import FORMATS, Format, Json, Server, Socket, kernelspec
from stage import ASK, KERNEL, WHO, Opened, eventually, staging, visit, write

from jupyter_app_meta.dashboards.runs.page import END

SECRET = "hunter2-" + "password"
"""What no visitor may see; notebooks spell it in two parts, so that it is in no source."""

PRELUDE = (
    ASK
    + """import asyncio, gc, logging, os, subprocess, sys, threading, traceback, warnings, ipywidgets
secret = "hunter2-" + "password"
def ways():
    yield "raise", lambda: (_ for _ in ()).throw(ValueError(secret))
    yield "thread", lambda: threading.Thread(target=lambda: 1 / 0 if not secret else int(secret)).start()
    yield "logging", lambda: logging.getLogger("author").exception(secret) if not later() else None
    yield "error log", lambda: logging.getLogger("author").error(secret)
    yield "warning", lambda: warnings.warn(secret)
    yield "stderr", lambda: print(secret, file=sys.stderr)
    yield "descriptor", lambda: os.write(2, secret.encode() + b"\\n")
    yield "subprocess", lambda: subprocess.run([sys.executable, "-c", f"import sys; sys.stderr.write({secret!r})"])
    yield "print_exc", lambda: caught()
    yield "finalizer", lambda: Finalizer()
    yield "task", lambda: failing_task()
    yield "loop", lambda: asyncio.get_running_loop().call_soon(int, secret)
    yield "append_stderr", lambda: out.append_stderr(secret)
    yield "capture", lambda: captured()
    yield "widget", lambda: setattr(out, "outputs", ({"output_type": "error", "ename": "E", "evalue": secret,
                                                     "traceback": [secret]},))
def failing_task():
    asyncio.get_running_loop().create_task(failing())
    asyncio.get_running_loop().call_later(0.2, gc.collect)
def later(): return False
class Finalizer:
    def __del__(self): int(secret)
async def failing():
    raise ValueError(secret)
def caught():
    try: int(secret)
    except ValueError: traceback.print_exc()
out = ipywidgets.Output()
display(out)
@out.capture()
def captured():
    int(secret)
"""
)

LATER = """from ipykernel.comm import Comm
def opened(comm, message):
    global secret
    way, secret = message["content"]["data"]["way"], message["content"]["data"]["secret"]
    dict(ways())[way]()
    print("did", way, flush=True)
get_ipython().kernel.comm_manager.register_target("author", opened)
slider = ipywidgets.IntSlider()
@slider.observe
def moved(change):
    int(secret)
comm = Comm(target_name="quiet")
comm.on_msg(lambda message: int(message["content"]["data"]["absent"] + secret))
display(slider)
print("slider", slider.comm.comm_id, "comm", comm.comm_id, "out", out.comm.comm_id)"""

WAYS = (
    *("raise", "thread", "logging", "error log", "warning", "stderr", "descriptor", "subprocess", "print_exc"),
    *("finalizer", "task", "loop", "append_stderr", "capture", "widget"),
)

UNHANDLED = ("raise", "thread", "task", "loop", "capture")
"""Those that no code handles: a visitor is told."""

FIRST = """
for name, way in ways():
    if name not in ("raise", "capture"):
        way()
with out:
    print("shown", file=sys.stdout)
    print(secret, file=sys.stderr)
"""

STOP = (
    ASK
    + """class StopExecution(Exception):
    def _render_traceback_(self): %s
print("shown before")
raise StopExecution"""
)

EVENTS = (
    ASK
    + """def broken(info):
    int("hunter2-" + "password")
get_ipython().events.register("pre_run_cell", broken)"""
)

RICH = """from IPython.display import display
shell = get_ipython()
def shows(*given, **more):
    display({"text/plain": str(sys.exc_info()[1])}, raw=True)
    print(sys.exc_info()[1])
shell.showtraceback = shell._showtraceback = shell.showsyntaxerror = shows"""
"""What rich.traceback.install() does."""

ROUTES = {
    "replaced": f"{RICH}\nint(secret)",
    "syntax": f"{RICH}\nexec(secret + ' is')",
    "handler": "get_ipython().set_custom_exc((KeyError,), lambda *_, **more: int(secret))\n{}[secret]",
    "result": "get_ipython().set_custom_exc((KeyError,), lambda *given, **more: [7, secret])\n{}[secret]",
    "dummy": "get_ipython().set_custom_exc((KeyError,), None)\n{}[secret]",
}
"""Other routes by which IPython shows an exception."""

OPEN = """
app = create_app(identity_provider=People, config={"VoilaConfiguration": {"show_tracebacks": True}})
app = app.with_app(path="/page", root="page.ipynb").with_app(path="/fails", root="fails.ipynb")
"""

APP = """
app = create_app(identity_provider=People, config={"VoilaExecutor": {"timeout": 10}})
for name in ("page", "first", "fails", "captures", "stops", "stopslist", "bare", "slow", "events", "missing", "gone"):
    app = app.with_app(path=f"/{name}", root=f"{name}.ipynb", warm=int(name == "gone"))
for name in ("replaced", "syntax", "handler", "result", "dummy"):
    app = app.with_app(path=f"/{name}", root=f"{name}.ipynb")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Notebooks that go wrong in every way."""
    home = tmp_path_factory.mktemp("errors")
    root = home / "root"
    write(root / "page.ipynb", PRELUDE, LATER)
    write(root / "first.ipynb", PRELUDE, FIRST, "print('went on')\n" + LATER)
    write(root / "fails.ipynb", "%md # Title", "print('before')", "", PRELUDE, "x = 1\nint(secret)", "print('never')")
    write(root / "captures.ipynb", PRELUDE, "with out:\n    int(secret)", LATER)
    write(root / "stops.ipynb", STOP % "pass", "print('nev' + 'er')")
    write(root / "stopslist.ipynb", STOP % "return []", "print('nev' + 'er')")
    write(root / "events.ipynb", EVENTS, "'went on'")
    write(root / "slow.ipynb", f"{ASK}import time; time.sleep(60)")
    for name, cell in ROUTES.items():
        write(root / f"{name}.ipynb", PRELUDE, *cell.rsplit("\n", 1))
    bare = json.loads(write(root / "bare.ipynb", "", "print('ran bare')").read_text())
    for cell in bare["cells"]:
        del cell["outputs"], cell["execution_count"]
    bare["metadata"]["kernelspec"] = {"name": KERNEL}
    (root / "bare.ipynb").write_text(json.dumps(bare))
    write(root / "missing.ipynb", WHO, kernel="broken")
    kernelspec(home, "broken")
    write(root / "gone.ipynb", "print('made ahead')", WHO)
    with staging(home, APP) as server:
        kernelspec(home, "broken", executable="/no/such/python")
        yield server


def sent(socket: Socket, msg_type: str, content: Json) -> list[Json]:
    """Send a message and return what is shown up to its end."""
    first, msg_id = len(socket.seen), socket.send(socket.message(msg_type, content))
    socket.until(lambda m: is_idle(m) and m["parent_header"].get("msg_id") == msg_id)
    return socket.seen[first:]


def is_idle(message: Json) -> bool:
    """Whether a kernel has done with a message."""
    return bool(message["header"]["msg_type"] == "status" and message["content"]["execution_state"] == "idle")


def told(socket: Socket, server: Server, secret: str) -> str:
    """Return what a visitor is told of the error whose traceback has this text; that of a task or thread is late."""

    def found() -> str:
        with suppress(TimeoutError):
            socket.receive(0.1)
        known = [text for text in errors(socket.seen) if secret in entry(server, text[-8:-2])]
        return known[0] if known else ""

    return eventually(found, timeout=60)


def errors(messages: list[Json]) -> list[str]:
    """Return what a visitor is told of errors."""
    return [m["content"]["evalue"] for m in messages if m["header"]["msg_type"] == "error"]


def entry(server: Server, error_id: str) -> str:
    """Return the lines of the log under an id."""
    return "\n".join(line for line in server.log.splitlines() if error_id in line)


@pytest.fixture(scope="module")
def page(server: Server) -> Opened:
    """A page of alice's."""
    return visit(server, "alice", "/page")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_from_a_callback_to_a_visitor(server: Server, page: Opened, way: str, format: Format) -> None:
    """Nothing of the author's crosses, whichever way it is written; the log has it, once."""
    secret, socket = f"{SECRET}-{way}-{format}", page.connect(format=format)
    data = {"way": way, "secret": secret}
    seen = sent(
        socket, "comm_open", {"comm_id": f"{way}{format}".replace(" ", ""), "target_name": "author", "data": data}
    )
    if way in UNHANDLED:
        assert re.fullmatch(r"Something went wrong \(E-[0-9A-F]{4}\)\.", told(socket, server, secret))
    assert ("did" in str(seen)) == (way != "raise")
    state = sent(socket, "comm_msg", {"comm_id": outputs(page), "data": {"method": "request_state"}})
    assert '"outputs"' in str(state).replace("'", '"')
    assert SECRET not in str(socket.seen) and "ipykernel" not in str(socket.seen).replace("'ipython'", "")
    eventually(lambda: secret in server.log)
    socket.close()


def outputs(opened: Opened) -> str:
    """Return the id of the page's Output widget."""
    found = re.search(r"out ([0-9a-f]{32})", opened.html)
    assert found, opened.html[-2000:]
    return found[1]


def test_comms_of_the_author_and_of_widgets_tell_an_id(server: Server, page: Opened) -> None:
    """Messages that a callback, a validator or ipywidgets itself cannot take show no line of it."""
    found = re.search(r"slider ([0-9a-f]{32}) comm ([0-9a-f]{32})", page.html)
    assert found
    socket = page.connect()
    broken: list[tuple[str, dict[str, Any]]] = [
        ("comm_msg", {"comm_id": found[2], "data": {}}),
        ("comm_open", {"comm_id": "w1", "target_name": "jupyter.widget", "data": {}}),
        ("comm_open", {"comm_id": "w2", "target_name": "author", "data": {}}),
        ("comm_msg", {"comm_id": found[1], "data": {"method": "update", "state": {"value": 7}, "buffer_paths": []}}),
        ("comm_msg", {"comm_id": found[1], "data": {"method": "update", "state": {"min": "x"}, "buffer_paths": []}}),
    ]
    for msg_type, content in broken:
        seen = sent(socket, msg_type, content)
        told = errors(seen)
        assert told and all(re.fullmatch(r"Something went wrong \(E-[0-9A-F]{4}\)\.", text) for text in told), content
        for text in told:
            eventually(lambda text=text: "Traceback" in entry(server, text[-8:-2]))  # type: ignore[misc]  # mypy on defaults
            assert "page.ipynb, a callback, for alice at /page" in entry(server, text[-8:-2])
    assert SECRET not in str(socket.seen)
    types = {message["header"]["msg_type"] for message in socket.seen}
    assert types <= {"status", "comm_msg", "comm_open", "comm_close", "error", "kernel_info_reply", "stream"}
    assert not {m["header"].get("username") or m["parent_header"].get("username") for m in socket.seen} - {"", None}


def test_first_render_shows_nothing_of_the_authors(server: Server) -> None:
    """The page's HTML, and the widgets that captured something, have none of it; the page goes on."""
    opened = visit(server, "alice", "/first")
    assert "went on" in opened.html and SECRET not in opened.html
    assert "Traceback (most" not in opened.html and "ipykernel" not in opened.html
    socket = opened.connect()
    state = sent(socket, "comm_msg", {"comm_id": outputs(opened), "data": {"method": "request_state"}})
    assert "shown" in str(state) and SECRET not in str(state)
    eventually(lambda: "first.ipynb, cell 2, for alice at /first, on stderr" in server.log)
    opened.close()


def test_failed_cell_has_an_id_and_the_log_the_traceback(server: Server) -> None:
    """Cells are counted with those of text, in the log once, with who saw which page."""
    opened = visit(server, "alice", "/fails", region="emea")
    assert "before" in opened.html and "never" not in opened.html and SECRET not in opened.html
    (error_id,) = set(re.findall(r"Something went wrong \((E-[0-9A-F]{4})\)", opened.html))
    lines = entry(server, error_id)
    assert f"{error_id} fails.ipynb, cell 5, for alice at /fails: ValueError" in lines
    assert f"ValueError: invalid literal for int() with base 10: '{SECRET}'" in lines
    assert "----> 2 int(secret)" in lines and "In[" not in lines and "region" not in lines
    assert server.log.count(f"{error_id} fails.ipynb") == 1
    opened.close()


def test_widget_that_captured_an_error_shows_the_id(server: Server) -> None:
    """An Output widget of the first render shows what a cell would."""
    opened = visit(server, "alice", "/captures")
    socket = opened.connect()
    state = sent(socket, "comm_msg", {"comm_id": outputs(opened), "data": {"method": "request_state"}})
    found = re.search(r"Something went wrong \((E-[0-9A-F]{4})\)", str(state))
    assert found and SECRET not in str(state) and SECRET not in opened.html
    assert SECRET in entry(server, found[1])
    opened.close()


@pytest.mark.parametrize("name", ["stops", "stopslist"])
def test_exception_that_renders_nothing_says_nothing(server: Server, name: str) -> None:
    """What was printed before is shown, and the page ends there."""
    opened = visit(server, "alice", f"/{name}")
    assert "shown before" in opened.html and "never" not in opened.html
    assert "went wrong" not in opened.html and "completed" not in opened.html and "StopExecution" not in opened.html
    assert opened.html.removesuffix(END).rstrip().endswith("</html>")
    eventually(lambda: f"{name}.ipynb, cell 1, for alice at /{name}: StopExecution" in server.log)
    opened.close()


def test_notebook_of_the_least_runs(server: Server) -> None:
    """Cells without outputs, and a kernelspec that names no language, are enough."""
    opened = visit(server, "alice", "/bare")
    assert "ran bare" in opened.html and "went wrong" not in opened.html
    opened.close()


def test_cell_that_takes_too_long_has_an_id(server: Server) -> None:
    """The visitor is told what it was; the log has the cell."""
    opened = visit(server, "alice", "/slow")
    found = re.search(r"Something went wrong \((E-[0-9A-F]{4})\)\.\sThis took too long", opened.html)
    assert found and "slow.ipynb, cell 1, for alice at /slow: CellTimeoutError" in entry(server, found[1])
    opened.close()


@pytest.mark.unforked("No such file")
def test_kernel_that_cannot_be_started_is_logged_whole(server: Server) -> None:
    """The visitor has an id; the log says which file is missing."""
    opened = visit(server, "alice", "/missing")
    found = re.search(r"Something went wrong \((E-[0-9A-F]{4})\)", opened.html)
    assert opened.response.status_code == 500 and found
    assert "/no/such/python" in entry(server, found[1]) and "missing.ipynb" in entry(server, found[1])


def test_kernel_that_was_given_up_is_no_error(server: Server) -> None:
    """What a kernel says while it is shut down is not an error."""
    assert "gone.ipynb" not in server.log and "NotClaimed" not in server.log


def test_event_that_fails_prints_no_code(server: Server) -> None:
    """IPython would print which code it was called for."""
    opened = visit(server, "alice", "/events")
    assert "went on" in opened.html and "ExecutionInfo" not in opened.html and SECRET not in opened.html
    eventually(lambda: "events.ipynb, cell 2, for alice at /events: ValueError" in server.log)
    opened.close()


@pytest.mark.parametrize("name", ROUTES)
def test_no_way_of_showing_an_exception_leads_to_a_visitor(server: Server, name: str) -> None:
    """If rich or a custom handler shows a shell's exceptions, a visitor is told an id, and the log has the error."""
    opened = visit(server, "alice", f"/{name}")
    found = re.findall(r"Something went wrong \((E-[0-9A-F]{4})\)", opened.html)
    assert found and SECRET not in opened.html and "Simple custom" not in opened.html
    assert any(SECRET in entry(server, error_id) for error_id in found)
    opened.close()


def test_deployer_may_show_tracebacks(tmp_path: Path) -> None:
    """With ``show_tracebacks`` visitors see what authors do, in the first render and later; the log has it too."""
    write(tmp_path / "root" / "page.ipynb", PRELUDE, LATER)
    write(tmp_path / "root" / "fails.ipynb", PRELUDE, "int(secret)")
    with staging(tmp_path, OPEN) as server:
        assert SECRET in visit(server, "alice", "/fails").html
        socket = visit(server, "alice", "/page").connect()
        for way in ("raise", "stderr"):
            data = {"way": way, "secret": f"{SECRET}-{way}"}
            sent(socket, "comm_open", {"comm_id": way, "target_name": "author", "data": data})
            eventually(lambda way=way: f"{SECRET}-{way}" in server.log)  # type: ignore[misc]  # mypy on defaults
            found = next(m for m in socket.seen if f"{SECRET}-{way}" in str(m["content"]))
            assert found["header"]["msg_type"] == "stream" and found["content"]["name"] == "stderr"
