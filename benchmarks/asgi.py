"""Dashboards inside an ASGI application, under uvicorn with uvloop, against our own server: pages and callbacks."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count

from harness import free_port, launched

from . import duel
from .client import Wire
from .contenders import KERNEL_ID, OURS, POOL, Contender, environment, home, ours, settle
from .duel import WARM_UP, Blocks
from .report import Row, at_most, note
from .stats import ratio

TITLE = "Dashboards inside an ASGI application"
NOTE = (
    "Method: both servers run at once and are asked in turns: `jupyter app-meta serve`, and the same notebooks "
    f"by `create_asgi_app()` under uvicorn (uvloop, httptools). Both keep {POOL} kernels ahead. Pages: each visitor "
    "is a new one, and both servers are idle before the visit; from the request until the visitor's name is among the "
    "bytes. Callbacks: a slider is moved, and its callback, which asks `app_meta()`, writes into a label; from the "
    "message until the kernel is idle again. Each block opens new pages, so the interval has the differences between "
    "kernels in it. The control is a second page of our own server."
)

NOTEBOOKS = {
    "bare": "ready = True",
    "slider": """import ipywidgets
from jupyter_app_meta import app_meta
slider, label = ipywidgets.IntSlider(), ipywidgets.Label()
def moved(change):
    label.value = f"{app_meta().request.query_params['user']} {change.new}"
slider.observe(moved, "value")
print("slider", slider.comm.comm_id)""",
}

HOST = """
import uvicorn
from jupyter_app_meta import create_asgi_app

app = create_asgi_app(warm={warm}).with_dynamic_directory(path="/", directory=".").build()
options = dict(loop="uvloop", http="httptools", log_level="warning", access_log=False)
uvicorn.run(app, host="127.0.0.1", port={port}, **options)
"""
"""The same application, inside ASGI. No middleware of a host is in between."""

_people = (f"a{number:04}x" for number in count(1))


def measure(quick: bool = False) -> list[Row]:
    """Return the ratios of pages and of callbacks, and the control."""
    visits, blocks, rounds = (4, 2, 20) if quick else (40, 12, 100)
    with ExitStack() as stack:
        own = stack.enter_context(ours("our server", POOL, NOTEBOOKS))
        inside = stack.enter_context(_inside("inside ASGI"))
        note("asgi: the pools fill")
        settle([own, inside], 180)
        visited = pages((own, inside), visits)
        moved, control = callbacks(own, inside, blocks, rounds)
    page, callback = ratio(visited), ratio(moved)
    return [
        at_most("a warm page, to the name among its bytes", duel.text(page, visited), page, 1.10),
        at_most("a slider's callback", duel.text(callback, moved), callback, 1.05),
        Row("the control: a second page of our own server", duel.text(ratio(control), control)),
    ]


@contextmanager
def _inside(name: str) -> Iterator[Contender]:
    """Run the dashboards under uvicorn."""
    with home(OURS, NOTEBOOKS) as folder:
        port = free_port()
        program = folder / "host.py"
        program.write_text(HOST.format(warm=POOL, port=port))
        with launched(folder, [str(program)], f"http://127.0.0.1:{port}/", env=environment()) as server:
            yield Contender(name, OURS, server, "{}")


@dataclass(frozen=True, slots=True)
class Slider:
    """An open page with a slider, and the socket of its kernel."""

    wire: Wire
    comm: str

    @classmethod
    def open(cls, contender: Contender) -> Slider:
        """Open a page as a new visitor."""
        person = contender.server.visitor()
        text = person.get("slider", params={"user": next(_people)}).text
        kernel, comm = KERNEL_ID.search(text), re.search("slider ([0-9a-f]{32})", text)
        if kernel is None or comm is None:
            raise RuntimeError(f"{contender.name} shows no slider: {text[-500:]}")
        contender.open_pages.append((kernel[1], dict(person.http.cookies)))
        return cls(Wire.connect(person, kernel[1]), comm[1])

    def move(self, value: int) -> int:
        """Move the slider; return the nanoseconds until the label has changed and the kernel is idle again."""
        data = {"method": "update", "state": {"value": value}, "buffer_paths": []}
        return self.wire.request("comm_msg", {"comm_id": self.comm, "data": data}, reply=b'"update"')[1]


@contextmanager
def sliders(contenders: Sequence[Contender]) -> Iterator[list[Slider]]:
    """Open a page of each, in this order, and close them."""
    found = [Slider.open(contender) for contender in contenders]
    settle(list(contenders[:2]))
    for slider in found:
        slider.wire.settle()
    try:
        yield found
    finally:
        for slider in found:
            slider.wire.close()
        for contender in contenders:
            contender.close_pages()


def pages(running: tuple[Contender, Contender], visits: int) -> Blocks:
    """Return the nanoseconds of visits in turns, in an order that is drawn by lot; each visit is a block."""
    chance = random.Random(1)
    found: Blocks = []
    for number in range(visits):
        if number % 10 == 0:
            note(f"asgi: pages, round {number + 1} of {visits}")
        taken = {}
        for place in chance.sample((0, 1), 2):
            settle(list(running))
            taken[place] = running[place].visit("bare", next(_people)) * 1e9
            running[place].close_pages()
        found.append([(taken[0], taken[1])])
    return found


def callbacks(
    own: Contender, inside: Contender, blocks: int, rounds: int, twin: Contender | None = None
) -> tuple[Blocks, Blocks]:
    """Return the nanoseconds of callbacks: of our server and inside ASGI, and of our server and its twin.

    Without a twin, the second pair is of two pages of our server.
    """
    found: Blocks = []
    control: Blocks = []
    for number in range(blocks):
        note(f"asgi: callbacks, block {number + 1} of {blocks}")
        settle([own, inside])
        turn = -1 if number % 2 else 1  # two pages differ by the order in which they were opened
        with sliders([own, inside, twin or own][::turn]) as opened:
            taken = _rounds(opened[::turn], rounds, random.Random(number))
        found.append([(times[0], times[1]) for times in taken])
        control.append([(times[0], times[2]) for times in taken])
    return found, control


def _rounds(sliders: list[Slider], rounds: int, chance: random.Random) -> list[tuple[int, int, int]]:
    """Move each slider once in each round; return the nanoseconds of all, in their order."""
    found = []
    with duel.collected():
        for value in range(WARM_UP + rounds):
            taken = {place: sliders[place].move(value % 100 + 1) for place in chance.sample((0, 1, 2), 3)}
            found.append((taken[0], taken[1], taken[2]))
    return found[WARM_UP:]
