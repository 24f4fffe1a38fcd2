"""Live pages, as administrators see and end them: over HTTP, in the server and from another server of the store."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from harness import Server, Visitor
from stage import WHO, Opened, eventually, kernel_process, staging, visit, write

from jupyter_app_meta.server.live.board import Board
from jupyter_app_meta.state.stores.base import Store, Where
from jupyter_app_meta.state.stores.open import open_store

SESSIONS, MINE = "api/app-meta/sessions", "api/app-meta/me/state"
XSRF = {"_xsrf": "ab" * 16}
"""A cookie whose token a browser can send: requests with it are refused for no other reason than the visitor."""

LISTENS = """from jupyter_app_meta import session, shared
@session.on("hello")
def hello(data): shared.state["heard"] = data"""
"""A cell whose function stores what an administrator sends."""

NOTES = """from jupyter_app_meta import app_meta, shared, visitor
visitor.state["note"], shared.state["count"] = f"{app_meta().user.username}'s", 1
if app_meta().request.query_params.get("forget"): print(f"<erased {visitor.forget()}>")"""
"""A cell that stores something of the visitor's and something shared, and erases the former if it is asked to."""

APP = """
import logging
from pathlib import Path
from traitlets.config import Config
settings = {
    "AppMetaExtension": {"state_url": f"sqlite:///{Path('state.db').resolve()}", "admins": ["root"], "audit": True},
    "EventLogger": {"handlers": [logging.FileHandler("events.jsonl")]},
}
app = create_app(identity_provider=People, config=Config(settings))
app = app.with_app(path="/notes", root="notes.ipynb").with_app(path="/sales", root="sales.ipynb")
app = app.with_app(path="/stock/{place}", root="stock.ipynb")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two dashboards, with root as the administrator."""
    home = tmp_path_factory.mktemp("live")
    for name in ("sales", "stock"):
        write(home / "root" / f"{name}.ipynb", WHO, LISTENS)
    write(home / "root" / "notes.ipynb", NOTES)
    with staging(home, APP) as server:
        yield server


@pytest.fixture(scope="module")
def store(server: Server) -> Iterator[Store]:
    """The same store, opened by another process."""
    store = open_store(f"sqlite:///{server.home}/root/state.db")
    yield store
    store.close()


@pytest.fixture(scope="module")
def pages(server: Server) -> dict[str, Opened]:
    """A page of alice and two of bob."""
    paths = {"alice": "/sales", "bob": "/stock/north", "bob-again": "/sales"}
    return {name: visit(server, name.partition("-")[0], path, secret="CANARY") for name, path in paths.items()}


@pytest.fixture
def root(server: Server) -> Visitor:
    """The administrator's browser."""
    return server.visitor(cookies={"person": "root", **XSRF})


def listed(visitor: Visitor, **query: str) -> list[dict[str, Any]]:
    """Return the live pages that a visitor is told of."""
    answer = visitor.get(SESSIONS, params=query)
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-store"
    found: list[dict[str, Any]] = answer.json()
    return found


def test_administrator_sees_who_is_looking(root: Visitor, pages: dict[str, Opened]) -> None:
    """Each page has its visitor, its path without the query, its kernel and its sockets."""
    socket = pages["alice"].connect()
    found = listed(root)
    assert [(row["username"], row["dashboard"], row["page"]) for row in found] == [
        ("alice", "/sales", "/sales"),
        ("bob", "/stock/{place}", "/stock/north"),
        ("bob", "/sales", "/sales"),
    ]
    assert [row["kernel_id"] for row in found] == [page.kernel_id for page in pages.values()]
    assert [row["connections"] for row in found] == [1, 0, 0] and "CANARY" not in json.dumps(found)
    names = "id username kind dashboard page kernel_id server since seen connections".split()
    assert all([*row] == names and row["since"] <= row["seen"] and row["seen"].endswith("Z") for row in found)
    assert [row["page"] for row in listed(root, user="bob")] == ["/stock/north", "/sales"]
    assert [row["username"] for row in listed(root, dashboard="/sales")] == ["alice", "bob"]
    assert [row["username"] for row in listed(root, dashboard="/sales/", user="")] == ["alice", "bob"]
    assert [row["id"] for row in listed(root, dashboard="", user="")] == [row["id"] for row in found]
    assert not listed(root, user="bob", dashboard="/nowhere")
    socket.connection.close()


@pytest.mark.parametrize("person", ["bob", None, "roots", "Root"])
@pytest.mark.parametrize("known", [True, False], ids=["a-page", "no-page"])
def test_visitor_learns_nothing(
    server: Server, root: Visitor, pages: dict[str, Opened], person: str | None, known: bool
) -> None:
    """The answer is the same 403 for what exists and what does not, and nothing happens."""
    id = listed(root)[0]["id"] if known else "0" * 32
    visitor = server.visitor(cookies={**XSRF, "person": person} if person else XSRF)
    answers = [
        visitor.get(SESSIONS),
        visitor.call("DELETE", f"{SESSIONS}/{id}"),
        visitor.call("POST", f"{SESSIONS}/{id}/messages", {"name": "x"}),
    ]
    assert {(answer.status_code, answer.text) for answer in answers} == {(403, '{"message": "Forbidden"}')}
    assert len(listed(root)) == len(pages)


def test_page_is_for_administrators(server: Server, root: Visitor, pages: dict[str, Opened]) -> None:
    """Its script asks for the list, so the page has no visitor in it. Others get the error page of every refusal."""
    answer = root.get(f"{SESSIONS}/page")
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-store"
    assert f'data-url="/{SESSIONS}"' in answer.text and "alice" not in answer.text
    refused = server.visitor(cookies={"person": "bob"}).get(f"{SESSIONS}/page")
    assert refused.status_code == 403 and "data-xsrf" not in refused.text


def test_request_of_another_site_changes_nothing(root: Visitor, pages: dict[str, Opened]) -> None:
    """Without the token, or from another origin, an administrator's browser ends no page."""
    path = f"{SESSIONS}/{listed(root)[0]['id']}"
    assert root.http.delete(path).status_code == 403
    elsewhere = {"Origin": "https://evil.example"}  # jupyter_server itself may say that there is no such route
    assert root.call("DELETE", path, headers=elsewhere).status_code in (403, 404)
    assert root.call("POST", f"{path}/messages", {"name": "x"}, headers=elsewhere).status_code in (403, 404)
    assert len(listed(root)) == len(pages)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("[]", 400),
        ("{", 400),
        ('{"name": 1}', 400),
        ('{"data": 1}', 400),
        ('{"name": "x", "data": NaN}', 400),
        ('{"name": "x", "data": 1e999}', 400),
        (r'{"name": "\ud800"}', 400),
        (r'{"name": "x", "data": ["\ud800"]}', 400),
        (json.dumps({"name": "x", "data": json.loads("[" * 60 + "]" * 60)}), 400),
        ("[" * 60_000, 400),
        (json.dumps({"name": "x" * 101}), 413),
        ('{"name": "x", "data": [1, {"a": null}]}', 204),
    ],
)
def test_message_is_taken_or_refused(root: Visitor, pages: dict[str, Opened], body: str, status: int) -> None:
    """A body that is not a message is refused by a sentence."""
    path = f"{SESSIONS}/{listed(root)[0]['id']}/messages"
    answer = root.call("POST", path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status and (status == 204 or "message" in answer.json())


def test_message_reaches_the_code_of_the_page(root: Visitor, store: Store, pages: dict[str, Opened]) -> None:
    """The function that listens to the name gets the data."""
    path = f"{SESSIONS}/{listed(root, user='bob')[0]['id']}/messages"
    assert root.call("POST", path, {"name": "hello", "data": ["from root", 1]}).status_code == 204
    eventually(lambda: [json.loads(row.text) for row in store.export(Where("shared"))] == [["from root", 1]])


def test_page_is_ended(server: Server, root: Visitor, pages: dict[str, Opened]) -> None:
    """The socket closes with a code of its own, the kernel ends, the row goes, and the audit says who did it."""
    page = pages.pop("alice")
    socket, process = page.connect(), kernel_process(server, page.kernel_id)
    id = listed(root)[0]["id"]
    assert root.call("DELETE", f"{SESSIONS}/{id}").status_code == 204
    with pytest.raises(ConnectionError, match="administrator"):
        deque(iter(socket.receive, None), maxlen=0)
    process.wait(60)
    assert id not in [row["id"] for row in listed(root)]
    assert root.call("DELETE", f"{SESSIONS}/{id}").status_code == 404
    events = [json.loads(line) for line in (server.home / "root" / "events.jsonl").read_text().splitlines()]
    [ended] = [event for event in events if event.get("action") == "session_end"]
    assert (ended["username"], ended["session"]) == ("root", id)
    pages["alice"] = visit(server, "alice", "/sales")  # an ended page may be opened again


async def test_another_server_of_the_store_ends_a_page(server: Server, store: Store, pages: dict[str, Opened]) -> None:
    """It sees all pages, and asks the server that has the page to end it."""
    page = pages.pop("bob")
    process = kernel_process(server, page.kernel_id)
    board = Board(store, "other", logging.getLogger())
    [row] = [row for row in await board.list(user="bob") if row["page"] == "/stock/north"]
    assert row["seen"] is row["connections"] is None
    assert await board.end(row["id"]) and not await board.end("0" * 32)
    eventually(lambda: not process.is_running() or process.status() == "zombie")
    async with asyncio.timeout(60):
        while row["id"] in [row["id"] for row in await board.list()]:
            await asyncio.sleep(0.05)
    board.close()


def forgotten(server: Server) -> list[tuple[str, str]]:
    """Return what the audit has of erasures: the action, and whose state it was."""
    events = [json.loads(line) for line in (server.home / "root" / "events.jsonl").read_text().splitlines()]
    return [(event["action"], event["username"]) for event in events if event.get("action") == "state_forget"]


def test_visitor_exports_and_erases_what_is_stored_about_them(server: Server, store: Store) -> None:
    """Each visitor has their own, across dashboards; what is shared stays; other sites and strangers reach nothing."""
    for person in ("alice", "bob"):
        visit(server, person, "/notes", keep="CANARY")
    alice, bob = (server.visitor(cookies={"person": person, **XSRF}) for person in ("alice", "bob"))
    [mine] = [json.loads(line) for line in alice.get(MINE).text.splitlines()]
    assert (mine["audience"], mine["dashboard"], mine["key"], mine["value"]) == ("visitor", "/notes", "note", "alice's")
    assert alice.http.delete(MINE, headers={"X-XSRFToken": ""}).status_code == 403
    assert server.visitor(cookies=XSRF).call("DELETE", MINE).status_code == 403
    assert len(alice.get(MINE).text.splitlines()) == 1
    assert alice.call("DELETE", MINE).status_code == 204
    assert not alice.get(MINE).text and "bob's" in bob.get(MINE).text
    assert forgotten(server) == [("state_forget", "alice")]
    assert [row.key for row in store.export(Where("shared")) if "/notes" in row.scope.space] == ["count"]
    visit(server, "alice", "/notes")
    assert "alice's" in alice.get(MINE).text
    assert "<erased 1>" in visit(server, "alice", "/notes", forget="yes").html and not alice.get(MINE).text
    assert forgotten(server) == [("state_forget", "alice")] * 2
