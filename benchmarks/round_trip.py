"""The execute round trip: stamped against plain, with a control, and as an ordinary client sees it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter_ns

import zmq
from harness import Server, Visitor
from jupyter_client.blocking.client import BlockingKernelClient

from . import duel
from .client import Wire
from .duel import WARM_UP, Blocks, Duel, collected
from .report import Row, at_most
from .servers import open_notebook, running, visitor
from .stats import ratio, spread

TITLE = "Execute round trip"
NOTE = (
    "Both sockets are of one server and one kernel, open at the same time, used in turns. The kernel's own share, most "
    "of a round trip, varies from cell to cell by more than a stamp takes: that limits what can be resolved. The "
    "control says how far."
)
SLOW = 20e6  # ns; nothing but a delayed acknowledgement takes that long here


def measure(quick: bool = False) -> list[Row]:
    """Return the ratios of round trips: with the same TCP options, the control, and as clients see it."""
    blocks, rounds = (6, 25) if quick else (40, 100)
    control = Duel("nodelay", "nodelay", True, blocks, rounds)
    stamp = Duel("nodelay", "stamped", True, blocks, rounds)
    ordinary = Duel("plain", "stamped", False, blocks // 2, rounds // 5)
    with running() as server:
        person = visitor(server)
        kernel_id = open_notebook(person)
        size = _payload_size(person, kernel_id)
        straight: list[float] = []
        with _straight(server, kernel_id) as client:
            results = duel.run(person, kernel_id, (control, stamp), between=lambda: _straight_cells(client, straight))
        results |= duel.run(person, kernel_id, (ordinary,))
    return [
        _costs(results[stamp], size),
        _control(results[control]),
        _share(straight),
        _gain(results[ordinary]),
    ]


def _payload_size(person: Visitor, kernel_id: str) -> int:
    wire = Wire.connect(person, kernel_id)
    try:
        return int(wire.ask("print(len(get_ipython().kernel.get_parent()['metadata']['app_meta']['payload']))"))
    finally:
        wire.close()


@contextmanager
def _straight(server: Server, kernel_id: str) -> Iterator[BlockingKernelClient]:
    """Open a client of the kernel itself."""
    client = BlockingKernelClient(connection_file=str(server.home / "runtime" / f"kernel-{kernel_id}.json"))
    client.load_connection_file()
    client.start_channels()
    try:
        client.wait_for_ready(60)
        yield client
    finally:
        client.stop_channels()


def _straight_cells(client: BlockingKernelClient, taken: list[float], cells: int = 25) -> None:
    """Run some cells; add the nanoseconds that each took."""
    with collected():
        taken += [_straight_cell(client) for _ in range(WARM_UP + cells)][WARM_UP:]


def _straight_cell(client: BlockingKernelClient) -> float:
    """Return the nanoseconds until a cell's reply and its idle status are there."""
    start = perf_counter_ns()
    msg_id = client.execute("pass", store_history=False).encode()
    sockets = {client.shell_channel.socket: b'"execute_reply"', client.iopub_channel.socket: b'"idle"'}
    while sockets:
        for socket in zmq.select(list(sockets), [], [])[0]:
            data = b"".join(socket.recv_multipart())
            if msg_id in data and sockets[socket] in data:
                del sockets[socket]
    return perf_counter_ns() - start


def _share(straight: list[float]) -> Row:
    text = f"p50 {spread(straight).scaled(1e6).text(2, ' ms')}; {len(straight)} cells, in turns with the above"
    return Row("the kernel's own share: the same cell over ZeroMQ, without a server", text)


def _costs(blocks: Blocks, size: int) -> Row:
    found = ratio(blocks)
    what = f"stamped ({size} bytes) against plain, TCP_NODELAY on both, TCP_QUICKACK in the client"
    return at_most(what, duel.text(found, blocks), found, 1.03)


def _control(blocks: Blocks) -> Row:
    return Row("the control: plain against plain, all else the same", duel.text(ratio(blocks), blocks))


def _gain(blocks: Blocks) -> Row:
    found = ratio(blocks)
    slow = [100 * sum(pair[side] > SLOW for block in blocks for pair in block) / duel.count(blocks) for side in (0, 1)]
    shares = f"longer than {SLOW / 1e6:.0f} ms: stamped {slow[1]:.0f} %, plain {slow[0]:.0f} %"
    text = f"{duel.text(found, blocks)}; {shares}"
    return at_most("an ordinary client: stamped against plain jupyter_server as it is", text, found, 0.5)
