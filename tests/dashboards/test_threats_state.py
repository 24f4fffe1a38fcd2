"""Attacks on the stored state of dashboards: visitors who forge, authors who steal, and browsers without a name."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from harness import FORMATS, Format, Server, Visitor
from stage import Opened, browse, kernel_process, move, serving_folder, sockets, staging, visit, write

from jupyter_app_meta.state.keys import AUDIENCES
from jupyter_app_meta.state.messages import link_of

APP = """
app = (create_app(identity_provider=People)
       .with_app(path="/page", root="page.ipynb")
       .with_app(path="/again", root="page.ipynb")
       .with_app(path="/tab", root="tab.ipynb")
       .with_app(path="/thief", root="thief.ipynb")
       .with_app(path="/plain", root="plain.ipynb"))
"""
NAMES = "from jupyter_app_meta import session, shared, visitor"
COUNT = "print(f\"<{visitor.state.add('n')} of {shared.state.add('n')}>\")"
TAB = "print(f\"<{session.state.add('n')} here, {visitor.state.add('m')} in all>\")"
CARELESS = """import ipywidgets
from pathlib import Path
from jupyter_app_meta.kernel import context
Path("stolen").write_text(context.seen().grant)
slider, label = ipywidgets.IntSlider(), ipywidgets.Label("untouched")
def moved(change): label.value = str(visitor.state.add("moves"))
slider.observe(moved, "value")
print("slider", slider.comm.comm_id, "label", label.comm.comm_id)"""
"""An author writes the visitor's grant into a file."""
THIEF = """from pathlib import Path
from jupyter_app_meta.kernel import context
from jupyter_app_meta.kernel.state import asking
from jupyter_app_meta.state.messages import link_of
from jupyter_app_meta.state.operations import Read
own, stolen = context.seen().grant, Path("stolen").read_text()
asking.messages.link_of = lambda grant: link_of(own)  # the way to this kernel's own server
for grant in (own, stolen, f"{stolen.partition('.')[0]}.{own.partition('.')[2]}"):
    try: print("<got", asking.ask(get_ipython().kernel, grant, "visitor", Read()), ">")
    except Exception as error: print(error)"""
"""An author of another dashboard asks with it."""
HERS = "1" * 32


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of several authors and visitors."""
    home = tmp_path_factory.mktemp("threats")
    write(home / "root" / "page.ipynb", NAMES, COUNT, CARELESS)
    write(home / "root" / "tab.ipynb", NAMES, TAB)
    write(home / "root" / "thief.ipynb", THIEF)
    write(home / "root" / "plain.ipynb", "print('<plain>')")
    with staging(home, APP) as server:
        yield server


@pytest.fixture(scope="module")
def hers(server: Server) -> Iterator[Opened]:
    """A page of Alice's, whose author is careless."""
    opened = visit(server, "alice", "/page")
    assert "<1 of 1>" in opened.html
    yield opened
    opened.close()


@contextmanager
def closing_page(opened: Opened) -> Iterator[Opened]:
    """Close a page in the end."""
    yield opened
    opened.close()


def in_tab(visitor: Visitor, tab: str, **more: str) -> str:
    """Open /tab in a tab of a browser. Its script says in which one while the cells run. Return the page."""
    text, kernel = "", ""
    with visitor.http.stream("GET", "tab") as response:
        for chunk in response.iter_text():
            text += chunk
            if not kernel and len(found := text.partition('"kernelId": "')[2]) > 36:
                kernel = found[:36]
                token = {"X-XSRFToken": visitor.http.cookies["_xsrf"]}
                said = visitor.http.post(f"api/app-meta/tab/{kernel}", json={"tab": tab, **more}, headers=token)
                assert said.status_code == 204
    visitor.http.post(f"voila/api/shutdown/{kernel}", data={"_xsrf": ""})
    return text.replace("&lt;", "<").replace("&gt;", ">")


def test_the_next_person_in_a_tab_finds_nothing_of_the_last(server: Server) -> None:
    """Alice logs out and Bob logs in, in the same tab: it is his. When she comes back it is hers, as it was."""
    browser = server.visitor(cookies={"person": "alice"})
    assert "<1 here, 1 in all>" in in_tab(browser, HERS)
    assert "<2 here, 2 in all>" in in_tab(browser, HERS)
    browser.http.cookies.set("person", "bob")
    assert "<1 here, 1 in all>" in in_tab(browser, HERS)
    browser.http.cookies.set("person", "alice")
    assert "<3 here, 3 in all>" in in_tab(browser, HERS)


def test_the_name_of_anothers_tab_is_worth_nothing(server: Server) -> None:
    """Mallory says that her tab is Alice's, and Eve that hers is a copy of it: each has a tab with nothing in it."""
    assert " here" in in_tab(server.visitor(cookies={"person": "alice"}), HERS)
    mallory, eve = (server.visitor(cookies={"person": name}) for name in ("mallory", "eve"))
    assert "<1 here, 1 in all>" in in_tab(mallory, HERS)
    assert "<1 here, 1 in all>" in in_tab(eve, "2" * 32, copy_of=HERS)


def test_one_notebook_at_two_paths_has_two_states(server: Server, hers: Opened) -> None:
    """What is stored at one path is not found at the other, neither the visitor's nor what is shared."""
    with closing_page(visit(server, "alice", "/again")) as other:
        assert "<1 of 1>" in other.html


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", ["request", "reply", "event"])
def test_a_visitor_cannot_speak_for_the_server(hers: Opened, format: Format, kind: str) -> None:
    """A message of ours closes the visitor's socket, and never reaches the kernel."""
    content: dict[str, object] = {"id": "1" * 32, "ok": {}, "scope": "", "keys": None, "by": None}
    for channel in ("control", "shell"):
        socket = hers.connect(format=format)
        socket.send(socket.message(f"app_meta_state_{kind}", content, {"app_meta": {"v": "1.0"}}), channel)
        with pytest.raises(ConnectionError):
            socket.until(lambda _: False, 10)


@pytest.mark.parametrize("format", FORMATS)
def test_a_visitor_cannot_take_the_place_of_the_server(server: Server, hers: Opened, format: Format) -> None:
    """A visitor who learned the name of the link connects under it: the kernel goes on asking the server."""
    name = link_of((server.home / "root" / "stolen").read_text())[0]
    socket = hers.connect(session_id=name, format=format)
    assert int(move(socket, hers, 1 + FORMATS.index(format))) == 1 + FORMATS.index(format)
    assert "app_meta_state" not in str([message["header"] for message in socket.seen])
    socket.close()


def test_a_stolen_grant_is_worth_nothing_in_another_dashboard(server: Server, hers: Opened) -> None:
    """The author of another dashboard has Alice's grant, whole or with another's signature: each is refused."""
    with closing_page(visit(server, "mallory", "/thief")) as other:
        assert "<got {} >" in other.html
        assert "The grant is of another kernel." in other.html and "The grant is forged." in other.html
    assert (server.home / "root" / "stolen").read_text()[:40] not in server.log


def test_visitors_alone_store_nothing(server: Server, hers: Opened) -> None:
    """A new visitor comes and goes on a page that stores nothing: the store has as many scopes as before."""
    before = scopes(server)
    with closing_page(visit(server, "nora", "/plain")) as opened:
        assert opened.kernel_id
    assert scopes(server) == before > 0


def test_kernels_of_dashboards_are_behind_files_of_their_own_account(server: Server, hers: Opened) -> None:
    """Another account of the machine reaches no kernel, and so no link: their sockets are files in a closed folder."""
    hers.connect().close()  # a fork listens from then on
    listening = sockets(kernel_process(server, hers.kernel_id))
    assert listening and all(file.parent.stat().st_mode & 0o077 == 0 for file in listening)


def scopes(server: Server) -> int:
    """Return how many scopes of visitors the store has."""
    with closing(sqlite3.connect(server.home / "data" / "app-meta" / "state.db")) as db:
        return sum(audience in AUDIENCES for (audience,) in db.execute("SELECT audience FROM scopes"))


def test_browsers_behind_one_token_are_two_visitors_after_a_restart_too(tmp_path: Path) -> None:
    """Two browsers log in with one token: each has a state of its own, and finds it after a restart again."""
    write(tmp_path / "root" / "page.ipynb", NAMES, COUNT)
    with serving_folder(tmp_path, "page.ipynb", "--token=the-shared-link") as server:
        first, second = server.visitor(), server.visitor()
        assert "<1 of 1>" in browse(first, token="the-shared-link").html
        assert "<1 of 2>" in browse(second, token="the-shared-link").html
    with serving_folder(tmp_path, "page.ipynb", "--token=the-shared-link") as server:
        again = server.visitor()
        again.http.cookies.update(first.http.cookies)
        assert "<2 of 3>" in browse(again).html
