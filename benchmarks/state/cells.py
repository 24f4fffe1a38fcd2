"""State that a cell asks for: against HTTP over a Unix socket to the same store, and the server's processor time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
from harness import Server, Socket, runtime

from .. import duel
from ..duel import Blocks
from ..report import Row, at_most, expected, note
from ..servers import open_notebook, running, visitor
from ..stats import ratio, spread
from . import code, door, stamps
from .stores import NAMES, emptied

TITLE = "State in a cell"
NOTE = (
    "The kernel asks in turns: by state, and by HTTP over a Unix socket of a server extension of the benchmark. The "
    "connection stays open; grant, service and store are the same, and the answer is made in a thread as well. Value: "
    "a dict of two keys. Processor time is that of the server's process while a kernel asks 150 times a second, less "
    "what it takes in the same time without questions; for a database, its own processor time comes on top."
)
CELLS = 100


@dataclass(frozen=True, slots=True)
class Asking:
    """A server with one store, and a kernel that asks."""

    name: str
    server: Server
    socket: Socket

    def turns(self, first: str, second: str, blocks: int) -> Blocks:
        """Return blocks of nanoseconds of two ways to ask."""
        found: Blocks = []
        for number in range(blocks):
            note(f"state: {self.name}, {second} against {first}, block {number + 1} of {blocks}")
            text = self.socket.run(f"turns({first}, {second}, {code.BURST // 2})").text
            found.append([(one, other) for one, other in json.loads(text)])
            time.sleep(code.BURST / 100)  # so that no answer waits
        return found

    def used(self, act: str, seconds: float) -> float:
        """Return the microseconds of the server's processor time for a question."""
        note(f"state: {self.name}, the server's processor time of {act}")
        idle = self._spent(f"time.sleep({seconds})")[0]
        busy, asked = self._spent(f"paced({act}, {seconds})")
        return 1e6 * (busy - idle) / int(asked)

    def _spent(self, cell: str) -> tuple[float, str]:
        process = psutil.Process(self.server.process.pid)
        before = sum(process.cpu_times()[:2])
        text = self.socket.run(cell).text
        return sum(process.cpu_times()[:2]) - before, text


def measure(quick: bool = False) -> list[Row]:
    """Return the ratios and the processor time for each store, and what cells pay that never ask."""
    blocks, seconds = (4, 4.0) if quick else (40, 30.0)
    rows: list[Row] = []
    for kind in NAMES:
        with emptied(kind) as url, _asking(kind, url) as asking:
            rows += [*_ratios(asking, blocks), *_processor(asking, seconds)]
            if kind == "sqlite":
                rows.append(_silence(asking.socket))
    return [*rows, *stamps.rows(quick)]


@contextmanager
def _asking(kind: str, url: str) -> Iterator[Asking]:
    """Run a server with the store, and a kernel that has stored 20 keys."""
    config = f"c.ServerApp.jpserver_extensions['{door.__name__}'] = True\nc.AppMetaExtension.state_url = {url!r}\n"
    with running(config) as server:
        person = visitor(server)
        kernel_id = open_notebook(person)
        socket = person.connect(kernel_id)
        _ran(socket, code.ASKING)
        path = runtime(server.home) / door.NAME
        _ran(socket, f"door, kernel_id = Unix({str(path)!r}), {kernel_id!r}")
        _ran(socket, "write(); shared.state.update({f'key {number}': number for number in range(19)})")
        yield Asking(NAMES[kind], server, socket)
        socket.close()


def _ran(socket: Socket, cell: str) -> None:
    """Run a cell that prints nothing."""
    if text := socket.run(cell).text:
        raise RuntimeError(text)


def _ratios(asking: Asking, blocks: int) -> list[Row]:
    read, write = asking.turns("http_read", "read", blocks), asking.turns("http_write", "write", blocks)
    many = asking.turns("read", "snapshot", blocks)
    found = ratio(read)
    return [
        at_most(f"{asking.name}: a read against HTTP over a Unix socket", duel.text(found, read), found, 1.5),
        Row(f"{asking.name}: a write against the same", duel.text(ratio(write), write)),
        at_most(f"{asking.name}: a snapshot of 20 keys against a read", duel.text(ratio(many), many), ratio(many), 1.1),
    ]


def _processor(asking: Asking, seconds: float) -> list[Row]:
    rows = []
    for act in ("read", "write"):
        own, other = (asking.used(name, seconds) for name in (act, f"http_{act}"))
        text = f"{own:.0f} µs; by HTTP {other:.0f} µs, so that the ratio is {own / other:.2f}"
        found = spread((own, own, own))
        rows.append(at_most(f"{asking.name}: the server's processor time of a {act}", text, found, 250, " µs"))
    return rows


def _silence(socket: Socket) -> Row:
    """Count what runs in cells that never ask, in a kernel that has asked before."""
    note(f"state: {CELLS} cells that never ask")
    _ran(socket, code.COUNTING)
    for _ in range(CELLS):
        socket.run("pass")
    counted: dict[str, int] = json.loads(socket.run(code.COUNTED).text)
    names = f": {', '.join(f'{number} × {name}' for name, number in counted.items())}" if counted else ""
    what = f"{CELLS} cells that never ask: calls of stored state's functions, and messages"
    return expected(what, f"{sum(counted.values())}{names}", "0", met=not counted)
