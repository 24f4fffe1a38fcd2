"""What a connection costs while nothing happens on it: the server's memory, plain against stamped.

Batches of connections are opened and closed, the two kinds in turns. The allocators are asked
what they have handed out: exact to the byte, and the share of OpenSSL and ZeroMQ is counted.
Resident memory cannot resolve a few kB among the hundreds that a connection of jupyter_server
takes. What noise is left comes from ZeroMQ, which keeps a spare part of each queue, or does not;
it grows with a server's age, so there are several servers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from selectors import EVENT_READ, DefaultSelector
from time import sleep

from harness import BARE, Socket, Visitor

from .report import Row, at_most, note
from .servers import open_notebook, running, visitor
from .stats import Pair, difference, spread

TITLE = "Memory of idle connections"
NOTE = (
    "Method: batches of sockets, opened and closed in turns on one server and one kernel, each used for one "
    "`kernel_info_request`; the server's allocators are asked what they have handed out (`mallinfo2` and "
    "`sys._debugmallocstats`), which counts the share of OpenSSL and ZeroMQ too. What noise there is comes from the "
    "queues of ZeroMQ."
)
KINDS = {"plain": "&socket=plain", "stamped": ""}
LIMIT = 10_000
NOISE = 2_000  # bytes; what the question itself leaves behind


def measure(quick: bool = False) -> list[Row]:
    """Return what one connection takes more when it is stamped."""
    size, batches, servers = (10, 3, 1) if quick else (20, 5, 4)
    pairs: list[Pair] = []
    for number in range(servers):
        with running() as server, _drained() as selector:
            note(f"memory: server {number + 1} of {servers}")
            pairs += _batches(visitor(server), size, batches, selector)
    return [_row(pairs, size)]


def _batches(person: Visitor, size: int, batches: int, selector: DefaultSelector) -> list[Pair]:
    """Return the bytes per connection of (plain, stamped), for each pair of batches."""
    kernel_id = open_notebook(person, BARE)
    # A kernel whose last connection ends keeps its sockets for a reconnect; so one stays.
    anchor = _open(person, kernel_id, "plain", selector)
    pairs = []
    for batch in range(batches + 1):
        note(f"memory: batch {batch} of {batches}, {size} connections of each kind")
        kinds = ("plain", "stamped") if batch % 2 else ("stamped", "plain")
        taken = {kind: _growth(person, kernel_id, kind, size, selector) for kind in kinds}
        pairs.append((taken["plain"], taken["stamped"]))
    _close([anchor], selector)
    return pairs[1:]  # the first batch fills the caches


def _growth(person: Visitor, kernel_id: str, kind: str, size: int, selector: DefaultSelector) -> float:
    """Return how many bytes more are in use, per connection, while a batch of them is open."""
    before = _memory(person)
    sockets = [_open(person, kernel_id, kind, selector) for _ in range(size)]
    after = _memory(person)
    _close(sockets, selector)
    return (after - before) / size


def _memory(person: Visitor) -> int:
    """Return what is in use as soon as nothing changes any more."""
    known, before = _in_use(person), 0
    for _ in range(20):
        sleep(0.5)
        before, known = known, _in_use(person)
        if abs(known - before) < NOISE:
            break
    return known


def _in_use(person: Visitor) -> int:
    return int(person.get("/benchmarks/memory").raise_for_status().json()["in_use"])


def _open(person: Visitor, kernel_id: str, kind: str, selector: DefaultSelector) -> Socket:
    """Open a connection and ask what JupyterLab asks first, so that it has been used."""
    socket = person.connect(kernel_id, query=KINDS[kind])
    socket.send(socket.message("kernel_info_request", {}))
    tcp = socket.connection.sock
    assert tcp is not None
    selector.register(tcp, EVENT_READ, tcp)
    return socket


def _close(sockets: Sequence[Socket], selector: DefaultSelector) -> None:
    for socket in sockets:
        tcp = socket.connection.sock
        assert tcp is not None
        selector.unregister(tcp)
        socket.connection.shutdown()


@contextmanager
def _drained() -> Iterator[DefaultSelector]:
    """Read whatever comes: each tab is sent the kernel's status for the requests of all tabs."""
    over = threading.Event()
    with DefaultSelector() as selector:
        thread = threading.Thread(target=_drain, args=(selector, over))
        thread.start()
        try:
            yield selector
        finally:
            over.set()
            thread.join()


def _drain(selector: DefaultSelector, over: threading.Event) -> None:
    while not over.is_set():
        for key, _ in selector.select(0.05):
            with suppress(OSError):  # it was closed just now
                key.data.recv(65536)


def _row(pairs: list[Pair], size: int) -> Row:
    found = difference([[pair] for pair in pairs]).scaled(1000)
    plain = spread(pair[0] for pair in pairs).scaled(1000)
    text = f"{found.text(1, ' kB', '+')} on {plain.value:.0f} kB; {len(pairs)} batches of {size} of each kind"
    return at_most("memory in use per idle connection, stamped against plain", text, found, LIMIT / 1000, " kB")
