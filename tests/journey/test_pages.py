"""The visitor's page: in a rendered dashboard, in its callbacks, and in Lab and Notebook."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import nbformat
import pytest
import websocket
from harness import AWARE, WHO, Json, Server, Visitor, serving

from conftest import PEOPLE

DASHBOARD = """
import os
print("ENVIRONMENT", os.environ.get("VOILA_REQUEST_URL"), os.environ.get("QUERY_STRING"))
"""
VOILA = "c.ServerApp.jpserver_extensions = {'jupyter_app_meta': True, 'voila.server_extension': True}\n"


@pytest.fixture(scope="module")
def voila(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of several people that renders dashboards."""
    home = tmp_path_factory.mktemp("voila")
    (home / "root").mkdir()
    spec = {"name": AWARE, "display_name": AWARE, "language": "python"}
    cells = [nbformat.v4.new_code_cell(code) for code in (WHO, DASHBOARD)]
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": spec}, cells=cells)
    nbformat.write(notebook, home / "root" / "dash.ipynb")
    with serving(home, config=PEOPLE + VOILA + "c.AppMetaExtension.cookies_allow = ['theme']\n", token="") as server:
        yield server


def render(visitor: Visitor, query: str) -> tuple[Json, str, str]:
    """Load a dashboard; return what its cells saw, its whole text, and its kernel."""
    text = unescape(visitor.get(f"/voila/render/dash.ipynb?{query}").text)
    kernel = re.search(r'"kernelId": ?"([^"]+)"', text)
    seen = re.search(r'\{"user".*\}', text)
    assert kernel and seen, text[-2000:]
    return json.loads(seen.group()), text, kernel.group(1)


def test_rendered_cells_see_the_page_request(voila: Server) -> None:
    """Cells that the server runs for a page load see that page's request, with the dashboard's cookie policy."""
    visitor = voila.visitor(cookies={"person": "alice", "theme": "dark", "mood": "good"})
    seen, _, kernel = render(visitor, "region=emea&token=secret-in-the-query")
    assert seen["user"]["username"] == "alice"
    assert (seen["mode"], seen["via"], seen["query"]) == ("run", "page", {"region": "emea"})
    assert seen["url"].endswith("/voila/render/dash.ipynb?region=emea")
    assert seen["cookies"] == {"theme": "dark"}
    assert "cookies.mood" in seen["redacted"]
    assert seen["session"]["path"] == "dash.ipynb"
    assert seen["session"]["kernel_id"] == kernel


def test_voila_environment_passes_the_query_filter(voila: Server) -> None:
    """Trap: URLs in a kernel's environment. Voila's own copies of the URL have no credentials."""
    _, text, _ = render(voila.visitor(cookies={"person": "alice"}), "region=emea&token=secret-in-the-query&sig=CANARY")
    environment = re.search(r"ENVIRONMENT (\S+) (\S+)", text)
    assert environment
    assert environment.group(1).endswith("dash.ipynb?region=emea")
    assert environment.group(2) == "region=emea"
    assert "secret-in-the-query" not in text and "CANARY" not in text


def test_callback_sees_the_page_with_the_live_identity(voila: Server) -> None:
    """Trap: a callback's request was its endpoint's. Here url and query are the page's, the rest is live."""
    visitor = voila.visitor(cookies={"person": "alice"})
    _, _, kernel = render(visitor, "region=emea")
    visitor.http.cookies.set("theme", "light")
    for _ in range(2):  # before and after a reconnect
        socket = visitor.connect(kernel, "one-tab", headers=[("Accept-Language", "de")])
        seen = socket.who()
        assert (seen["via"], seen["query"], seen["mode"]) == ("page", {"region": "emea"}, "run")
        assert seen["cookies"] == {"theme": "light"}
        assert seen["headers"]["accept-language"] == "de"
        socket.close()


def test_another_persons_callback_has_no_page(voila: Server) -> None:
    """A page is tied to a kernel and an identity: another person on that kernel has no page, only an identity."""
    _, _, kernel = render(voila.visitor(cookies={"person": "alice"}), "region=emea")
    seen = voila.visitor(cookies={"person": "bob"}).connect(kernel).who()
    assert (seen["user"]["username"], seen["via"], seen["query"]) == ("bob", "socket", {})


def test_two_visitors_at_once_see_their_own_page(voila: Server) -> None:
    """Two people who load one dashboard see themselves, each with their own query."""
    for name, region in (("alice", "emea"), ("bob", "apac"), ("alice", "amer")):
        seen, _, _ = render(voila.visitor(cookies={"person": name}), f"region={region}")
        assert (seen["user"]["username"], seen["query"]) == (name, {"region": region})


def test_visitor_that_is_logged_in_by_the_page_keeps_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The first page load gives the cookie that the socket then has: both are one identity."""
    home = tmp_path_factory.mktemp("token")
    (home / "root").mkdir()
    spec = {"name": AWARE, "display_name": AWARE, "language": "python"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": spec}, cells=[nbformat.v4.new_code_cell(WHO)])
    nbformat.write(notebook, home / "root" / "dash.ipynb")
    for token, assurance in (("the-token", "shared-secret"), ("", "none")):
        with serving(home, config=VOILA, token=token) as server:
            visitor = server.visitor(token=False)
            seen, _, kernel = render(visitor, f"region=emea&token={token}")
            later = visitor.connect(kernel).who()
            assert seen["user"]["assurance"] == assurance
            assert later["user"]["username"] == seen["user"]["username"]
            assert (later["via"], later["query"]) == ("page", {"region": "emea"})


@pytest.mark.parametrize(("person", "expected"), [("alice", "alice"), ("bob", None)])
def test_progressive_rendering(tmp_path: Path, person: str, expected: str | None) -> None:
    """Cells that a rendered page runs over its socket see its visitor; over another socket they see no request."""
    (tmp_path / "root").mkdir()
    spec = {"name": AWARE, "display_name": AWARE, "language": "python"}
    cell = (
        "from jupyter_app_meta import app_meta; m = app_meta()\n"
        "print(m.user and m.user.username, m.mode, m.request and m.request.query_params.get('region'))"
    )
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": spec}, cells=[nbformat.v4.new_code_cell(cell)])
    nbformat.write(notebook, tmp_path / "root" / "dash.ipynb")
    with serving(
        tmp_path, config=PEOPLE + VOILA + "c.VoilaConfiguration.progressive_rendering = True\n", token=""
    ) as server:
        text = server.visitor(cookies={"person": "alice"}).get("/voila/render/dash.ipynb?region=emea").text
        kernel = re.search(r'"kernelId": ?"([^"]+)"', text)
        assert kernel
        visitor = server.visitor(cookies={"person": person})
        address = f"{server.url.replace('http', 'ws')}voila/execution/{kernel.group(1)}"
        socket = websocket.create_connection(
            address, cookie=visitor.cookie_line(), origin=server.url.rstrip("/"), timeout=30
        )
        server.closing.callback(socket.shutdown)
        socket.send(json.dumps({"action": "execute", "payload": {"kernel_id": kernel.group(1)}}))
        while (message := json.loads(socket.recv()))["action"] != "execution_result":
            pass
        printed = message["payload"]["output_cell"]["outputs"][0]["text"]
        assert printed == (f"{expected} run emea\n" if expected else "None script None\n")


def open_session(visitor: Visitor, referer: str, path: str = "nb.ipynb", **headers: str) -> str:
    """Open a Jupyter session from a page, and return its kernel's id."""
    body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": AWARE}}
    response = visitor.call("POST", "/api/sessions", body, headers={"Referer": referer, **headers})
    response.raise_for_status()
    return str(response.json()["kernel"]["id"])


def notebook(server: Server) -> tuple[str, str]:
    """Return a new notebook's path and the address of its page."""
    path = f"{uuid.uuid4().hex}/na me.ipynb"
    return path, f"{server.url}notebooks/{path.replace(' ', '%20')}"


def test_page_is_known_from_the_call_that_opens_the_session(people: Server, alice: Visitor) -> None:
    """A same-origin Referer on the call that opens the session is the visitor's page; credentials are filtered."""
    path, address = notebook(people)
    kernel = open_session(alice, f"{address}?region=emea&token=secret", path)
    seen = alice.connect(kernel).who()
    assert (seen["via"], seen["url"], seen["query"]) == ("page", f"{address}?region=emea", {"region": "emea"})
    assert (seen["mode"], seen["session"]["path"]) == ("edit", path)
    assert seen["session"]["session_id"]
    assert "query.token" in seen["redacted"]


def test_page_belongs_to_its_identity(people: Server, alice: Visitor, bob: Visitor) -> None:
    """Bob, who shares the kernel, does not get Alice's page, and has his own once he opens it."""
    path, address = notebook(people)
    kernel = open_session(alice, f"{address}?region=emea", path)
    socket = bob.connect(kernel)
    assert socket.who()["via"] == "socket"
    assert open_session(bob, f"{address}?region=apac", path) == kernel
    assert socket.who()["query"] == {"region": "apac"}
    assert alice.connect(kernel).who()["query"] == {"region": "emea"}


def test_two_known_pages_mean_an_unknown_page(people: Server, alice: Visitor) -> None:
    """Two pages of one person on one kernel cannot be told apart, so neither is given."""
    path, address = notebook(people)
    kernel = open_session(alice, f"{address}?region=emea", path)
    socket = alice.connect(kernel)
    assert socket.who()["via"] == "page"
    open_session(alice, f"{address}?region=apac", path)
    seen = socket.who()
    assert (seen["via"], seen["query"]) == ("socket", {})
    assert seen["url"].endswith(f"/api/kernels/{kernel}/channels")


def test_reload_replaces_the_page(people: Server, alice: Visitor) -> None:
    """A reload with another query is the new page: the old one went with its connection."""
    path, address = notebook(people)
    kernel = open_session(alice, f"{address}?region=emea", path)
    socket = alice.connect(kernel)
    assert socket.who()["query"] == {"region": "emea"}
    socket.close()
    open_session(alice, f"{address}?region=apac", path)
    assert alice.connect(kernel).who()["query"] == {"region": "apac"}


@pytest.mark.parametrize(
    ("referer", "headers"),
    [
        ("http://evil.example/notebooks/nb.ipynb?region=emea", {}),
        ("{url}notebooks/{path}?region=emea", {"Sec-Fetch-Site": "cross-site"}),
        ("javascript:alert(1)", {}),
        ("http://[broken", {}),
        ("", {}),
        ("{url}lab?region=emea", {}),
        ("{url}lab/tree/other.ipynb?region=emea", {}),
    ],
)
def test_page_that_is_not_honestly_known_is_unknown(
    people: Server, alice: Visitor, referer: str, headers: dict[str, str]
) -> None:
    """A foreign or odd Referer, and the bare address of a shell of many documents, give no page."""
    path, _ = notebook(people)
    kernel = open_session(alice, referer.format(url=people.url, path=path), path, **headers)
    assert alice.connect(kernel).who()["via"] == "socket"


@pytest.mark.parametrize("session_id", ["one-tab", None])
def test_page_outlives_the_restart_of_its_kernel(people: Server, alice: Visitor, session_id: str | None) -> None:
    """Trap: a restart closes a tab's socket. The page that opens it again is known from its first message on."""
    path, address = notebook(people)
    kernel = open_session(alice, f"{address}?region=emea", path)
    socket = alice.connect(kernel, session_id)
    assert socket.who()["query"] == {"region": "emea"}
    alice.call("POST", f"/api/kernels/{kernel}/restart").raise_for_status()
    socket.close()
    seen = alice.connect(kernel, session_id).who()
    assert (seen["via"], seen["query"]) == ("page", {"region": "emea"})


def test_another_person_who_connects_after_the_tab_has_no_page(people: Server, alice: Visitor, bob: Visitor) -> None:
    """A page that waits for its tab is its own person's alone."""
    path, address = notebook(people)
    kernel = open_session(alice, f"{address}?region=emea", path)
    alice.connect(kernel).close()
    seen = bob.connect(kernel).who()
    assert (seen["user"]["username"], seen["via"], seen["query"]) == ("bob", "socket", {})


def test_tab_that_renames_its_notebook_has_one_page(people: Server, alice: Visitor) -> None:
    """Trap: the address that a tab has left counted as a second page, and none was known."""
    path, address = notebook(people)
    kernel = open_session(alice, f"{address}?region=emea", path)
    socket = alice.connect(kernel)
    session = socket.who()["session"]["session_id"]
    renamed = path.replace("na me", "other")
    referer = {"Referer": f"{address}?region=emea"}
    alice.call("PATCH", f"/api/sessions/{session}", {"path": renamed}, headers=referer).raise_for_status()
    assert socket.who()["query"] == {"region": "emea"}
    alice.get("/api/sessions", headers={"Referer": f"{people.url}notebooks/{renamed}?region=emea"})
    seen = socket.who()
    assert (seen["via"], seen["url"]) == ("page", f"{people.url}notebooks/{renamed}?region=emea")


@pytest.mark.parametrize("shell", ["notebooks", "lab/tree", "lab/workspaces/w/tree", "doc/tree", "nbclassic/notebooks"])
def test_page_is_not_that_of_a_namesake_in_another_folder(people: Server, alice: Visitor, shell: str) -> None:
    """Trap: ends of addresses were compared, so a notebook got the page of its namesake in a folder below."""
    folder = uuid.uuid4().hex
    paths = (f"{folder}/index.ipynb", f"{folder}/reports/index.ipynb", "index.ipynb", "reports/index.ipynb")
    kernels = [open_session(alice, "", path) for path in paths]
    address = f"{people.url}{shell}/{paths[1]}?region=emea"
    alice.get("/api/sessions", headers={"Referer": address})
    assert [alice.connect(kernel).who()["query"] for kernel in kernels] == [{}, {"region": "emea"}, {}, {}]
    open_session(alice, f"{people.url}{shell}/{folder}%2Findex.ipynb?region=apac", paths[0])
    open_session(alice, f"{people.url}{shell}/{paths[0]}?region=apac", "index.ipynb")
    assert [alice.connect(kernel).who()["via"] for kernel in kernels] == ["socket", "page", "socket", "socket"]


def test_looking_up_all_sessions_ties_the_one_that_the_page_names(people: Server, alice: Visitor) -> None:
    """Lab and Notebook list all sessions when they open one that runs already: their address names which."""
    path, address = notebook(people)
    kernel = open_session(alice, "", path)
    other = open_session(alice, "", "other.ipynb")
    alice.get("/api/sessions", headers={"Referer": f"{address}?region=emea"})
    assert alice.connect(kernel).who()["query"] == {"region": "emea"}
    assert alice.connect(other).who()["via"] == "socket"


def test_lab_page_is_known_by_the_address_that_lab_shows(people: Server, alice: Visitor) -> None:
    """Lab drops the query from its address when it has started: one tab is not taken for two pages."""
    path, address = notebook(people)
    address = address.replace("/notebooks/", "/lab/tree/")
    kernel = open_session(alice, f"{address}?region=emea", path)
    socket = alice.connect(kernel)
    assert socket.who()["query"] == {"region": "emea"}
    alice.get("/api/sessions", headers={"Referer": address})
    assert (socket.who()["via"], socket.who()["url"]) == ("page", address)


def test_renamed_notebook_has_its_new_path(people: Server, alice: Visitor) -> None:
    """The session's path follows a rename."""
    path, address = notebook(people)
    kernel = open_session(alice, address, path)
    socket = alice.connect(kernel)
    session = socket.who()["session"]["session_id"]
    alice.call("PATCH", f"/api/sessions/{session}", {"path": "renamed.ipynb"}).raise_for_status()
    assert socket.who()["session"]["path"] == "renamed.ipynb"
