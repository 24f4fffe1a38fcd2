"""Stores that are away, full, closed to writers, of another time, or that belong to others: pages work all the same."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from databases import RedisServer, running
from databases import Server as Database
from harness import Server, Socket, free_port, kernelspec, launched
from stage import KERNEL, Opened, serving_folder, visit, write

from jupyter_app_meta.cli.check import report
from jupyter_app_meta.state.stores.open import open_store

pytestmark = pytest.mark.usefixtures("unpatched")

ASK = """from comm import create_comm
from jupyter_app_meta import session, shared, visitor

comm = create_comm(target_name="ask")
def answer(message):
    try: comm.send(repr(eval(message["content"]["data"])))
    except Exception as error: comm.send(f"{type(error).__name__}: {error}")
comm.on_msg(answer)
print("comm", comm.comm_id)"""
"""A cell that lets its page ask for state."""

AWAY = "StateUnavailable: The state's Redis cannot be used"


def folder(home: Path) -> Path:
    """Make the folder of notebooks of a server in ``home``."""
    return write(home / "root" / "books" / "page.ipynb", ASK).parent


class Page:
    """An open page, and what its kernel says about state."""

    def __init__(self, server: Server) -> None:
        self.opened: Opened = visit(server, None, "page")
        found = re.search(r"comm ([0-9a-f]{32})", self.opened.html)
        assert found, self.opened.html[-2000:]
        self.comm_id = found[1]
        self.socket: Socket = self.opened.connect()

    def ask(self, expression: str) -> str:
        """Return the value of an expression as text, or its error."""
        self.socket.send(self.socket.message("comm_msg", {"comm_id": self.comm_id, "data": expression}))

        def is_answer(message: dict[str, Any]) -> bool:
            return bool(message["header"]["msg_type"] == "comm_msg" and message["content"]["comm_id"] == self.comm_id)

        return str(self.socket.until(is_answer)[-1]["content"]["data"])


def refused(home: Path, *options: str) -> str:
    """Return what a ``serve`` says that ends by itself; a server that starts fails the test."""
    folder(home)
    with pytest.raises(RuntimeError, match="the server ended with 1") as ended, serving_folder(home, "books", *options):
        pass
    return str(ended.value)


def checked(url: str) -> list[tuple[str, str]]:
    """Return what ``check`` says about a store."""
    rows = report(None, [f"--AppMetaExtension.state_url={url}"]).rows
    return [(row.status.name, row.finding) for row in rows if row.subject == "state"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of state."""
    return tmp_path_factory.mktemp("kept") / "own" / "state.db"


@pytest.fixture(scope="module")
def server(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose state is in the file, with small limits."""
    home = tmp_path_factory.mktemp("server")
    folder(home)
    limits = [
        f"--AppMetaExtension.state_limits={limit}" for limit in ("key=20", "value=70000", "keys=4", "scope=90000")
    ]
    with serving_folder(home, "books", f"--AppMetaExtension.state_url=sqlite:///{file}", *limits) as started:
        yield started


@pytest.fixture(scope="module")
def page(server: Server) -> Page:
    """A page of that server."""
    return Page(server)


def test_what_cannot_be_stored_is_refused_with_its_path_and_a_remedy(page: Page) -> None:
    """Nothing of it is stored, and what was there stays."""
    assert page.ask("shared.state.set('cart', [1])") == "None"
    told = page.ask("shared.state.set('cart', {'items': [1, (2, 3)]})")
    assert told.startswith("Unstorable: value['items'][1] ") and "list(" in told
    assert page.ask("shared.state.update(new=1, cart={1, 2})").startswith("Unstorable: value")
    assert page.ask("dict(shared.state)") == "{'cart': [1]}"


def test_a_limit_that_is_reached_is_named(page: Page) -> None:
    """With its option. Nothing of such a write is stored, and what was there stays."""
    page.ask("(shared.state.clear(), shared.state.set('n', 1))")
    for limit, call in (
        ("key", "set('k' * 21, 1)"),
        ("value", "set('large', 'x' * 70_000)"),
        ("keys", "update({str(n): n for n in range(4)})"),
        ("scope", "update(a='x' * 50_000, b='x' * 50_000)"),
    ):
        told = page.ask(f"shared.state.{call}")
        assert told.startswith("TooLarge: ") and f"'{limit}'" in told and "AppMetaExtension.state_limits" in told
    assert page.ask("dict(shared.state)") == "{'n': 1}"


def test_a_full_disk_costs_no_state(server: Server, page: Page) -> None:
    """A write that does not fit is an error; reads and pages work, and so do writes when there is room again."""
    page.ask("(shared.state.clear(), shared.state.set('n', 1))")
    process = psutil.Process(server.process.pid)
    process.rlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))  # no file can become longer
    try:
        told = page.ask("shared.state.set('large', 'x' * 60_000)")
        assert told.startswith("StateUnavailable: The state file") and "cannot be used" in told
        assert page.ask("dict(shared.state)") == "{'n': 1}"
        assert page.opened.visitor.get("").status_code == 200
    finally:
        process.rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert page.ask("shared.state.set('large', 'x' * 60_000)") == "None"
    assert page.ask("(shared.state['n'], len(shared.state['large']))") == "(1, 60000)"


def test_a_file_that_cannot_be_written_is_still_read(page: Page, file: Path, tmp_path: Path) -> None:
    """The server starts and says so; reads and pages work, and writes are errors."""
    page.ask("(shared.state.clear(), shared.state.set('n', 1))")
    closed = tmp_path / "closed"
    closed.mkdir()
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(closed / "state.db")) as copy:
        source.backup(copy)
    (closed / "state.db").chmod(0o400)
    with read_only(closed, tmp_path) as server:
        page = Page(server)
        assert page.ask("shared.state.get('n')") == "1"
        told = page.ask("shared.state.set('n', 2)")
        assert told.startswith("StateUnavailable: ") and "writable for the server's account" in told
        assert f"The state file {closed}/state.db can be read only: make the file and its folder writable" in server.log


@contextmanager
def read_only(closed: Path, home: Path) -> Iterator[Server]:
    """Run a server that may not write where its account has no permission, even as root."""
    folder(home)
    kernelspec(home, KERNEL)
    port = free_port()
    argv = ["-m", "jupyter_app_meta.cli", "serve", "books", f"--port={port}", "--no-browser"]
    argv.append(f"--AppMetaExtension.state_url=sqlite:///{closed}/state.db")
    python, before = sys.executable, list[str]()
    if os.getuid() == 0:
        python, before = str(shutil.which("setpriv")), ["--bounding-set=-dac_override,-dac_read_search", sys.executable]
    with launched(home, [*before, *argv], f"http://127.0.0.1:{port}/", python=python) as server:
        yield server


def test_a_store_of_a_newer_release_stops_the_server(tmp_path: Path) -> None:
    """And is left as it was."""
    url = f"sqlite:///{tmp_path}/state.db"
    store = open_store(url)
    store.check()
    store.close()
    with sqlite3.connect(tmp_path / "state.db") as db:
        db.execute("UPDATE meta SET value = '2.0'")
    db.close()
    before = (tmp_path / "state.db").read_bytes()
    said = "has schema 2.0, made by a newer release; this one reads 1.0"
    assert said in refused(tmp_path, f"--AppMetaExtension.state_url={url}")
    ((status, found),) = checked(url)
    assert status == "FAULT" and said in found
    assert (tmp_path / "state.db").read_bytes() == before


def test_a_url_of_no_store_is_a_fault() -> None:
    """Without a word of the password that it may have."""
    found = checked("mongodb://ada:s3cret@host")
    assert [status for status, _ in found] == ["FAULT"]
    assert "state_url: no store for 'mongodb': use sqlite:///, redis://, postgresql://, mariadb://" in found[0][1]
    assert "s3cret" not in found[0][1]


@pytest.fixture
def database() -> Iterator[Database]:
    """A Redis that evicts keys."""
    with running(RedisServer) as started:
        with redis.Redis.from_url(started.url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        yield started


def test_a_store_may_go_away_and_come_late(database: Database, tmp_path: Path) -> None:
    """Pages work meanwhile, state is an error and never a default, and nothing that was kept is lost."""
    with sharing(tmp_path / "a", "aaaa", database) as first:
        risks = [finding for status, finding in checked(database.url) if status == "RISK"]
        for said in ("set maxmemory-policy noeviction, not allkeys-lru", "set appendonly yes"):
            assert said in first.log and said in json.dumps(risks)
        page = Page(first)
        assert page.ask("shared.state.add('n')") == "1"
        with redis.Redis.from_url(database.url) as client:
            client.save()
        database.stop()
        for call in ("get('n', 'default')", "add('n')"):
            assert page.ask(f"shared.state.{call}").startswith(AWAY)
        assert checked(database.url)[1][0] == "RISK"
        with sharing(tmp_path / "b", "bbbb", database) as second:
            assert "Pages work without their state until it can be used." in second.log
            late = Page(second)
            assert late.ask("shared.state.get('n', 'default')").startswith(AWAY)
            database.start()
            assert page.ask("shared.state.add('n')") == "2"
            assert late.ask("shared.state.add('n')") == "3"


def shared(server_id: str, database: Database) -> list[str]:
    """Return the options of a server of this store."""
    return [f"--Serve.server_id={server_id}", f"--AppMetaExtension.state_url={database.url}"]


@contextmanager
def sharing(home: Path, server_id: str, database: Database) -> Iterator[Server]:
    """Run a server of this store."""
    folder(home)
    with serving_folder(home, "books", *shared(server_id, database)) as server:
        yield server
