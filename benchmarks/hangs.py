"""Whether pages end: many loads under load, of notebooks with Output widgets and without, warm and cold.

The same loads are made before, of a server on which the mend is switched off: there some never end.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain, cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

import httpx
import nbformat
from harness import BARE, Server, free_port, kernelspec, launched
from nbformat.v4 import new_code_cell, new_notebook

from .contenders import KERNEL_ID
from .report import Row, expected, note

TITLE = "Pages that never end"
LOADS = 2000
FRACTION = 20
"""Of so many loads one is made with the mend switched off."""

AT_ONCE = 4
PATIENCE = 90
"""Seconds after which a page counts as one that never ends."""

LONGEST = 45 * 60
"""Seconds after which no further page is loaded."""

BURNERS = 2
"""Processes that do nothing but take processor time."""

NOTE = (
    f"Method: {AT_ONCE} visitors at once, {BURNERS} processes that burn processor time beside them, each notebook in "
    f"turn; what has not ended after {PATIENCE} s is counted as hanging. The mend is switched off in a server of its "
    "own: its sockets do not look again, and nothing watches its cells."
)

OUTPUTS = (
    "from ipywidgets import Output, interact\nout, other = Output(), Output()\ndisplay(out, other)",
    "with out:\n    print('with')",
    "@other.capture()\ndef say(): print('captured')\nsay()",
    "out.append_stdout('appended')",
    "@interact(x=3)\ndef show(x): print('interacted', x)",
)
PLAIN = ("import time", "print('plain')", "display({'text/html': '<b>html</b>'}, raw=True)", "[1, 2, 3]")
END = "print('the' + ' end')"
NOTEBOOKS = {"outputs": (*OUTPUTS, *OUTPUTS[1:], END), "plain": (*PLAIN, *PLAIN[1:], END)}
PAGES = [f"{kind}-{name}" for kind in ("cold", "warm") for name in NOTEBOOKS]

OFF = """
from jupyter_app_meta.dashboards.runs import kernel, watch
from jupyter_app_meta.server import clients
clients.look_again = clients.make_patient = kernel.look_again = lambda *_: None
watch.LOOK = 10**6
"""
APP = f"""
from jupyter_app_meta.dashboards import create_app
app = create_app()
for page in {PAGES}:
    app = app.with_app(path="/" + page, root=page + ".ipynb", warm=2 * page.startswith("warm"))
"""


@dataclass
class Count:
    """What became of the loads of one server."""

    ended: dict[str, list[float]] = field(default_factory=lambda: {page: [] for page in PAGES})
    hanging: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PAGES, 0))
    broken: list[str] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    @property
    def loads(self) -> int:
        """How many were made."""
        return sum(map(len, self.ended.values())) + sum(self.hanging.values()) + len(self.broken)

    def text(self, name: str) -> str:
        """Return the figures of one notebook, warm and cold."""
        pages = [page for page in PAGES if page.endswith(name)]
        hanging, times = sum(self.hanging[page] for page in pages), sorted(chain(*(self.ended[page] for page in pages)))
        slowest = (
            f"; the middle one took {times[len(times) // 2]:.1f} s, the slowest {times[-1]:.1f} s" if times else ""
        )
        return f"{hanging} of {hanging + len(times)} hang{slowest}"


def measure(quick: bool = False, loads: int | None = None) -> list[Row]:
    """Return how many pages never ended, without the mend and with it."""
    loads = loads or (80 if quick else LOADS)
    with _burning():
        before = _soak("without the mend", OFF, max(loads // FRACTION, 40))
        after = _soak("as it is", "", loads)
    return [*_rows("without the mend", before), *_rows("as it is", after, judged=True)]


def _rows(what: str, count: Count, *, judged: bool = False) -> list[Row]:
    rows = []
    for name in NOTEBOOKS:
        text, met = count.text(name), not any(count.hanging[page] for page in PAGES if page.endswith(name))
        label = f"{name}, {what}"
        rows.append(expected(label, text, "none", met=met) if judged else Row(label, text))
    rows.append(Row(f"{what}: pages that ended with an error", f"{len(count.broken)} of {count.loads}"))
    return rows


def _soak(what: str, switch: str, loads: int) -> Count:
    count, deadline = Count(), time.monotonic() + LONGEST
    with _server(switch) as server, ThreadPoolExecutor(AT_ONCE) as pool:

        def load(page: str) -> None:
            if time.monotonic() < deadline:
                _load(server, page, count)
                if count.loads % 20 == 0:
                    note(f"hangs, {what}: {count.loads} of {loads}, {sum(count.hanging.values())} hang")

        list(pool.map(load, islice(cycle(PAGES), loads)))
    return count


def _load(server: Server, page: str, count: Count) -> None:
    """Load one page as a new visitor, and close it."""
    with httpx.Client(timeout=PATIENCE) as client:
        begin, text = time.monotonic(), ""
        try:
            with client.stream("GET", f"{server.url}{page}") as response:
                for piece in response.iter_text():
                    text += piece
                    if time.monotonic() - begin > PATIENCE:
                        raise TimeoutError
        except (TimeoutError, httpx.TimeoutException):
            with count.lock:
                count.hanging[page] += 1
            return
        taken, is_whole = time.monotonic() - begin, "the end" in text and text.rstrip().endswith("</html>")
        with count.lock:
            (count.ended[page].append(taken) if is_whole else count.broken.append(text[-2000:]))
        if not is_whole:
            note(f"hangs: {page} ended with {response.status_code} {text[-500:]}")
        if kernel := KERNEL_ID.search(text):
            client.post(f"{server.url}voila/api/shutdown/{kernel[1]}")


@contextmanager
def _server(switch: str) -> Iterator[Server]:
    with TemporaryDirectory(prefix="hangs-") as name:
        home, port = Path(name), free_port()
        (home / "root").mkdir()
        kernelspec(home, BARE)
        spec = {"name": BARE, "display_name": BARE, "language": "python"}
        for page in PAGES:
            cells = [new_code_cell(cell) for cell in NOTEBOOKS[page.partition("-")[2]]]
            nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": spec}), home / "root" / f"{page}.ipynb")
        script = home / "app.py"
        script.write_text(f"{switch}{APP}\napp.run(port={port}, ip='127.0.0.1')\n")
        with launched(home, [str(script)], f"http://127.0.0.1:{port}/") as server:
            yield server


@contextmanager
def _burning() -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(BURNERS):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield
