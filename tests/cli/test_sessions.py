"""``jupyter app-meta sessions``: what an operator sees of the pages of all servers, and ends and sends there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_app_meta import cli
from jupyter_app_meta.state.keys import Identity, Space
from jupyter_app_meta.state.sessions import DATA, Command, Session, Sessions
from jupyter_app_meta.state.stores.base import Store
from jupyter_app_meta.state.stores.open import open_store
from jupyter_app_meta.state.stores.servers import Lease

pytestmark = pytest.mark.usefixtures("unpatched")

SINCE = 1_796_000_000.0


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of the store."""
    return f"sqlite:///{tmp_path}/state.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """The store of two servers that live and of one that was killed."""
    store = open_store(url)
    for name in ("aaaa", "bbbb"):
        Lease(store, name).take()
    yield store
    store.close()


@pytest.fixture
def servers(store: Store) -> dict[str, Sessions]:
    """Three servers, each of which has a page."""
    made = {name: Sessions(store, name) for name in ("aaaa", "bbbb", "dead")}
    for number, (server, who, path) in enumerate(
        (("aaaa", "alice", "/sales"), ("bbbb", "bob\x1b[2J", "/stock"), ("dead", "carol", "/sales"))
    ):
        identity = Identity("hub", "hub", "user", who).text
        row = Session("", "", identity, who, "user", Space.run("/", path).text, path, "k", None, SINCE + number)
        made[server].open(row)
    return made


def run(url: str, *arguments: str) -> int:
    """Return the exit status of a command."""
    return cli.main(["sessions", *arguments, f"--AppMetaExtension.state_url={url}"])


def listed(url: str, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, str]]:
    """Return what ``list --json`` prints."""
    assert run(url, "list", "--json", *arguments) == 0
    found: list[dict[str, str]] = json.loads(capsys.readouterr().out)
    return found


def test_it_lists_the_pages_of_servers_that_live(
    url: str, servers: dict[str, Sessions], capsys: pytest.CaptureFixture[str]
) -> None:
    """The oldest first, as a table or as JSON; filters choose. A visitor's name cannot change the terminal."""
    rows = listed(url, capsys)
    assert [(row["username"], row["dashboard"], row["server"]) for row in rows] == [
        ("alice", "/sales", "aaaa"),
        ("bob\x1b[2J", "/stock", "bbbb"),
    ]
    assert [*rows[0]] == "id username kind dashboard page kernel_id server since seen connections".split()
    assert rows[0]["since"] == "2026-11-30T00:53:20Z"
    assert [row["server"] for row in listed(url, capsys, "--dashboard", "/stock")] == ["bbbb"]
    assert [row["server"] for row in listed(url, capsys, "--user", "hub:user:alice")] == ["aaaa"]
    assert run(url, "--json") == 0 and json.loads(capsys.readouterr().out) == rows
    assert run(url, "--user", "hub:user:alice", "--json", "list", "--dashboard", "/sales") == 0
    assert json.loads(capsys.readouterr().out) == rows[:1]
    assert run(url) == 0
    table = capsys.readouterr().out
    assert run(url, "list") == 0
    shown = capsys.readouterr().out
    assert shown == table and "bob?[2J" in shown and "\x1b" not in shown
    assert [line.split()[0] for line in shown.splitlines()] == ["id", *(row["id"] for row in rows)]


def test_nothing_is_open(url: str, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """The list says so, and JSON is an empty list."""
    assert run(url, "list") == 0
    assert capsys.readouterr().out == "There are no open pages.\n"
    assert listed(url, capsys) == []


def test_the_server_that_has_a_page_is_asked(
    url: str, servers: dict[str, Sessions], capsys: pytest.CaptureFixture[str]
) -> None:
    """To end it and to send to it. Other servers are not."""
    id = listed(url, capsys, "--user", "alice")[0]["id"]
    assert run(url, "send", id, "hello", '{"n": [1]}') == run(url, "send", id, "bare") == run(url, "end", id) == 0
    assert f"end {id}" in capsys.readouterr().out
    assert servers["aaaa"].take() == (
        Command("send", id, "hello", '{"n": [1]}'),
        Command("send", id, "bare"),
        Command("end", id),
    )
    assert servers["bbbb"].take() == ()


@pytest.mark.parametrize(
    ("arguments", "status", "error"),
    [
        (("end", "0" * 32), 1, "see `jupyter app-meta sessions list`"),
        (("send", "ID", "x", "NaN"), 2, "is JSON"),
        (("send", "ID", "x", "[" * 100_000), 2, "is JSON"),
        (("send", "ID", "x", "1e999"), 2, "is not a value: value is inf"),
        (("send", "ID", "x", "[" * 60 + "]" * 60), 2, "nested more than 50 deep"),
        (("send", "ID", "x", json.dumps("x" * DATA)), 1, "at most 65536"),
    ],
)
def test_what_cannot_be_done_is_refused(
    url: str,
    servers: dict[str, Sessions],
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    status: int,
    error: str,
) -> None:
    """By a sentence, and no server is asked for anything."""
    id = listed(url, capsys)[0]["id"]
    assert run(url, *(id if argument == "ID" else argument for argument in arguments)) == status
    assert error in capsys.readouterr().err
    assert servers["aaaa"].take() == ()
