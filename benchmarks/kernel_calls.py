"""What a kernel pays: nothing for cells that do not ask, and little for those that do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from harness import AWARE, BARE, Socket, Visitor

from . import duel
from .client import Wire
from .duel import Blocks, collected
from .report import Row, at_most, expected, note
from .servers import open_notebook, running, visitor
from .stats import Pair, difference, ratio, spread

TITLE = "In the kernel"
NOTE = (
    "Counted with `sys.setprofile` in the thread that runs the cells (in all threads since Python 3.12), the cell that "
    "switches it off included. Times are taken inside real cells, each of a message of its own."
)
CELLS = 100
REPEATS = 1000

WATCH = """
import collections, json, sys, threading, jupyter_app_meta
def watch(frame, event, argument, calls=collections.Counter(), home=jupyter_app_meta.__path__[0]):
    if event == "call" and frame.f_code.co_filename.startswith(home):
        calls[frame.f_code.co_qualname] += 1
getattr(threading, "setprofile_all_threads", sys.setprofile)(watch)
"""
FOUND = """
getattr(threading, "setprofile_all_threads", sys.setprofile)(None)
print(json.dumps(watch.__defaults__[0]))
"""
HOOKS = """
import ast, json
from time import perf_counter_ns as clock
def once(shell, code):
    start = clock()
    shell.transform_cell(code), shell.transform_cell(code), shell.transform_ast(ast.parse(code))
    return clock() - start
def turn(shell, manager, code, name="jupyter_app_meta"):
    manager.unload_extension(name)
    without = min(once(shell, code) for _ in range(9))
    manager.load_extension(name)
    return without, min(once(shell, code) for _ in range(9))
def turns(code):
    return [turn(get_ipython(), get_ipython().extension_manager, code) for _ in range(20)]
print(json.dumps((turns("pass"), turns("total = round(prices[0] * (1 + rate / 100), 2)\\n" * 200))))
"""
CLOCK = f"""
import json
from itertools import repeat
from time import perf_counter_ns as clock
from jupyter_app_meta import app_meta
def ask():
    start = clock()
    meta = app_meta()
    first = clock() - start
    start = clock()
    for _ in repeat(None, {REPEATS}):
        app_meta()
    repeated = clock() - start
    start = clock()
    for _ in repeat(None, {REPEATS}):
        nothing()
    taken.append((first, (repeated - (clock() - start)) / {REPEATS}))
    assert meta.request is not None
def nothing():
    pass
taken = []
"""


def measure(quick: bool = False) -> list[Row]:
    """Return the calls and the round trips of cells that do not ask, and the time of those that do."""
    with running() as server:
        person = visitor(server)
        with _notebook(person, BARE) as socket:
            rows = [_silence(socket, "imported, without the extension")]
        with _notebook(person, AWARE) as socket:
            rows += [_silence(socket, "with the extension"), _hooks(socket), _counter(socket)]
            rows += _questions(socket, 40 if quick else 400)
        return rows + _round_trips(person, 10 if quick else 100)


@contextmanager
def _notebook(person: Visitor, kernel: str) -> Iterator[Socket]:
    socket = person.connect(open_notebook(person, kernel))
    try:
        yield socket
    finally:
        socket.close()


def _calls(socket: Socket, code: str) -> dict[str, int]:
    """Count our functions that run in the thread of the cells (in all threads since Python 3.12)."""
    note(f"kernel: our functions in {CELLS} cells {code}")
    socket.run(WATCH)
    for _ in range(CELLS):
        socket.run(code)
    counted: dict[str, int] = json.loads(socket.run(FOUND).text)
    return counted


def _silence(socket: Socket, state: str) -> Row:
    calls = _calls(socket, "pass")
    names = f": {', '.join(f'{number} × `{name}`' for name, number in calls.items())}" if calls else ""
    text = f"{sum(calls.values())} calls{names}"
    return expected(f"our functions that run in {CELLS} cells `pass`, {state}", text, "0 calls", met=not calls)


def _hooks(socket: Socket) -> Row:
    """Time what IPython does with a cell before it compiles it, with and without the extension."""
    note("kernel: the extension's hooks")
    found: list[list[Pair]] = json.loads(socket.run(HOOKS).text)
    short, long = (difference([[pair] for pair in pairs]).scaled(1000) for pairs in found)
    text = f"{short.text(1, ' µs', '+')}; of a cell with 200 lines {long.text(0, ' µs', '+')}"
    return Row("what the extension takes of such a cell before it is compiled", text)


def _counter(socket: Socket) -> Row:
    calls = sum(_calls(socket, "meta = jupyter_app_meta.app_meta()").values())
    return Row(f"our functions in {CELLS} cells that ask once each: the counter counts", f"{calls} calls")


def _questions(socket: Socket, number: int) -> list[Row]:
    note(f"kernel: app_meta() in {number} cells")
    socket.run(CLOCK)
    for _ in range(number):
        socket.run("ask()")
    taken: list[Pair] = json.loads(socket.run("print(json.dumps(taken[10:]))").text)
    cells = f"; {len(taken)} cells"
    first, repeated = (spread(pair[side] / 1000 for pair in taken) for side in (0, 1))
    return [
        at_most("first `app_meta()` of a cell", first.text(0, " µs") + cells, first, 200, " µs"),
        at_most("`app_meta()` again in that cell", repeated.text(2, " µs") + cells, repeated, 1, " µs"),
    ]


def _round_trips(person: Visitor, blocks: int) -> list[Row]:
    """The round trip of ``pass`` in one kernel, with and without the extension in turns."""
    kernel_id = open_notebook(person, BARE)
    wire = Wire.connect(person, kernel_id)
    states = {"control": ("pass", "pass"), "extension": ("%unload_ext jupyter_app_meta", "%load_ext jupyter_app_meta")}
    results: dict[str, Blocks] = {name: [] for name in states}
    wire.execute("%load_ext jupyter_app_meta")
    for block in range(blocks):
        for name, switches in states.items():
            note(f"kernel: block {block + 1} of {blocks}, {name}")
            results[name].append(_block(wire, switches, swapped=bool(block % 2)))
    wire.close()
    return [_ratio(results["extension"]), _control(results["control"])]


def _block(wire: Wire, switches: tuple[str, str], *, swapped: bool, cells: int = 20) -> list[Pair]:
    taken: dict[int, list[int]] = {}
    with collected():
        for side in (1, 0) if swapped else (0, 1):
            wire.execute(switches[side])
            taken[side] = [wire.execute()[1] for _ in range(5 + cells)][5:]
    return list(zip(taken[0], taken[1], strict=True))


def _ratio(blocks: Blocks) -> Row:
    found = ratio(blocks)
    what = "round trip of `pass` in one kernel, with the extension against without"
    return at_most(what, duel.text(found, blocks), found, 1.03)


def _control(blocks: Blocks) -> Row:
    return Row("the same, without a change in between: what can be resolved", duel.text(ratio(blocks), blocks))
