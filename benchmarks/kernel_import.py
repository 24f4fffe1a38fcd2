"""What the import of the kernel half costs in a running kernel: one fresh kernel for each figure."""

from __future__ import annotations

from harness import BARE, Visitor

from .report import Row, at_most, note
from .servers import running, visitor
from .stats import Spread, spread

TITLE = "Import in a running kernel"
NOTE = "Each figure is from a fresh kernel's first cell, the kinds in turns; bytecode and page cache are warm."
TIMED = "import time\nstart = time.perf_counter()\n{}\nprint(1000 * (time.perf_counter() - start))"
IMPORT, EXTENSION, STARLETTE = (
    "import jupyter_app_meta",
    "%load_ext jupyter_app_meta",
    "import starlette.datastructures",
)


def measure(quick: bool = False) -> list[Row]:
    """Return the milliseconds of the first import, with the files in the page cache."""
    statements = (IMPORT, EXTENSION, STARLETTE)
    found: dict[str, list[float]] = {statement: [] for statement in statements}
    with running() as server:
        person = visitor(server)
        for number in range(4 if quick else 21):
            note(f"import: round {number}")
            for statement in statements:
                found[statement].append(_in_fresh_kernel(person, statement))
    # The first round writes the bytecode and fills the page cache.
    spreads = {statement: spread(values[1:]) for statement, values in found.items()}
    kernels = len(found[IMPORT]) - 1
    return [
        _row(f"`{IMPORT}` in a kernel's first cell", spreads[IMPORT], kernels),
        _row(f"`{EXTENSION}` in a kernel's first cell", spreads[EXTENSION], kernels),
        Row(f"`{STARLETTE}` alone, which is part of it", _text(spreads[STARLETTE], kernels)),
    ]


def _in_fresh_kernel(person: Visitor, statement: str) -> float:
    kernel_id = person.start_kernel(BARE)
    socket = person.connect(kernel_id)
    try:
        return float(socket.run(TIMED.format(statement)).text)
    finally:
        socket.close()
        person.call("DELETE", f"/api/kernels/{kernel_id}")


def _row(what: str, found: Spread, kernels: int) -> Row:
    return at_most(what, _text(found, kernels), found, 25, " ms")


def _text(found: Spread, kernels: int) -> str:
    return f"{found.text(1, ' ms')}; {kernels} kernels"
