"""A widget's 9 MB buffer from the browser to the kernel, on a plain and on a stamped socket."""

from __future__ import annotations

from functools import partial

from harness import Format, Visitor

from . import duel
from .client import Wire
from .duel import Blocks, Duel
from .hot_loop import BUFFER_FORMATS, BUFFER_SIZE, FORMAT_NAMES
from .report import Row, at_most
from .servers import open_notebook, running, visitor
from .stats import ratio

TITLE = "A 9 MB widget buffer, from the browser to the kernel"
NOTE = (
    "A `comm_msg` to a widget's callback that does nothing, on a plain and a stamped socket in turns, until the kernel "
    "is idle again. Two TCP transfers of 9 MB through Python vary by more than a stamp takes."
)
COMM = "benchmark"
TARGET = (
    f"get_ipython().kernel.comm_manager.register_target({COMM!r},"
    " lambda comm, message: comm.on_msg(lambda message: None))"
)


def measure(quick: bool = False) -> list[Row]:
    """Return the ratio for both formats that have buffers."""
    rows = []
    with running() as server:
        person = visitor(server)
        kernel_id = open_notebook(person)
        _open_comm(person, kernel_id)
        for frames in BUFFER_FORMATS:
            rows += _rows(person, kernel_id, frames, blocks=4 if quick else 20, rounds=6 if quick else 20)
    return rows


def _open_comm(person: Visitor, kernel_id: str) -> None:
    wire = Wire.connect(person, kernel_id)
    wire.execute(TARGET)
    wire.request("comm_open", {"comm_id": COMM, "target_name": COMM, "data": {}})
    wire.close()


def _rows(person: Visitor, kernel_id: str, frames: Format, blocks: int, rounds: int) -> list[Row]:
    control, stamp = (Duel("nodelay", kind, True, blocks, rounds, frames) for kind in ("nodelay", "stamped"))
    content = {"comm_id": COMM, "data": {"method": "update"}}
    act = partial(Wire.request, msg_type="comm_msg", content=content, buffers=[bytes(BUFFER_SIZE)])
    results = duel.run(person, kernel_id, (control, stamp), act)
    return [_cost(results[stamp], FORMAT_NAMES[frames]), _control(results[control])]


def _cost(blocks: Blocks, name: str) -> Row:
    found = ratio(blocks)
    return at_most(f"{name} frame, stamped against plain", duel.text(found, blocks), found, 1.03)


def _control(blocks: Blocks) -> Row:
    return Row("the same, plain against plain: what can be resolved", duel.text(ratio(blocks), blocks))
