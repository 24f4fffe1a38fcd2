"""``request_hook`` and ``audit`` where pages are served: by our dashboards, by ``voila``, and by Voila in a server."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from harness import FORMATS, Json, Server, Socket, kernelspec, serving
from stage import FORK, KERNEL, Opened, eventually, serving_folder, staging, visit, write
from test_standalone_voila import LINES, standalone
from traitlets.config import Config

from jupyter_app_meta.dashboards import create_app
from jupyter_app_meta.errors import PolicyError

SCHEMA_ID = "https://events.jupyter.org/jupyter_app_meta/execution/v1"
SECRET = "CANARY of the deployer's"

PAGE = """import ipywidgets, json
from jupyter_app_meta import app_meta
def seen(): return [app_meta().user.username, app_meta().mode, dict(app_meta().request.meta)]
slider, label = ipywidgets.IntSlider(), ipywidgets.Label("untouched")
def moved(change): label.value = json.dumps([change.new, *seen()])
slider.observe(moved, "value")
display(slider, label)
print("ids", slider.comm.comm_id, label.comm.comm_id)"""
"""A cell with a slider whose callback writes who moved it, and with which fields, into a label."""

SEEN = "print('<' + json.dumps(seen()) + '>')"
"""A cell that prints the same."""

HOOK = f"""
def hook(request):
    do = request.query_params.get("do")
    if do == "raises":
        raise RuntimeError({SECRET!r})
    if do == "deep":
        value = 1
        for _ in range(900):
            value = [value]
        return {{"deep": value}}
    return {{"hook": request.user.username, "region": request.query_params.get("region"), "via": request.via}}

async def later(request):
    return hook(request)
"""

OPTIONS = """
import logging
c.AppMetaExtension.audit = True
c.EventLogger.handlers = [logging.FileHandler("events.jsonl")]
"""

values = count(1)


def notebook(home: Path) -> None:
    """Write the page, of two cells, into a server's folder."""
    write(home / "root" / "page.ipynb", PAGE, SEEN)


def rendered(opened: Opened) -> tuple[str, str, Json]:
    """Return the user, mode and fields that the page's cell saw."""
    found = re.search(r"<(\[.*\])>", html.unescape(opened.html))
    assert found, opened.html[-2000:]
    username, mode, meta = json.loads(found[1])
    return username, mode, meta


def called_back(opened: Opened, socket: Socket | None = None) -> tuple[str, str, Json]:
    """Move the slider; return the user, mode and fields that its callback saw."""
    found = re.search(r"ids ([0-9a-f]{32}) ([0-9a-f]{32})", opened.html)
    assert found, opened.html[-2000:]
    slider, label = found.groups()
    socket, value = socket or opened.connect(), next(values)
    data = {"method": "update", "state": {"value": value}, "buffer_paths": []}
    socket.send(socket.message("comm_msg", {"comm_id": slider, "data": data}))

    def written(message: Json) -> bool:
        content = message["content"]
        return content.get("comm_id") == label and "value" in content["data"].get("state", {})

    told = json.loads(socket.until(written)[-1]["content"]["data"]["state"]["value"])
    assert told[0] == value
    return told[1], told[2], told[3]


def events(server: Server, opened: Opened) -> list[tuple[Any, ...]]:
    """Return what was written of a page: what was run, for whom, where."""
    file = server.home / "root" / "events.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [
        (line["action"], line["username"], line["kind"], line["assurance"], line["path"])
        for line in lines
        if line["__schema__"] == SCHEMA_ID and line["kernel_id"] == opened.kernel_id
    ]


CELL = ("cell", "alice", "user", "provider", "page.ipynb")
CALLBACK = ("callback", *CELL[1:])
CLAIM = ("claim", *CELL[1:])


# --- our dashboards --------------------------------------------------------------------------------------------------

APP = f"""
{HOOK}
config = {{
    "AppMetaExtension": {{"request_hook": later, "audit": True}},
    "EventLogger": {{"handlers": [logging.FileHandler("events.jsonl")]}},
}}
app = (create_app(identity_provider=People, config=config)
       .with_app(path="/hooked", root="page.ipynb")
       .with_app(path="/warm", root="warm/page.ipynb", warm=1)
       .with_app(path="/own", root="page.ipynb", meta=lambda request: {{"own": request.user.username}})
       .with_app(path="/own-raises", root="page.ipynb", meta=lambda request: 1 / 0)
       .with_app(path="/refused", root="page.ipynb", authorize=lambda user, request: False)
       .with_dynamic_directory(path="/folder", directory=".")
       .with_dynamic_directory(path="/own-folder", directory=".", meta=lambda request: {{"own": request.url.path}}))
"""

AHEAD = f"open('ran-ahead', 'w').close(); {SEEN}"
"""A cell that leaves a note that it was begun, and waits for its visitor."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of dashboards whose configuration has a function, and which writes who ran what."""
    home = tmp_path_factory.mktemp("app")
    notebook(home)
    write(home / "root" / "warm" / "page.ipynb", PAGE, AHEAD, "print('afterwards')")
    with staging(home, APP) as server:
        yield server


def test_page_and_callbacks_have_the_fields_and_are_written(app: Server) -> None:
    """The option's fields are in cells and callbacks. One event for each of these, and no value in the file."""
    opened = visit(app, "alice", "/hooked", region=SECRET)
    fields = {"hook": "alice", "region": SECRET, "via": "page"}
    assert rendered(opened) == ("alice", "run", fields)
    socket = opened.connect()
    for _ in range(3):
        assert called_back(opened, socket) == ("alice", "run", fields)
    text = (app.home / "root" / "events.jsonl").read_text()
    assert "CANARY" not in text and "slider" not in text
    assert events(app, opened)[-3:] == [CALLBACK] * 3
    opened.close()


def test_each_cell_of_a_page_is_one_event(app: Server) -> None:
    """A page of two cells is two events of its visitor; the server's own requests to the kernel are not events.

    If the kernel is forked, its template has begun both. They are nobody's, and the visitor's one event is the claim.
    """
    opened = visit(app, "alice", "/folder/page", region="emea")
    assert rendered(opened) == ("alice", "run", {"hook": "alice", "region": "emea", "via": "page"})
    assert events(app, opened) == ([CLAIM] if FORK else [CELL, CELL])
    opened.close()


@pytest.mark.parametrize(
    ("path", "fields"),
    [("/own", {"own": "alice"}), ("/own-raises", {}), ("/own-folder/page", {"own": "/own-folder/page"})],
)
def test_own_fields_of_a_dashboard_win(app: Server, path: str, fields: Json) -> None:
    """A dashboard's own ``meta`` stands in place of the option, also where it raises."""
    opened = visit(app, "alice", path, region="emea")
    assert rendered(opened) == called_back(opened) == ("alice", "run", fields)
    opened.close()


@pytest.mark.parametrize("do", ["raises", "deep"])
def test_hook_that_fails_costs_its_fields_alone(app: Server, do: str) -> None:
    """The page is shown to its visitor, and the log has the kind of the error and nothing of its text."""
    before = len(app.log)
    opened = visit(app, "alice", "/hooked", do=do)
    assert opened.response.status_code == 200
    assert rendered(opened) == called_back(opened) == ("alice", "run", {})
    log = app.log[before:]
    assert len(re.findall(r"WARNING.* later (?:raised|did not)", log)) == 2  # for the page, and for its socket
    assert "unstamped" not in log and SECRET not in log
    opened.close()


def test_cells_ahead_of_their_visitor_are_nobodys(app: Server) -> None:
    """Cells that a warm kernel runs ahead have no visitor; the claim, and cells after it, have the visitor."""
    eventually((app.home / "root" / "warm" / "ran-ahead").exists, timeout=60)
    opened = visit(app, "alice", "/warm", region="emea")
    fields = {"hook": "alice", "region": "emea", "via": "page"}
    assert rendered(opened) == called_back(opened) == ("alice", "run", fields)
    nobodys = [] if FORK else [("cell", None, None, None, None)] * 2  # a fork's are those of its template's kernel id
    assert events(app, opened) == [*nobodys, CLAIM, CELL, CALLBACK]
    opened.close()


def test_code_of_a_visitor_is_dropped_and_not_written(app: Server) -> None:
    """A message that the server does not let through to a kernel is not an event, in any format."""
    opened = visit(app, "alice", "/own")
    before = events(app, opened)
    for number, format in enumerate(FORMATS, 1):
        for channel in ("shell", "control"):
            socket = opened.connect(format=format)
            socket.send(socket.message("execute_request", {"code": "1", "silent": False}), channel)
            with pytest.raises(ConnectionError):
                socket.until(lambda message: False)
        called_back(opened, opened.connect(format=format))
        assert events(app, opened) == [*before, *[CALLBACK] * number]
    opened.close()


def test_page_that_is_refused_is_not_written(app: Server) -> None:
    """A visitor who may not see a page runs nothing."""
    assert visit(app, "mallory", "/refused").response.status_code == 403
    assert "mallory" not in (app.home / "root" / "events.jsonl").read_text()


@pytest.mark.parametrize("given", ["nowhere_at_all:hook", "no_colon"])
def test_wrong_hook_builds_no_server(tmp_path: Path, given: str) -> None:
    """An application with a name that leads nowhere is not built, and leaves nothing open behind it."""
    notebook(tmp_path)
    builder = create_app(config=Config({"AppMetaExtension": {"request_hook": given}}))
    with pytest.raises(PolicyError, match=r"AppMetaExtension\.request_hook"):
        builder.with_app(path="/", root=tmp_path / "root" / "page.ipynb").build()


def test_command_takes_both_options(tmp_path: Path) -> None:
    """``jupyter app-meta serve`` finds a named function in its folder, and admitted visitors are anonymous."""
    notebook(tmp_path)
    (tmp_path / "root" / "our_hooks.py").write_text(HOOK)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "jupyter_app_meta_config.py").write_text(OPTIONS)
    with serving_folder(tmp_path, "page.ipynb", "--AppMetaExtension.request_hook=our_hooks:hook") as server:
        opened = visit(server, None, region="emea")
        name, mode, fields = rendered(opened)
        assert (mode, fields) == ("run", {"hook": name, "region": "emea", "via": "page"})
        assert called_back(opened) == (name, mode, fields)
        written = events(server, opened)
        assert {event[1:] for event in written} == {(name, "anonymous", "none", "page.ipynb")}
        assert [event[0] for event in written][-2:] == ["claim" if FORK else "cell", "callback"]


def test_command_refuses_what_is_no_function(tmp_path: Path) -> None:
    """A value that is not a function ends the command with the option's name, and without a traceback."""
    notebook(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "jupyter_app_meta_config.py").write_text("c.AppMetaExtension.request_hook = 7\n")
    with pytest.raises(RuntimeError, match="the server ended with 1") as ended, serving_folder(tmp_path, "page.ipynb"):
        pass
    assert "request_hook" in str(ended.value) and "Traceback" not in str(ended.value)


# --- Voila -----------------------------------------------------------------------------------------------------------

VOILA_OPTIONS = f"{HOOK}\n{OPTIONS}\nc.AppMetaExtension.request_hook = later\n"
IN_A_SERVER = """
class Later:
    async def __call__(self, request):
        return hook(request)
c.AppMetaExtension.request_hook = Later()
c.ServerApp.jpserver_extensions = {'jupyter_app_meta': True, 'voila.server_extension': True}
c.ServerApp.identity_provider_class = 'providers.People'
"""
RENDER = "voila/render/page.ipynb"


@pytest.fixture(scope="module", params=["command", "extension"])
def voila(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Voila's own command, or Voila as an extension of a server; the configuration has a function, or an object."""
    home = tmp_path_factory.mktemp("voila")
    notebook(home)
    kernelspec(home, KERNEL)
    starting = (
        standalone(home, config=LINES + VOILA_OPTIONS)
        if request.param == "command"
        else serving(home, config=VOILA_OPTIONS + IN_A_SERVER, token="")
    )
    with starting as server:
        yield server


def test_voila_pages_and_callbacks_have_the_fields_and_are_written(voila: Server) -> None:
    """Cells and callbacks of a page see the fields of their visitor and page, and each of them is one event."""
    opened = visit(voila, "alice", RENDER, region="emea")
    fields = {"hook": "alice", "region": "emea", "via": "page"}
    assert rendered(opened) == ("alice", "run", fields)
    # Voila has each Python kernel note its own id before the first cell.
    assert events(voila, opened) == [CELL] * 3
    assert called_back(opened) == ("alice", "run", fields)
    bobs = visit(voila, "bob", RENDER, region="apac")
    assert rendered(bobs) == ("bob", "run", {"hook": "bob", "region": "apac", "via": "page"})
    assert called_back(opened, bobs.visitor.connect(opened.kernel_id))[0] == "bob"
    by_bob = ("callback", "bob", *CALLBACK[2:])
    assert events(voila, opened) == [*[CELL] * 3, CALLBACK, by_bob]


def test_voila_shows_its_page_without_an_answer(voila: Server) -> None:
    """A function that fails costs its fields; page and callbacks know their visitor."""
    opened = visit(voila, "alice", RENDER, do="raises")
    assert rendered(opened) == called_back(opened) == ("alice", "run", {})
    assert len(re.findall(r"[Ll]ater raised RuntimeError\.", voila.log)) == 2  # for the page, and for its socket
    assert SECRET not in voila.log and "unstamped" not in voila.log
