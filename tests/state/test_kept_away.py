"""State where the server keeps none, or cannot reach its store: pages and cells work, and state says so."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from harness import TOKEN, Server, eventually, serving

from jupyter_app_meta.state.keys import Scope
from jupyter_app_meta.state.stores.open import open_store

ASK = """
from jupyter_app_meta import app_meta, shared, visitor
for of in (visitor, shared):
    for call in (lambda: of.state.get("x", "default"), lambda: of.state.set("x", 1)):
        try:
            print(call())
        except Exception as error:
            print(type(error).__name__, end=" ")
print(app_meta().mode)
"""


@pytest.mark.parametrize(
    ("url", "told"),
    [("off", ""), ("redis://127.0.0.1:1/0", "Pages work without their state")],
)
def test_state_that_is_not_kept_is_an_error_and_never_a_default(tmp_path: Path, url: str, told: str) -> None:
    """Switched off, or a store that is away when the server starts: the server starts, and only state fails."""
    with serving(tmp_path, config=f"c.AppMetaExtension.state_url = {url!r}\n") as server:
        visitor = server.visitor()
        socket = visitor.connect(visitor.start_kernel())
        assert socket.run(ASK).text == "StateUnavailable " * 4 + "edit\n"
        assert told in server.log
        if url != "off":
            lost = eventually(lambda: [line for line in server.log.splitlines() if "feed of the state" in line])
            assert all(line.startswith("[W ") for line in lost)  # as each other line of the server's
        for method in ("GET", "DELETE"):
            answer = visitor.call(method, "api/app-meta/me/state")
            assert (answer.status_code, "Traceback" in server.log) == (404 if url == "off" else 503, False)


def rows(file: Path) -> set[str]:
    """Return the keys of a file of state, of any age."""
    with closing(sqlite3.connect(file)) as db:
        return {json.loads(key) for (key,) in db.execute("SELECT key FROM entries")}


def test_a_server_erases_what_is_over_and_knows_its_owner(tmp_path: Path) -> None:
    """A value whose time is up leaves the file soon after a server starts, others stay. The owner is one person."""
    file = tmp_path / "data" / "app-meta" / "state.db"
    store, scope = open_store(f"sqlite:///{file}"), Scope("shared", '["/","run","/page"]')
    store.apply(scope, {}, {"over": "1"}, (), 0.001)
    store.apply(scope, {}, {"stays": "1"}, (), None)
    store.close()
    assert rows(file) == {"over", "stays"}
    with serving(tmp_path) as server:
        eventually(lambda: "over" not in rows(file))
        assert "stays" in rows(file)
        the_owner_is_one_person(server)


def the_owner_is_one_person(server: Server) -> None:
    """Who holds the token of their own server has one state in each browser, and in a script without cookies."""
    first, second = server.visitor(), server.visitor()
    script = server.visitor(token=False, headers={"Authorization": f"token {TOKEN}"})
    kernel = first.start_kernel()
    code = "from jupyter_app_meta import app_meta, visitor; print(app_meta().user.username, visitor.state.add('n'))"
    said = [one.connect(kernel).run(code).text.split() for one in (first, second, script)]
    assert [int(count) for _, count in said] == [1, 2, 3]
    assert len({name for name, _ in said}) == 3  # their random names are three
