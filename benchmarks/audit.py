"""What the audit costs, how much it can take, and whether anything is lost of many cells."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, perf_counter_ns

from harness import Json, Server, Socket
from jupyter_events import EventLogger

from jupyter_app_meta.model import User
from jupyter_app_meta.server.audit import EventAudit

from . import duel
from .duel import Duel
from .report import Row, expected, note
from .servers import open_notebook, running, visitor
from .stats import ratio, spread

TITLE = "Who ran what"
NOTE = (
    "Cells are sent as fast as one kernel runs them, over several connections at once; each must be in the file once. "
    "The log by itself is jupyter_server's event logger with a file handler: most of its time is the check of each "
    "event against its schema."
)
CONFIG = "import logging\nc.AppMetaExtension.audit = True\nc.EventLogger.handlers = [logging.FileHandler({path!r})]\n"
CONNECTIONS = 4
AHEAD = 50
"""Cells that a connection sends before it waits for the first one's end."""


def measure(quick: bool = False) -> list[Row]:
    """Return what was written of many cells, the events per second, and the cost of a cell."""
    with TemporaryDirectory(prefix="benchmark-") as folder:
        path = Path(folder) / "events.jsonl"
        with running(CONFIG.format(path=str(path))) as server:
            lost = _lost(server, path, 400 if quick else 10_000)
            blocks = _round_trips(server, quick)
        return [lost, _log(Path(folder) / "alone.jsonl", 500 if quick else 20_000), blocks]


def _lost(server: Server, path: Path, cells: int) -> Row:
    person = visitor(server)
    kernel_id = open_notebook(person)
    sockets = [person.connect(kernel_id) for _ in range(CONNECTIONS)]
    note(f"audit: {cells} cells")
    start = perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        sent = list(chain.from_iterable(pool.map(_run, sockets, repeat(cells // CONNECTIONS))))
    rate = cells / (perf_counter() - start)
    events = [json.loads(line) for line in path.read_text().splitlines()]
    written = [event["msg_id"] for event in events if event["action"] == "cell"]
    lost, twice = set(sent) - set(written), len(written) - len(set(written))
    text = f"{len(lost)} lost, {twice} written twice of {len(sent)}, at {rate:.0f} cells a second"
    return expected("many cells, sent at once", text, "0 lost", met=not lost and not twice and len(written) == cells)


def _run(socket: Socket, cells: int) -> list[str]:
    """Run cells, a number of them ahead of their ends; return their messages' ids."""
    content = {"code": "pass", "silent": False, "store_history": False, "user_expressions": {}, "stop_on_error": True}
    ids = []
    for start in range(0, cells, AHEAD):
        ids += [socket.send(socket.message("execute_request", content)) for _ in range(min(AHEAD, cells - start))]
        socket.until(partial(_ends, ids[-1]))
        socket.seen.clear()
    return ids


def _ends(msg_id: str, message: Json) -> bool:
    idle: bool = message["content"].get("execution_state") == "idle"
    return idle and bool(message["parent_header"].get("msg_id") == msg_id)


def _log(path: Path, events: int) -> Row:
    user = User({"username": "bob", "kind": "user", "assurance": "hub"})
    with _audit(path) as audit:
        taken = []
        for number in range(events):
            header = {"msg_type": "execute_request", "msg_id": f"{number:032x}"}
            start = perf_counter_ns()
            audit.note(user, "6ad9b2f4-7a4c-4f2a-9a7e-6f2f4e0a3c11", "reports/quarterly sales.ipynb", header)
            taken.append(perf_counter_ns() - start)
    assert len(path.read_text().splitlines()) == events
    found = spread(taken).scaled(1000)
    rate = events / sum(taken) * 1e9
    return Row("the log by itself, to a file", f"{rate:.0f} events a second; p50 {found.text(0, ' µs')} each")


@contextmanager
def _audit(path: Path) -> Iterator[EventAudit]:
    handler = logging.FileHandler(path)
    try:
        yield EventAudit(EventLogger(handlers=[handler]), logging.getLogger("benchmark"))
    finally:
        handler.close()


def _round_trips(server: Server, quick: bool) -> Row:
    """A cell with a stamp and an event, against one with neither."""
    fight = Duel("nodelay", "stamped", True, *((4, 25) if quick else (20, 100)))
    person = visitor(server)
    blocks = duel.run(person, open_notebook(person), (fight,))[fight]
    found = ratio(blocks)
    return Row("a cell with stamp and event, against plain", duel.text(found, blocks))
