"""A store that is frozen: code that asks it waits or fails, and nothing else does. Afterwards all works again."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from databases import PostgresServer, RedisServer, running
from databases import Server as Database
from harness import Server, eventually
from stage import Opened, staging, visit, write

LONG = 600
"""Seconds for which a frozen store is asked: more than a test lasts, so what waits is not done before its end."""

ASKERS, QUESTIONS, THREADS = 4, 60, 40
"""How many pages ask the store at once, enough to hold all threads that answer kernels; how many requests do; how many
threads a server may have more than before, whoever asks."""

SESSIONS, MINE = "api/app-meta/sessions", "api/app-meta/me/state"

APP = """from jupyter_app_meta.state.stores.redis import server as redis_server
from jupyter_app_meta.state.stores.sql import database, patience
redis_server.PATIENCE = database.PATIENCE = patience.PATIENCE = {patience}
own = {{"state_url": {url!r}, "state_timeout": {timeout}, "admins": ["root"]}}
app = create_app(identity_provider=People, config={{"AppMetaExtension": own}}, server_id="aaaa").with_index()
app = app.with_app(path="/asks", root="asks.ipynb").with_app(path="/plain", root="plain.ipynb")
"""

ASKS = """import threading
from comm import create_comm
from jupyter_app_meta import shared

comm = create_comm(target_name="ask")
def answer(message):
    answers = []
    def note(ask):
        try: answers.append(ask())
        except Exception as error: answers.append(type(error).__name__)
    asks = [lambda: shared.state.add("n"), lambda: f"read {shared.state.get('n')}", lambda: f"read {len(shared.state)}"]
    threads = [threading.Thread(target=note, args=(ask,)) for ask in asks]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    comm.send(answers)
comm.on_msg(answer)
print("comm", comm.comm_id)"""
"""A cell that counts and reads at once whenever its page says so."""

PLAIN = """from jupyter_app_meta import app_meta
app_meta().page.title = "Renamed"
print(f"<{app_meta().user.username}>")"""
"""A cell that asks for the visitor and changes its page, and uses no state."""


@pytest.fixture(scope="module", params=[RedisServer, PostgresServer])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database of these tests alone."""
    with running(request.param) as started:
        yield started


@contextmanager
def serving(home: Path, database: Database, *, timeout: float, patience: float) -> Iterator[Server]:
    """Run a server whose state is in the database."""
    write(home / "root" / "asks.ipynb", ASKS)
    write(home / "root" / "plain.ipynb", PLAIN)
    app = APP.format(url=database.url, timeout=timeout, patience=patience)
    with staging(home, app) as server:
        yield server


@contextmanager
def frozen(database: Database) -> Iterator[None]:
    """Freeze all processes of a database until the block ends."""
    assert database.process is not None
    own = psutil.Process(database.process.pid)
    processes = [own, *own.children()]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


class Asker:
    """An open page whose code asks for state."""

    def __init__(self, server: Server, person: str) -> None:
        self.page: Opened = visit(server, person, "asks")
        found = re.search(r"comm ([0-9a-f]{32})", self.page.html)
        assert found, self.page.html[-2000:]
        self.comm_id, self.socket = found[1], self.page.connect()

    def ask(self) -> None:
        """Let the code ask."""
        self.socket.send(self.socket.message("comm_msg", {"comm_id": self.comm_id, "data": ""}))

    def answers(self) -> list[Any]:
        """Return what the code was answered."""

        def is_answer(message: dict[str, Any]) -> bool:
            return bool(message["header"]["msg_type"] == "comm_msg" and message["content"]["comm_id"] == self.comm_id)

        return list(self.socket.until(is_answer)[-1]["content"]["data"])

    def asked(self) -> list[Any]:
        """Let the code ask, and return what it was answered."""
        self.ask()
        return self.answers()


def added(answers: list[Any]) -> int:
    """Return what adding gave. The two reads have given something as well."""
    (number,) = [answer for answer in answers if isinstance(answer, int)]
    assert sum(str(answer).startswith("read ") for answer in answers) == 2, answers
    return number


def test_a_frozen_store_holds_up_no_page_without_state(tmp_path: Path, database: Database) -> None:
    """While all that may ask a store wait for it, pages come and change their titles. Its threads have a bound.

    Everything that has waited is done afterwards, once.
    """
    with serving(tmp_path, database, timeout=LONG, patience=LONG) as server, ThreadPoolExecutor(QUESTIONS) as browsers:
        process, root = psutil.Process(server.process.pid), server.visitor(cookies={"person": "root"})
        visit(server, "dora", "plain")
        askers = [Asker(server, f"asker-{number}") for number in range(ASKERS)]
        first = sum(added(asker.asked()) > 0 for asker in askers)
        assert root.get(SESSIONS).status_code == 200
        before = process.num_threads()
        with frozen(database):
            for asker in askers:
                asker.ask()
            paths = [SESSIONS if number % 2 else MINE for number in range(QUESTIONS)]
            asked = [browsers.submit(root.http.get, path, timeout=LONG) for path in paths]
            eventually(lambda: any(answer.done() for answer in asked))  # too many ask
            for person in ("dora", "emil", "frida"):
                page = visit(server, person, "plain")
                assert f"<{person}>" in page.html and "StateUnavailable" not in page.html
            index = visit(server, "dora").response
            assert index.status_code == 200 and "plain" in index.text
            assert process.num_threads() <= before + THREADS
            assert {answer.result().status_code for answer in asked if answer.done()} == {503}
        sums = sorted(added(asker.answers()) for asker in askers)
        assert sums == [*range(first + 1, first + ASKERS + 1)]
        assert {answer.result().status_code for answer in asked} == {200, 503}
        assert added(askers[0].asked()) == sums[-1] + 1
        listed = json.loads(root.get(SESSIONS).text)
        assert sum(row["dashboard"] == "/asks" for row in listed) == ASKERS


def test_what_gave_up_a_frozen_store_uses_it_again(tmp_path: Path, database: Database) -> None:
    """Code hears that the store cannot be used; as soon as it answers, so does state, in the same pages."""
    with serving(tmp_path, database, timeout=0.5, patience=1) as server:
        asker, root = Asker(server, "alice"), server.visitor(cookies={"person": "root"})
        eventually(lambda: "StateUnavailable" not in asker.asked())
        with frozen(database):
            for _ in range(4):
                assert asker.asked() == ["StateUnavailable"] * 3
            assert root.get(SESSIONS).status_code == 503
        eventually(lambda: "StateUnavailable" not in asker.asked())
        eventually(lambda: root.get(SESSIONS).status_code == 200)
