"""What a visitor's page shows: who they are, from the first render to the last callback."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Json, Server
from stage import SLIDER, WHO, move, staging, visit, write

LINES = 2500

APP = """
app = (create_app(identity_provider=People)
       .with_app(path="/cold/{customer_id}", root="page.ipynb")
       .with_app(path="/much", root="much.ipynb")
       .with_app(path="/warm", root="page.ipynb", warm=1))
"""

MUCH = f"""import ipywidgets
for number in range({LINES}):
    print("line", number, flush=True)
button, label = ipywidgets.Button(), ipywidgets.Label()
def pressed(_):
    for number in range({LINES}):
        label.value = str(number)
button.on_click(pressed)
display(ipywidgets.VBox([button, label]))
print("button", button.comm.comm_id, "label", label.comm.comm_id)"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One notebook under two paths."""
    home = tmp_path_factory.mktemp("pages")
    write(home / "root" / "page.ipynb", "%md # A page", WHO, SLIDER)
    write(home / "root" / "much.ipynb", MUCH)
    with staging(home, APP) as server:
        yield server


def test_first_render_shows_the_visitor_and_their_page(server: Server) -> None:
    """User, query, path parameters and mode are those of the page's own request."""
    opened = visit(server, "alice", "/cold/17", region="emea")
    assert "<alice|{'region': 'emea'}|{'customer_id': '17'}|run>" in opened.html
    assert "<title>A page</title>" in opened.html


@pytest.mark.parametrize("path", ["/cold/17", "/warm"])
def test_callbacks_know_their_visitor_before_and_after_a_reconnect(server: Server, path: str) -> None:
    """The page's query and the tab's id stay, on a new connection of the same tab."""
    opened = visit(server, "bob", path, region="apac")
    socket = opened.connect()
    before = move(socket, opened, 3)
    assert before.startswith("bob|{'region': 'apac'}|")
    socket.close()
    after = move(opened.connect(session_id=socket.session_id), opened, 4)
    assert after.split("|")[:3] == before.split("|")[:3] and after.endswith("|4")


def test_nothing_is_lost_of_much(server: Server) -> None:
    """A cell that prints much, and a callback that changes much, are shown whole."""
    opened = visit(server, "alice", "/much")
    assert re.findall(r"line (\d+)\n", opened.html) == list(map(str, range(LINES)))
    button, label = re.findall(r"(?:button|label) ([0-9a-f]{32})", opened.html)
    socket = opened.connect()
    click = {"method": "custom", "content": {"event": "click"}}
    socket.send(socket.message("comm_msg", {"comm_id": button, "data": click}))
    seen: list[str] = []

    def is_last(message: Json) -> bool:
        if message["header"]["msg_type"] == "comm_msg" and message["content"]["comm_id"] == label:
            seen.extend(message["content"]["data"].get("state", {}).values())
        return seen[-1:] == [str(LINES - 1)]

    socket.until(is_last)
    assert seen == list(map(str, range(LINES)))


def test_two_tabs_of_one_person_have_two_ids(server: Server) -> None:
    """Each tab's updates can be sent to that tab."""
    first = visit(server, "alice", "/cold/1")
    ids = set()
    for opened in (first, visit(server, "alice", "/cold/1")):
        ids.add(move(opened.connect(), opened, 5).split("|")[2])
    assert len(ids) == 2 and "None" not in ids


def test_notebook_under_two_paths_has_two_settings(tmp_path: Path) -> None:
    """A path that no visitor may see is refused, although the same notebook is open to all at another path."""
    write(tmp_path / "root" / "page.ipynb", WHO)
    app = """
app = (create_app(identity_provider=People)
       .with_app(path="/open", root="page.ipynb")
       .with_app(path="/private", root="page.ipynb", authorize=lambda user, request: False))
"""
    with staging(tmp_path, app) as server:
        assert visit(server, "alice", "/open").response.status_code == 200
        assert visit(server, "alice", "/private").response.status_code == 403
